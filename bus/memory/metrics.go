package memory

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

var dropped = promauto.NewCounterVec(prometheus.CounterOpts{
	Name: "sluice_memory_bus_dropped_total",
	Help: "Messages that the in-process bus dropped: expired unread, or no room in a subscriber's queue.",
}, []string{"reason"})

var (
	droppedExpired  = dropped.WithLabelValues("expired")
	droppedOverflow = dropped.WithLabelValues("overflow")
)
