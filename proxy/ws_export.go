package proxy

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"sluice/codec"
	"sluice/proxy/auth"
	"sluice/proxy/dispatch"
)

// overflow is what an export does when its client reads too slowly.
type overflow uint8

const (
	overflowClose overflow = iota // the socket is closed with 1013
	overflowDrop                  // the oldest frames are dropped, and counted
	overflowBlock                 // messages wait in the broker, in a queue of the export's own
)

var errBadOverflow = &jsonError{
	status: fasthttp.StatusBadRequest, text: `overflow must be "close", "drop-oldest" or "block"`,
}

// exporter is one export socket: it puts what the flow's stream has into the
// socket's queue. The frames are shared with all other exports of the stream,
// unless the export blocks: then it has the stream to itself.
type exporter struct {
	// Set once.

	stream   *flowStream
	c        *wsConn
	overflow overflow
	refused  func(reason string)
	gone     chan struct{} // closed when the socket takes no more frames
	drops    dropCount
	blocking *dispatch.BlockingTap // nil unless the export blocks

	// taking is the socket once frames may be queued.
	taking atomic.Pointer[wsConn]

	mu      sync.Mutex
	untap   func() // nil until the stream is tapped
	early   []*dispatch.Frame
	earlier int64 // bytes of early
	late    bool  // too much came early
	ended   error // why the stream has ended
	stopped bool
}

// exportStream serves GET /api/v1/flow/{flow}/export/{kind}.
func (s *Server) exportStream(ctx *fasthttp.RequestCtx, x *exchange) error {
	f, stranger, err := s.flowStream(ctx, x, auth.Export)
	if err != nil {
		return err
	}
	how, err := overflowOf(ctx.QueryArgs().Peek("overflow"))
	if err != nil {
		return err
	}
	e := newExporter(f, how)
	return s.acceptStream(ctx, e.open, admission{
		kind: exportSocket, stranger: stranger,
		build:  func(c *wsConn) wsHandler { e.c = c; return e },
		failed: e.stop,
	})
}

func overflowOf(text []byte) (overflow, error) {
	switch string(text) {
	case "", "close":
		return overflowClose, nil
	case "drop-oldest":
		return overflowDrop, nil
	case "block":
		return overflowBlock, nil
	}
	return 0, errBadOverflow
}

func newExporter(f *flowStream, how overflow) *exporter {
	e := &exporter{stream: f, overflow: how, gone: make(chan struct{})}
	e.refused = func(reason string) { e.finish(codePolicy, reason) }
	return e
}

// open ties the export to its flow.
func (e *exporter) open() error {
	f := e.stream
	streams := f.server.flowStreams
	if e.overflow == overflowBlock {
		tap, err := streams.BlockingTap(f.target.Name, f.flow, f.iface(), f.server.cfg.ExportBlockBytes)
		if err != nil {
			return err
		}
		e.blocking = tap
		e.opened(tap.Close)
		return nil
	}
	untap, err := streams.Tap(f.target.Name, f.flow, f.iface(), encoders[f.kind], e)
	if err != nil {
		return err
	}
	e.opened(untap)
	return nil
}

func (e *exporter) opened(untap func()) {
	e.mu.Lock()
	stopped := e.stopped
	e.untap = untap
	e.mu.Unlock()
	if stopped {
		untap()
	}
}

// encoders make an exported message into a whole frame as it is on the wire, by
// kind.
var encoders = func() map[codec.Kind]func(dst, msg []byte) ([]byte, error) {
	all := make(map[codec.Kind]func(dst, msg []byte) ([]byte, error))
	for _, kind := range codec.Kinds() {
		if !kind.CanExport() {
			continue
		}
		all[kind] = func(dst, msg []byte) ([]byte, error) {
			from := len(dst)
			out, err := codec.AppendExport(beginText(dst), kind, msg)
			if err != nil {
				return dst, err
			}
			return endText(out, from), nil
		}
	}
	return all
}()

// serve implements wsHandler. What the client sends is read, so that its control
// frames are seen, and ignored.
func (e *exporter) serve() {
	defer e.stop()
	if e.c.known.Load() || e.stream.greet(e.c, e.open) {
		e.attach()
	}
	for {
		msg, err := e.c.next()
		if err == nil {
			msg.Release()
			continue
		}
		var byPeer *peerCloseError
		if errors.As(err, &byPeer) {
			e.finish(codeNormal, "")
		}
		return
	}
}

// finishEnded closes the socket of a stream that has ended.
func (e *exporter) finishEnded(c *wsConn, err error) {
	if errors.Is(err, dispatch.ErrFlowStopped) {
		c.close(codeGoingAway, e.drops.reason(reasonFlowStopped))
		return
	}
	c.close(codeServerError, e.drops.reason(reasonBusGone))
}

func (e *exporter) finish(code int, reason string) { e.c.close(code, e.drops.reason(reason)) }

// stop unties the export from its flow. It may be called twice.
func (e *exporter) stop() {
	e.mu.Lock()
	if e.stopped {
		e.mu.Unlock()
		return
	}
	e.stopped = true
	close(e.gone)
	untap, early := e.untap, e.early
	e.early = nil
	e.mu.Unlock()
	for _, f := range early {
		f.Release()
	}
	if untap != nil {
		untap()
	}
}

// allowLarge implements wsHandler.
func (e *exporter) allowLarge() bool { return e.c.known.Load() }

// closing implements wsHandler.
func (e *exporter) closing() { e.stop() }

// drain implements wsHandler.
func (e *exporter) drain() { e.finish(codeGoingAway, reasonShutdown) }

// sweep implements wsHandler.
func (e *exporter) sweep(now time.Time) {
	if e.c.overdue(now, e.stream.server.cfg.SocketAuthWait) {
		e.c.abandon(codePolicy, reasonUnauthorised)
		return
	}
	if c := e.taking.Load(); c != nil {
		e.report(c)
	}
	e.stream.recheck(now, e.c, e.refused)
}
