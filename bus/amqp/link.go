package amqp

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rabbitmq/amqp091-go"
)

const (
	minBackoff = 20 * time.Millisecond
	maxBackoff = 500 * time.Millisecond
	// steadyAfter is how long a connection must have lived to count as a success.
	steadyAfter    = time.Second
	connectTimeout = 5 * time.Second
	keepAlive      = 15 * time.Second
)

// link owns the life of one connection: it dials, lets serve use the connection
// for as long as it lives, and dials again. One goroutine runs it.
type link struct {
	cfg   *Config
	role  string
	late  func() time.Time // when a connection that is being closed must be gone
	first int              // the URL to try first; owned by run

	wire atomic.Pointer[wire] // of the present connection, or nil

	// down is set while there is no connection and at least one attempt failed.
	down atomic.Bool
	mu   sync.Mutex
	err  error // why there is no connection, guarded by mu
}

func newLink(cfg *Config, role string, late func() time.Time) *link {
	return &link{
		cfg: cfg, role: role, late: late, err: errors.New("not connected yet"),
	}
}

// attachment is one connection with everything that can be heard of it.
type attachment struct {
	conn    *amqp091.Connection
	wire    *wire
	late    func() time.Time // the link's
	closed  chan *amqp091.Error
	blocked chan amqp091.Blocking
}

// close ends the connection, in time. The library's deadline alone would not do:
// each heartbeat that arrives moves it.
func (a *attachment) close() {
	by := a.late()
	defer time.AfterFunc(time.Until(by), a.wire.abort).Stop()
	_ = a.conn.CloseDeadline(by)
}

// run keeps a connection until ctx ends. serve returns when the connection is of
// no more use, and says why.
func (l *link) run(ctx context.Context, serve func(context.Context, *attachment) error) {
	backoff := minBackoff
	for ctx.Err() == nil {
		began := time.Now()
		err := l.once(ctx, serve)
		if ctx.Err() != nil {
			break
		}
		if time.Since(began) > steadyAfter {
			backoff = minBackoff
		}
		l.note(err, backoff == minBackoff)
		pause(ctx, backoff/2+rand.N(backoff/2))
		backoff = min(2*backoff, maxBackoff)
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

func (l *link) once(ctx context.Context, serve func(context.Context, *attachment) error) error {
	a, err := l.dialAny(ctx)
	if err != nil {
		return err
	}
	l.wire.Store(a.wire)
	defer l.wire.Store(nil)
	// Whatever waits for the broker then, opening a channel or declaring, waits no longer.
	defer context.AfterFunc(ctx, func() { time.AfterFunc(time.Until(l.late()), a.wire.abort) })()
	gauge := connected.WithLabelValues(l.role)
	gauge.Inc()
	l.cfg.Logger.Info("connected to the message bus", "role", l.role, "broker", a.conn.RemoteAddr().String())
	err = serve(ctx, a)
	a.close()
	gauge.Dec()
	if ctx.Err() == nil {
		reconnects.WithLabelValues(l.role).Inc()
	}
	return err
}

// note remembers why there is no connection; a broker that stays away is logged once.
func (l *link) note(err error, log bool) {
	l.mu.Lock()
	l.err = err
	l.mu.Unlock()
	l.down.Store(true)
	if log {
		l.cfg.Logger.Warn("no connection to the message bus", "role", l.role, "error", err)
	}
}

func (l *link) reason() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// drop ends the present connection as if the network had.
func (l *link) drop() {
	if w := l.wire.Load(); w != nil {
		w.abort()
	}
}

// guard drops the connection unless the function it returns is called in time: a
// broker may answer heartbeats and nothing else, and the library waits for ever.
func (l *link) guard() (passed func() bool) {
	return time.AfterFunc(l.cfg.WatchdogTimeout, l.drop).Stop
}

func (l *link) dialAny(ctx context.Context) (*attachment, error) {
	var last error
	for range l.cfg.URLs {
		a, err := l.dial(ctx, l.cfg.URLs[l.first])
		if err == nil {
			return a, nil
		}
		last = err
		l.first = (l.first + 1) % len(l.cfg.URLs)
	}
	return nil, last
}

// dial opens one connection. Errors come from the network or the broker and name
// hosts, never credentials.
func (l *link) dial(ctx context.Context, url string) (*attachment, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	var w *wire
	stop := func() bool { return true }
	conf := amqp091.Config{
		Heartbeat:  l.cfg.Heartbeat,
		Properties: amqp091.NewConnectionProperties(),
		Dial: func(network, addr string) (net.Conn, error) {
			dialer := net.Dialer{KeepAlive: keepAlive}
			conn, err := dialer.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			w = newWire(conn, l.cfg.WriteBufferBytes, l.cfg.WriteTimeout)
			// The handshake knows no context: cutting the socket ends it.
			stop = context.AfterFunc(ctx, w.abort)
			return w, nil
		},
	}
	conf.Properties.SetClientConnectionName(l.cfg.Name + " " + l.role)
	if l.cfg.TLS != nil {
		conf.TLSClientConfig = l.cfg.TLS.Clone() // the library writes to it
	}
	conn, err := amqp091.DialConfig(url, conf)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		if w != nil {
			_ = w.Close()
		}
		return nil, fmt.Errorf("connecting: %w", err)
	}
	return &attachment{
		conn: conn, wire: w, late: l.late,
		closed:  conn.NotifyClose(make(chan *amqp091.Error, 1)),
		blocked: conn.NotifyBlocked(make(chan amqp091.Blocking, 16)),
	}, nil
}

// watch returns when a publisher's connection is of no more use. It calls tick
// regularly, whose error is the end, and block when the broker holds publishers
// back or lets them go on.
func (l *link) watch(ctx context.Context, a *attachment, every time.Duration, tick func(time.Time) error, block func(bool)) error {
	clock := time.NewTicker(every)
	defer clock.Stop()
	for {
		select {
		case b, ok := <-a.blocked:
			if !ok {
				a.blocked = nil // closed says why
				continue
			}
			a.wire.blocked.Store(b.Active)
			block(b.Active)
			l.cfg.Logger.Warn("the message bus changed its mind about publishers", "role", l.role, "blocked", b.Active, "reason", b.Reason)
		case now := <-clock.C:
			if err := tick(now); err != nil {
				watchdogFailures.Inc()
				a.wire.abort()
				return err
			}
		case err := <-a.closed:
			return lost(err)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// lost is the error for a connection whose close listener fired.
func lost(err *amqp091.Error) error {
	if err == nil {
		return errors.New("connection closed")
	}
	return fmt.Errorf("connection lost: %w", err)
}
