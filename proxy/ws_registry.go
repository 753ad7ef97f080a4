package proxy

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"sluice/proxy/dispatch"
)

var errTooManyStrangers = &jsonError{
	status: fasthttp.StatusServiceUnavailable, text: "too many sockets that have not authenticated, try again later", retry: true,
}

// sockets knows every open socket, and holds the bounds that they share. One
// goroutine, the sweeper, looks after all of them: pings, deadlines, and whatever
// else their handlers do from time to time.
type sockets struct {
	// Set once.

	log          *slog.Logger
	maxPerSocket int64 // bytes queued for one socket
	maxQueued    int64 // bytes queued for all
	maxStrangers int64
	sharedBytes  func() int64 // bytes of frames that several sockets share, each counted once
	inbound      *budget      // bytes of messages that are arriving
	pingEvery    time.Duration
	deadAfter    time.Duration
	closeWait    time.Duration
	sweepEvery   time.Duration

	now       atomic.Int64 // the sweeper's clock, Unix nanoseconds
	queued    atomic.Int64
	strangers atomic.Int64 // sockets that have not authenticated
	reserved  atomic.Int64 // accepted, not yet open
	rechecks  atomic.Int64 // credentials being checked again

	mu       sync.Mutex
	all      []*wsConn
	draining bool
	empty    chan struct{} // closed when draining and none is left
	stop     chan struct{} // nil until the sweeper runs
	stopped  chan struct{}
}

func newSockets(cfg *Config, inbound *budget) *sockets {
	r := &sockets{
		log: cfg.Logger, inbound: inbound,
		maxPerSocket: cfg.SocketQueueBytes, maxQueued: cfg.SocketBudgetBytes, sharedBytes: dispatch.FrameBytes, maxStrangers: int64(cfg.MaxUnauthenticated),
		pingEvery: cfg.SocketPing, deadAfter: cfg.SocketDead, closeWait: cfg.SocketCloseWait,
		empty: make(chan struct{}),
	}
	r.sweepEvery = max(min(time.Second, r.pingEvery/8, r.deadAfter/8, r.closeWait/4, cfg.SocketAuthWait/4), time.Millisecond)
	r.now.Store(time.Now().UnixNano())
	return r
}

// reserve admits one more socket. It refuses while the server drains, and when
// there are too many that may still have to authenticate.
func (r *sockets) reserve(stranger bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.draining {
		return errSocketsDraining
	}
	if stranger && r.strangers.Load() >= r.maxStrangers {
		return errTooManyStrangers
	}
	if stranger {
		r.strangers.Add(1)
	}
	r.reserved.Add(1)
	if r.stop == nil {
		r.stop, r.stopped = make(chan struct{}), make(chan struct{})
		r.now.Store(time.Now().UnixNano())
		go r.sweep(r.stop, r.stopped)
	}
	return nil
}

// add records an open socket, and drains it at once when it is late.
func (r *sockets) add(c *wsConn) {
	c.kind.metrics().open.Inc()
	r.mu.Lock()
	c.index = len(r.all)
	r.all = append(r.all, c)
	r.reserved.Add(-1)
	draining := r.draining
	r.mu.Unlock()
	if draining {
		c.drain()
	}
}

// remove forgets a socket that has ended, or that never opened.
func (r *sockets) remove(c *wsConn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c.known.CompareAndSwap(false, true) {
		r.strangers.Add(-1)
	}
	if c.index < 0 {
		r.reserved.Add(-1)
	} else {
		last := len(r.all) - 1
		r.all[c.index] = r.all[last]
		r.all[c.index].index = c.index
		r.all[last] = nil
		r.all = r.all[:last]
		c.index = -1
		c.kind.metrics().open.Dec()
		c.kind.metrics().closed(c.code())
	}
	r.checkEmptyLocked()
}

// admitted notes that a socket has authenticated for the first time.
func (r *sockets) admitted(c *wsConn) {
	if c.known.CompareAndSwap(false, true) {
		r.strangers.Add(-1)
	}
}

