package proxy

import (
	"sluice/proxy/dispatch"
)

// attach lets frames into the socket's queue, those first that came before.
func (e *exporter) attach() {
	if e.overflow == overflowBlock {
		go e.forward()
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, f := range e.early {
		e.offer(e.c, f)
		f.Release()
	}
	e.early = nil
	e.taking.Store(e.c)
	if e.late {
		e.tooSlow(e.c)
	}
	if e.ended != nil {
		e.finishEnded(e.c, e.ended)
	}
}

// Offer implements dispatch.Tap.
func (e *exporter) Offer(f *dispatch.Frame) {
	c := e.taking.Load()
	if c == nil {
		e.hold(f)
		return
	}
	e.offer(c, f)
}

// hold keeps a frame for a socket that does not take frames yet.
func (e *exporter) hold(f *dispatch.Frame) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := e.taking.Load()
	size := int64(f.Len()) + itemBytes
	switch {
	case c != nil:
		e.offer(c, f)
	case e.stopped || e.late:
	case e.earlier > 0 && e.earlier+size > e.stream.server.cfg.SocketQueueBytes && e.overflow == overflowDrop:
		e.drops.add(1)
	case e.earlier > 0 && e.earlier+size > e.stream.server.cfg.SocketQueueBytes:
		e.late = true
	default:
		f.Retain()
		e.early = append(e.early, f)
		e.earlier += size
	}
}

// offer queues a frame as far as the socket's budget allows. It does not block.
func (e *exporter) offer(c *wsConn, f *dispatch.Frame) {
	if e.overflow == overflowDrop {
		e.offerInPlace(c, f)
		return
	}
	switch c.sendShared(f) {
	case sentOK:
		exportQueued.Inc()
	case sentFull:
		e.tooSlow(c)
	case sentClosed:
	}
}

// tooSlow ends the export of a client that does not read.
func (e *exporter) tooSlow(c *wsConn) {
	exportDropped.Inc()
	wsDroppedFull.Inc()
	c.abandon(codeTryLater, reasonSlow)
}

// Ended implements dispatch.Tap.
func (e *exporter) Ended(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ended = err
	if c := e.taking.Load(); c != nil {
		e.finishEnded(c, err)
	}
}
