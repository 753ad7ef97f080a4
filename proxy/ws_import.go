package proxy

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"sluice/codec"
	"sluice/pool"
	"sluice/proxy/auth"
	"sluice/proxy/dispatch"
)

// maxAckEvery is the largest `?ack=`.
const maxAckEvery = 1 << 30

var errBadAck = &jsonError{status: fasthttp.StatusBadRequest, text: "ack must be a number of messages, 1 or more"}

// importer is one import socket. The socket's goroutine reads and translates
// messages and queues them; a pump, which runs while there are any, publishes
// them within a window; the bus says what became of each.
//
// Messages are counted from 0. One is settled when the bus has said what became
// of it.
type importer struct {
	// Set once.

	stream   *flowStream
	c        *wsConn
	ackEvery uint64        // 0: the client wants no acks, and the first failure is the end
	held     *atomic.Int64 // bytes queued by all imports
	ctx      context.Context
	cancel   context.CancelFunc
	pump     func() // methods as values, made once
	refused  func(reason string)
	over     chan struct{} // closed when the import has ended

	mu      sync.Mutex
	changed sync.Cond // room in queue or window, or the end
	outlet  *dispatch.Outlet
	window  importWindow
	queue   importQueue
	next    uint64 // index of the next message
	acked   uint64 // how many messages the client knows to be settled
	pumping bool
	ending  importEnding
}

// importStream serves GET /api/v1/flow/{flow}/import/{kind}.
func (s *Server) importStream(ctx *fasthttp.RequestCtx, x *exchange) error {
	f, stranger, err := s.flowStream(ctx, x, auth.Import)
	if err != nil {
		return err
	}
	every, err := ackEvery(ctx.QueryArgs())
	if err != nil {
		return err
	}
	i := newImporter(f, every)
	return s.acceptStream(ctx, i.open, admission{
		kind: importSocket, stranger: stranger,
		build:  func(c *wsConn) wsHandler { i.c = c; return i },
		failed: i.cutOff,
	})
}

func ackEvery(query *fasthttp.Args) (uint64, error) {
	if !query.Has("ack") {
		return 0, nil
	}
	n, err := strconv.ParseUint(string(query.Peek("ack")), 10, 32)
	if err != nil || n == 0 || n > maxAckEvery {
		return 0, errBadAck
	}
	return n, nil
}

func newImporter(f *flowStream, every uint64) *importer {
	i := &importer{stream: f, ackEvery: every, held: &f.server.importing, over: make(chan struct{})}
	i.changed.L = &i.mu
	i.ctx, i.cancel = context.WithCancel(context.Background())
	i.pump = i.publishQueued
	i.refused = func(reason string) { i.end(codePolicy, reason) }
	i.ending.lost = nothingLost
	return i
}

// open ties the import to its flow.
func (i *importer) open() error {
	f := i.stream
	outlet, err := f.server.flowStreams.Outlet(f.target.Name, f.flow, f.iface())
	if err != nil {
		return err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.outlet = outlet
	if i.ending.done {
		outlet.Close()
	}
	return nil
}

// serve implements wsHandler.
func (i *importer) serve() {
	defer i.cutOff() // after a panic there is more to end
	if i.outlet == nil && !i.stream.greet(i.c, i.open) {
		i.cutOff()
		awaitEnd(i.c)
		return
	}
	for {
		msg, err := i.c.next()
		if err != nil {
			i.left(err)
			return
		}
		i.take(msg)
	}
}

// left ends the import of a client that has gone: with a close frame, which is
// answered when everything is settled, or without.
func (i *importer) left(err error) {
	var byPeer *peerCloseError
	if errors.As(err, &byPeer) {
		i.end(codeNormal, "")
	} else {
		i.cutOff()
	}
	<-i.over
}

// take translates a message and queues it. It owns msg. It waits when too much is
// queued.
func (i *importer) take(msg *pool.Buffer) {
	item := importItem{body: pool.Acquire(len(msg.B))}
	item.body.B, item.err = codec.AppendImport(item.body.B, i.stream.kind, msg.B)
	msg.Release()
	if item.err != nil {
		item.body.Release()
		item.body = nil
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.ending.code != 0 {
		item.body.Release()
		return
	}
	if item.err != nil && i.ackEvery == 0 {
		importInvalid.Inc()
		i.endLocked(codeInvalid, atMessage(i.next, item.err))
		return
	}
	i.next++
	i.queue.push(item)
	i.held.Add(item.bytes())
	if !i.pumping {
		i.pumping = true
		go i.pump()
	}
	for i.full() && i.ending.code == 0 {
		i.changed.Wait()
	}
}

// full reports whether reading has to pause.
func (i *importer) full() bool {
	return i.queue.bytes > importBacklogBytes ||
		i.queue.len() > 0 && i.held.Load() > i.c.sockets.maxQueued
}

// allowLarge implements wsHandler.
func (i *importer) allowLarge() bool { return i.c.known.Load() }

// notUTF8 ends the import of a client that has sent text that is none.
func (i *importer) notUTF8() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.ending.code == 0 {
		importInvalid.Inc()
	}
	i.endLocked(codeInvalid, atMessage(i.next, errNotUTF8))
}

// closing implements wsHandler.
func (i *importer) closing() { i.cutOff() }

// drain implements wsHandler: what has been read is settled, nothing more is read.
func (i *importer) drain() { i.end(codeGoingAway, reasonShutdown) }

// sweep implements wsHandler.
func (i *importer) sweep(now time.Time) {
	if i.c.overdue(now, i.stream.server.cfg.SocketAuthWait) {
		i.c.abandon(codePolicy, reasonUnauthorised)
		return
	}
	i.mu.Lock()
	if i.outlet != nil {
		select {
		case <-i.outlet.Stopped():
			i.stopped()
		default:
		}
	}
	i.mu.Unlock()
	i.stream.recheck(now, i.c, i.refused)
}

// stopped ends the import of a flow that has stopped. The caller holds mu.
func (i *importer) stopped() {
	if i.queue.len() > 0 {
		i.lose(i.window.top, dispatch.ErrFlowStopped)
		i.dropQueue()
	}
	i.endLocked(codeGoingAway, reasonFlowStopped)
}
