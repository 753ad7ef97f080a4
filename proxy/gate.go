package proxy

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

var (
	requestsInFlight = promauto.NewGauge(prometheus.GaugeOpts{
		Name: "sluice_http_in_flight",
		Help: "Requests being handled now.",
	})
	bodyBytesInUse = promauto.NewGauge(prometheus.GaugeOpts{
		Name: "sluice_http_body_bytes",
		Help: "Bytes of request bodies held now.",
	})
	shed = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "sluice_http_shed_total",
		Help: "Requests turned away because something was full, by what it was.",
	}, []string{"reason"})

	shedInFlight = shed.WithLabelValues("in_flight")
	shedBodies   = shed.WithLabelValues("body_bytes")
	shedLogins   = shed.WithLabelValues("login_rate")
	shedGuesses  = shed.WithLabelValues("login_guesses")
)

// gate bounds the requests in flight. A full gate turns away at once: there is
// no queue behind it.
type gate struct {
	limit int64
	n     atomic.Int64
}

func (g *gate) enter() bool {
	if g.n.Add(1) > g.limit {
		g.n.Add(-1)
		shedInFlight.Inc()
		return false
	}
	requestsInFlight.Inc()
	return true
}

// hold lets in somebody who is in already, and will leave twice.
func (g *gate) hold() {
	g.n.Add(1)
	requestsInFlight.Inc()
}

func (g *gate) leave() {
	g.n.Add(-1)
	requestsInFlight.Dec()
}

// emptied waits until nobody is in, at most for d, and reports whether that is so.
func (g *gate) emptied(d time.Duration) bool {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(d); g.n.Load() != 0; <-tick.C {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

// budget bounds the bytes of all request bodies together.
type budget struct {
	limit int64
	used  atomic.Int64
}

// take asks for n more bytes and reports whether they were there.
func (b *budget) take(n int64) bool {
	if b.used.Add(n) > b.limit {
		b.used.Add(-n)
		shedBodies.Inc()
		return false
	}
	bodyBytesInUse.Add(float64(n))
	return true
}

func (b *budget) give(n int64) {
	if n == 0 {
		return
	}
	b.used.Add(-n)
	bodyBytesInUse.Sub(float64(n))
}
