package proxy

import (
	"errors"
	"io"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"sluice/codec"
	"sluice/pool"
	"sluice/proxy/dispatch"
)

const (
	// liveQueueBytes is how far a service may be ahead of the client.
	liveQueueBytes = 8 << 20
	// liveLook is how often a silent stream looks whether its client is there;
	// after liveIdle it says something, for proxies that give up silent ones.
	liveLook = time.Second
	liveIdle = 15 * time.Second
)

var errTooSlow = errors.New("the client reads too slowly")

// liveBody is the body of a live answer: a queue between the bus, which must not
// wait, and the connection.
type liveBody struct {
	server *Server
	conn   *conn
	teller teller
	wake   chan struct{}

	mu     sync.Mutex
	handle dispatch.StreamHandle // guarded by mu
	queue  []livePart            // guarded by mu
	bytes  int                   // guarded by mu: of the queue, taken from the budget
	err    error                 // guarded by mu: comes after the queue
	closed bool                  // guarded by mu: nothing is wanted any more

	// Owned by the connection's goroutine.

	batch []livePart
	held  int // bytes of the budget that the batch still holds
	out   *pool.Buffer
	over  bool // the last part is written
	since time.Time
	timer *time.Timer
}

type livePart struct {
	body  *pool.Buffer // nil: a sender's success
	final bool
}

func newLiveBody(s *Server, ctx *fasthttp.RequestCtx, t teller) *liveBody {
	c, _ := ctx.Conn().(*conn)
	return &liveBody{
		server: s, conn: c, teller: t, wake: make(chan struct{}, 1),
		out: pool.Acquire(0), since: time.Now(), timer: time.NewTimer(liveLook),
	}
}

// call sends the request.
func (l *liveBody) call(key dispatch.Key, req *codec.Request) error {
	gone := l.conn.begin(time.Now(), true)
	h, err := l.server.dispatcher.Stream(key, req, l.server.terms(gone), l)
	l.conn.end()
	if err != nil {
		l.stop()
		return err
	}
	l.mu.Lock()
	l.handle = h
	dead := l.closed
	l.mu.Unlock()
	if dead {
		h.Cancel()
	}
	return nil
}

// Part implements dispatch.Sink.
func (l *liveBody) Part(body *pool.Buffer, final bool) {
	size := 0
	if body != nil {
		size = len(body.B)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		body.Release()
		return
	case len(l.queue) > 0 && l.bytes+size > liveQueueBytes || !l.server.budget.take(int64(size)):
		body.Release()
		l.fail(errTooSlow)
		l.closed = true
		l.handle.Cancel()
		return
	}
	l.bytes += size
	l.queue = append(l.queue, livePart{body, final})
	l.rouse()
}

// Fail implements dispatch.Sink.
func (l *liveBody) Fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fail(err)
}

// fail notes how the call ended. The caller holds mu.
func (l *liveBody) fail(err error) {
	if l.err == nil {
		l.err = err
	}
	l.rouse()
}

func (l *liveBody) rouse() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// next implements pieces: what has come is one piece.
func (l *liveBody) next(gone <-chan struct{}) ([]byte, error) {
	for !l.over {
		err := l.collect()
		if len(l.batch) > 0 {
			if err := l.tell(); err != nil {
				return nil, err
			}
			return l.say()
		}
		if err != nil {
			if !l.teller.started {
				return nil, err
			}
			l.over = true
			l.out.B = l.teller.failure(l.out.B[:0], err)
			return l.say()
		}
		select {
		case <-l.wake:
			continue
		case <-gone:
			return nil, dispatch.ErrGone
		case <-l.timer.C:
			l.timer.Reset(liveLook)
		}
		if l.mustSpeak() {
			l.out.B = append(l.out.B[:0], l.teller.idle()...)
			return l.say()
		}
	}
	return nil, io.EOF
}

func (l *liveBody) say() ([]byte, error) {
	l.since = time.Now()
	return l.out.B, nil
}

// mustSpeak reports whether a silent stream has to say something: every now and
// then, and when the client has sent a FIN. It may have left then, which only
// writing tells, or may merely send no more.
func (l *liveBody) mustSpeak() bool {
	return l.teller.started && (l.conn.silent() || l.teller.form == liveEvents && time.Since(l.since) >= liveIdle)
}

// collect takes what has come into batch. The error is how the call ended.
func (l *liveBody) collect() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.batch, l.queue = l.queue, l.batch[:0]
	l.held, l.bytes = l.held+l.bytes, 0
	return l.err
}

// tell writes the batch.
func (l *liveBody) tell() (err error) {
	l.out.B = l.out.B[:0]
	for i, p := range l.batch {
		if err == nil && !l.over {
			var msg []byte
			if p.body != nil {
				msg = p.body.B
			}
			l.out.B, err = l.teller.part(l.out.B, msg, p.final)
			l.over = p.final
		}
		p.body.Release()
		l.batch[i] = livePart{}
	}
	l.batch = l.batch[:0]
	return err
}

// done implements pieces.
func (l *liveBody) done() {
	l.server.budget.give(int64(l.held))
	l.held = 0
}

// stop implements pieces: it ends the call, if that is still under way.
func (l *liveBody) stop() {
	l.mu.Lock()
	l.closed = true
	for _, p := range l.queue {
		p.body.Release()
	}
	l.queue = nil
	l.server.budget.give(int64(l.bytes + l.held))
	l.bytes, l.held = 0, 0
	h := l.handle
	l.mu.Unlock()
	h.Cancel()
	l.timer.Stop()
	l.out.Release()
	l.out = nil
}
