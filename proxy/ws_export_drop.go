package proxy

import (
	"strconv"
	"sync/atomic"

	"sluice/proxy/dispatch"
)

// noticeBytes is more than a notice of drops takes in the queue.
const noticeBytes = itemBytes + 64

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

// makeRoom queues a frame in the place of older ones. Only the goroutine that
// offers frames calls it.
func (e *exporter) makeRoom(c *wsConn, f *dispatch.Frame) {
	d := &e.drops
	n := int64(c.dropOldest(int64(f.Len())+noticeBytes)) - d.wasted.Swap(0)
	switch c.sendShared(f) {
	case sentOK:
		exportQueued.Inc()
	case sentFull: // what is being written leaves no room
		n++
	case sentClosed:
		return
	}
	d.add(n)
	e.report(c)
}

func (d *dropCount) add(n int64) {
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
	if c.sendPart(d, nil, false) != sentOK { // which has settled it, as dropped
		d.wasted.Add(-1)
	}
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
