package proxy

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

const (
	// scanEvery is the pace of the scanner, scanAge how old a call must be
	// before its client is looked after: younger ones end by themselves.
	scanEvery = 250 * time.Millisecond
	scanAge   = time.Second
)

var clientsGone = promauto.NewCounter(prometheus.CounterOpts{
	Name: "sluice_http_clients_gone_total",
	Help: "Calls ended because their client had left.",
})

// peer is what the kernel knows of the other end of a connection.
type peer uint8

const (
	peerThere  peer = iota
	peerSilent      // sent FIN: closed, or half-closed and waiting for the answer
	peerGone        // the connection is dead
)

// interimResponse is harmless to a client that is still reading. One that has
// closed its socket answers it with a reset, which the next scan sees.
var interimResponse = []byte("HTTP/1.1 100 Continue\r\n\r\n")

// scanner finds the running calls whose client has left: one goroutine for all
// of them, none per call.
type scanner struct {
	conns *registry
	stop  chan struct{}
	done  chan struct{}
	batch []*conn // owned by run
}

func startScanner(conns *registry) *scanner {
	s := &scanner{conns: conns, stop: make(chan struct{}), done: make(chan struct{})}
	go s.run()
	return s
}

func (s *scanner) close() {
	close(s.stop)
	<-s.done
}

func (s *scanner) run() {
	defer close(s.done)
	ticker := time.NewTicker(scanEvery)
	defer ticker.Stop()
	for {
		select {
		case now := <-ticker.C:
			s.scan(now.Add(-scanAge))
		case <-s.stop:
			return
		}
	}
}

// scan looks after the calls that began before t.
func (s *scanner) scan(t time.Time) {
	s.batch = s.conns.waiting(s.batch[:0], t)
	for i, c := range s.batch {
		c.lookAfter()
		s.batch[i] = nil
	}
}

// lookAfter reports the client of the running call gone when it is, and probes
// it once when that cannot be told.
func (c *conn) lookAfter() {
	state := c.peer()
	if state == peerThere {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	since := c.busySince.Load()
	switch {
	case since == 0 || since == c.reported:
	case state == peerGone:
		c.report(since)
	case since != c.probed && c.interim.Load():
		c.probed = since
		if !c.probe() {
			c.report(since)
		}
	}
}

// silent reports whether the client has said that it sends no more, and may have
// left.
func (c *conn) silent() bool { return c != nil && c.peer() == peerSilent }

// report tells the call that its client has left. The caller holds mu.
func (c *conn) report(since int64) {
	c.reported = since
	select {
	case c.gone <- struct{}{}:
		clientsGone.Inc()
	default:
	}
}
