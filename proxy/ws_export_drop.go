package proxy

import (
	"strconv"
	"sync/atomic"

	"sluice/proxy/dispatch"
)

// dropCount is how many messages an export with `?overflow=drop-oldest` has
// dropped. The client is told by text frames {"dropped":n}, which count what was
// dropped since the last one. At most one of them is queued, and its number is
// made up when it is written.
type dropCount struct {
	total   atomic.Int64
	untold  atomic.Int64
	queued  atomic.Bool  // a notice waits
	written atomic.Bool  // its number has been read
	wasted  atomic.Int64 // notices that were dropped themselves
}

// offerInPlace queues a frame in the place of older ones. Only the goroutine that
// offers frames calls it.
func (e *exporter) offerInPlace(c *wsConn, f *dispatch.Frame) {
	f.Retain()
	outcome, n := c.sendInPlace(item{op: opText, shared: f})
	if outcome == sentOK {
		exportQueued.Inc()
	}
	// Notices are no messages.
	e.drops.add(int64(n) - e.drops.wasted.Swap(0))
	e.report(c)
}

func (d *dropCount) add(n int64) {
	if n == 0 {
		return
	}
	exportDropped.Add(float64(n))
	wsDroppedOldest.Add(float64(n))
	d.total.Add(n)
	d.untold.Add(n)
}

// report queues a notice if there is something to tell.
func (e *exporter) report(c *wsConn) {
	d := &e.drops
	if d.untold.Load() == 0 || !d.queued.CompareAndSwap(false, true) {
		return
	}
	outcome, n := c.sendInPlace(item{op: opText, from: d})
	if outcome != sentOK { // which has settled it, as dropped
		d.wasted.Add(-1)
	}
	d.add(int64(n))
}

// appendPayload implements partSource.
func (d *dropCount) appendPayload(dst, _ []byte, _ bool) []byte {
	d.written.Store(true)
	dst = strconv.AppendInt(append(dst, `{"dropped":`...), d.untold.Swap(0), 10)
	return append(dst, '}')
}

// settled implements partSource.
func (d *dropCount) settled(bool) {
	if !d.written.Swap(false) {
		d.wasted.Add(1)
	}
	d.queued.Store(false)
}

// reason adds to the reason of a close what was dropped in all.
func (d *dropCount) reason(text string) string {
	n := d.total.Load()
	switch {
	case n == 0:
		return text
	case text != "":
		text += "; "
	}
	return shortReason(text + strconv.FormatInt(n, 10) + " messages dropped")
}
