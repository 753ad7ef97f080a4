package proxy

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

var (
	requestsTotal = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "sluice_http_requests_total",
		Help: "HTTP requests answered, by route and class of status.",
	}, []string{"route", "code"})
	requestSeconds = promauto.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "sluice_http_request_seconds",
		Help:    "Time from a request's header to its answer, by route.",
		Buckets: prometheus.ExponentialBuckets(0.0005, 2.5, 14),
	}, []string{"route"})
	panicsTotal = promauto.NewCounter(prometheus.CounterOpts{
		Name: "sluice_http_panics_total",
		Help: "Requests that ended in a contained panic.",
	})
	malformedTotal = promauto.NewCounter(prometheus.CounterOpts{
		Name: "sluice_http_malformed_total",
		Help: "Connections closed because what they sent was no acceptable HTTP.",
	})
)

var codeClasses = [...]string{"other", "1xx", "2xx", "3xx", "4xx", "5xx"}

// routeMetrics are one route's children, resolved at start.
type routeMetrics struct {
	codes   [len(codeClasses)]prometheus.Counter
	seconds prometheus.Observer
}

func metricsOf(route string) *routeMetrics {
	m := &routeMetrics{seconds: requestSeconds.WithLabelValues(route)}
	for class, name := range codeClasses {
		m.codes[class] = requestsTotal.WithLabelValues(route, name)
	}
	return m
}

func (m *routeMetrics) observe(status int, took time.Duration) {
	class := status / 100
	if class >= len(codeClasses) {
		class = 0
	}
	m.codes[class].Inc()
	m.seconds.Observe(took.Seconds())
}