func (r *sockets) checkEmptyLocked() {
	if r.draining && len(r.all) == 0 && r.reserved.Load() == 0 {
		select {
		case <-r.empty:
		default:
			close(r.empty)
		}
	}
}

func (r *sockets) snapshot(dst []*wsConn) []*wsConn {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append(dst[:0], r.all...)
}

// relieve closes the socket with the longest queue, because all queues together
// are too long: whoever reads slowest pays, not whoever is sent something next.
func (r *sockets) relieve() {
	var worst *wsConn
	var most int64
	r.mu.Lock()
	for _, c := range r.all {
		if n := c.queued(); n > most {
			worst, most = c, n
		}
	}
	r.mu.Unlock()
	if worst != nil {
		wsEvicted.Inc()
		worst.abandon(codeTryLater, reasonSlow)
	}
}

// sweep looks at all sockets until stop.
func (r *sockets) sweep(stop, stopped chan struct{}) {
	defer close(stopped)
	ticker := time.NewTicker(r.sweepEvery)
	defer ticker.Stop()
	var all []*wsConn
	for {
		select {
		case <-stop:
			return
		case now := <-ticker.C:
			r.now.Store(now.UnixNano())
			wsQueueBytes.Set(float64(r.queued.Load() + r.sharedBytes()))
			all = r.snapshot(all)
			for i, c := range all {
				c.sweep(now)
				all[i] = nil
			}
		}
	}
}

// sweep is the sweeper's look at one socket.
func (c *wsConn) sweep(now time.Time) {
	defer func() {
		if p := recover(); p != nil {
			c.panicked("sweeper", p)
		}
	}()
	nano := now.UnixNano()
	c.out.mu.Lock()
	late := c.out.closing && nano > c.out.closeBy
	closing := c.out.closing
	c.out.mu.Unlock()
	silent := time.Duration(nano - c.heard.Load())
	switch {
	case late || silent > c.sockets.deadAfter:
		c.die(codeAbnormal)
		return
	case closing:
		return
	case silent > c.sockets.pingEvery && nano-c.pinged > int64(c.sockets.pingEvery):
		c.pinged = nano
		c.putControl(opPing, nil)
	}
	c.handler.sweep(now)
}

func (c *wsConn) drain() {
	defer func() {
		if p := recover(); p != nil {
			c.panicked("drain", p)
		}
	}()
	c.handler.drain()
}

// shutdown drains all sockets: their handlers finish what is under way until ctx
// ends; then all are closed with 1001. It returns when none is left, a few seconds
// after ctx ends at the latest, and reports whether some had to be closed early.
func (r *sockets) shutdown(ctx context.Context) error {
	r.mu.Lock()
	r.draining = true
	r.checkEmptyLocked()
	r.mu.Unlock()
	for _, c := range r.snapshot(nil) {
		c.drain()
	}
	err := r.wait(ctx)
	if err != nil {
		err = r.closeRest()
	}
	r.mu.Lock()
	stop, stopped := r.stop, r.stopped
	r.stop = nil
	r.mu.Unlock()
	if stop != nil {
		close(stop)
		<-stopped
	}
	return err
}

func (r *sockets) wait(ctx context.Context) error {
	select {
	case <-r.empty:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

var errSocketsCut = errors.New("sockets had to be closed before they were done")

func (r *sockets) closeRest() error {
	for _, c := range r.snapshot(nil) {
		c.close(codeGoingAway, reasonShutdown)
	}
	ctx, cancel := context.WithTimeout(context.Background(), min(r.closeWait, lastGoodbye))
	defer cancel()
	if r.wait(ctx) != nil {
		for _, c := range r.snapshot(nil) {
			c.die(codeAbnormal)
		}
		last, cancel := context.WithTimeout(context.Background(), afterCut)
		defer cancel()
		_ = r.wait(last)
	}
	return errSocketsCut
}

// lastGoodbye is how long clients may take to answer the close frame that they get
// because the time to drain is over.
const lastGoodbye = 2 * time.Second

// codeOfWrite is what a failed write is counted as: a client that does not read is
// closed as slow, even though no frame can tell it so.
func codeOfWrite(err error) int {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return codeTryLater
	}
	return codeAbnormal
}
