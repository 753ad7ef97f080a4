package proxy

import (
	"errors"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"time"
)

const (
	// acceptPauseMin and acceptPauseMax bound the pause after a failed accept.
	acceptPauseMin = 5 * time.Millisecond
	acceptPauseMax = 250 * time.Millisecond
	// roomPoll is how often a full listener looks for a connection to evict.
	roomPoll = 50 * time.Millisecond
	// fallbackMaxConns is the limit where the descriptor limit is unknown.
	fallbackMaxConns = 4096
)

// DefaultMaxConns is nine tenths of the process's descriptor limit: what is left
// is for the broker, logs and files.
func DefaultMaxConns() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Cur == 0 {
		return fallbackMaxConns
	}
	return max(1, int(min(limit.Cur, 1<<20)/10*9))
}

// listener hands out connections up to a limit. Above it the longest idle one
// makes room; when none is idle, accepting waits and newcomers queue in the
// kernel. It outlives running out of descriptors, which fasthttp would take for
// the end (pitfalls F30).
type listener struct {
	net.Listener
	conns      *registry
	maxConns   int
	writeStall time.Duration
	log        *slog.Logger

	once sync.Once
	done chan struct{}
}

func newListener(ln net.Listener, conns *registry, cfg *Config) *listener {
	return &listener{
		Listener: ln, conns: conns, maxConns: cfg.MaxConns, writeStall: cfg.WriteStall,
		log: cfg.Logger, done: make(chan struct{}),
	}
}

// Accept returns the next connection. It returns an error only when the listener
// is closed or broken for good.
func (l *listener) Accept() (net.Conn, error) {
	pause := acceptPauseMin
	for {
		nc, err := l.Listener.Accept()
		if err == nil {
			return l.admit(nc)
		}
		if !passing(err) {
			return nil, err
		}
		evicted := l.conns.evict(nil)
		l.log.Warn("accept failed, trying again", "error", err, "connections", l.conns.size(), "evicted", evicted)
		if !l.sleep(pause) {
			return nil, net.ErrClosed
		}
		pause = min(2*pause, acceptPauseMax)
	}
}

// passing reports whether an accept may succeed later.
func passing(err error) bool {
	for _, code := range [...]syscall.Errno{
		syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM,
		syscall.ECONNABORTED, syscall.ECONNRESET, syscall.EINTR,
	} {
		if errors.Is(err, code) {
			return true
		}
	}
	return false
}

// admit waits until there is room for nc.
func (l *listener) admit(nc net.Conn) (net.Conn, error) {
	c := newConn(nc, l.conns, l.writeStall)
	if l.conns.add(c) <= l.maxConns || l.conns.evict(c) {
		return c, nil
	}
	for l.conns.size() > l.maxConns {
		select {
		case <-l.conns.closed:
		case <-time.After(roomPoll):
			l.conns.evict(c)
		case <-l.done:
			_ = c.kill()
			return nil, net.ErrClosed
		}
	}
	return c, nil
}

func (l *listener) sleep(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-l.done:
		return false
	}
}

// Close stops accepting. It is safe to call twice.
func (l *listener) Close() error {
	err := net.ErrClosed
	l.once.Do(func() {
		close(l.done)
		err = l.Listener.Close()
	})
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
