package memory

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

var dropped = promauto.NewCounterVec(prometheus.CounterOpts{
	Name: "sluice_memory_bus_dropped_total",
	Help: "Messages that the in-process bus dropped: expired unread, no room in a subscriber's queue, or pushed out of it by newer ones.",
}, []string{"reason"})

var (
	droppedExpired  = dropped.WithLabelValues("expired")
	droppedOverflow = dropped.WithLabelValues("overflow")
	droppedHead     = dropped.WithLabelValues("head")
)
