package proxy

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

var (
	connsOpen = promauto.NewGauge(prometheus.GaugeOpts{
		Name: "sluice_http_connections",
		Help: "Client connections open now.",
	})
	connsEvicted = promauto.NewCounter(prometheus.CounterOpts{
		Name: "sluice_http_connections_evicted_total",
		Help: "Idle client connections closed to make room for new ones.",
	})
)

// registry knows every open client connection.
type registry struct {
	// closed gets a token when a connection has gone, for an accept loop that
	// waits for room.
	closed chan struct{}

	mu    sync.Mutex
	conns []*conn // guarded by mu
}

func newRegistry() *registry { return &registry{closed: make(chan struct{}, 1)} }

// add records c and returns how many there are with it.
func (r *registry) add(c *conn) int {
	connsOpen.Inc()
	r.mu.Lock()
	defer r.mu.Unlock()
	c.index = len(r.conns)
	r.conns = append(r.conns, c)
	return len(r.conns)
}

// remove forgets c. Calling it again is harmless.
func (r *registry) remove(c *conn) {
	r.mu.Lock()
	known := c.index < len(r.conns) && r.conns[c.index] == c
	if known {
		last := len(r.conns) - 1
		r.conns[c.index] = r.conns[last]
		r.conns[c.index].index = c.index
		r.conns[last] = nil
		r.conns = r.conns[:last]
	}
	r.mu.Unlock()
	if !known {
		return
	}
	connsOpen.Dec()
	select {
	case r.closed <- struct{}{}:
	default:
	}
}

func (r *registry) size() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.conns)
}

// evict closes the connection that has waited longest for a request, other than
// keep, and reports whether there was one.
func (r *registry) evict(keep *conn) bool {
	r.mu.Lock()
	var oldest *conn
	var since int64
	for _, c := range r.conns {
		if t := c.idleSince.Load(); t != 0 && c != keep && (oldest == nil || t < since) {
			oldest, since = c, t
		}
	}
	r.mu.Unlock()
	if oldest == nil {
		return false
	}
	connsEvicted.Inc()
	_ = oldest.kill()
	return true
}

// waiting appends the connections whose running call began before t.
func (r *registry) waiting(dst []*conn, t time.Time) []*conn {
	limit := t.UnixNano()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.conns {
		if since := c.busySince.Load(); since != 0 && since < limit {
			dst = append(dst, c)
		}
	}
	return dst
}

// snapshot returns the connections, all or only those that wait for a request.
func (r *registry) snapshot(idleOnly bool) []*conn {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]*conn, 0, len(r.conns))
	for _, c := range r.conns {
		if !idleOnly || c.idleSince.Load() != 0 {
			out = append(out, c)
		}
	}
	return out
}
