package proxy

import (
	"errors"

	"sluice/codec"
	"sluice/pool"
	"sluice/proxy/dispatch"
)

const (
	// blockQueueBytes is how much a blocking export queues for its socket; the
	// rest waits in the broker.
	blockQueueBytes = 1 << 20
	// controlRoom is left for control frames.
	controlRoom = 4 << 10
)

// forward is the goroutine of a blocking export. It ends with the socket, or
// when the stream does.
func (e *exporter) forward() {
	defer e.c.contain("export")
	err := e.blocking.Run(e.gone, e.pass)
	if !errors.Is(err, dispatch.ErrGone) && !errors.Is(err, errSocketClosed) {
		e.finishEnded(e.c, err)
	}
}

// pass sends one message when the socket has room for it.
func (e *exporter) pass(msg []byte) error {
	frame := pool.Acquire(len(msg))
	out, err := codec.AppendExport(frame.B, e.stream.kind, msg)
	if err != nil {
		frame.Release()
		exportSkipped.Inc()
		return nil
	}
	frame.B = out
	room := e.c.sockets.maxPerSocket - int64(len(out)) - itemBytes - controlRoom
	if !e.c.waitRoom(max(0, min(blockQueueBytes, room))) {
		frame.Release()
		return errSocketClosed
	}
	switch e.c.send(frame) {
	case sentOK:
		exportQueued.Inc()
	case sentFull:
		e.tooSlow(e.c)
	case sentClosed:
	}
	return nil
}
