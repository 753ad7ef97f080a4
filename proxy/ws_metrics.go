package proxy

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// socketKind is what a socket is for.
type socketKind uint8

const (
	muxSocket    socketKind = iota // /api/v1/socket
	importSocket                   // …/import/{kind}
	exportSocket                   // …/export/{kind}
	socketKinds
)

var socketKindNames = [socketKinds]string{"socket", "import", "export"}

// String is the kind's name in metrics and logs.
func (k socketKind) String() string { return socketKindNames[k] }

func (k socketKind) metrics() *socketMetrics { return &metricsBySocket[k] }

var (
	wsOpen = promauto.NewGaugeVec(prometheus.GaugeOpts{
		Name: "sluice_ws_sockets",
		Help: "Sockets open now, by kind.",
	}, []string{"kind"})
	wsFrames = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "sluice_ws_messages_total",
		Help: "Messages of clients and frames to them, by kind of socket and direction.",
	}, []string{"kind", "direction"})
	wsBytes = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "sluice_ws_bytes_total",
		Help: "Bytes of sockets on the wire, by direction.",
	}, []string{"direction"})
	wsWrites = promauto.NewCounter(prometheus.CounterOpts{
		Name: "sluice_ws_writes_total",
		Help: "Writes to the connections of sockets; several frames may leave in one.",
	})
	wsQueueBytes = promauto.NewGauge(prometheus.GaugeOpts{
		Name: "sluice_ws_queue_bytes",
		Help: "Bytes waiting to be written to sockets.",
	})
	wsCloses = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "sluice_ws_closes_total",
		Help: "Sockets that have ended, by kind and close code; 1006 is an end without a close frame.",
	}, []string{"kind", "code"})
	wsEvicted = promauto.NewCounter(prometheus.CounterOpts{
		Name: "sluice_ws_evicted_total",
		Help: "Sockets closed because all queues together were too long and theirs was the longest.",
	})
	wsDrops = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "sluice_ws_dropped_total",
		Help: "Frames dropped instead of being sent, by why.",
	}, []string{"reason"})
	wsReauths = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "sluice_ws_reauths_total",
		Help: "Checks of a socket's credential while it was open, by outcome.",
	}, []string{"outcome"})

	wsBytesIn, wsBytesOut = wsBytes.WithLabelValues("in"), wsBytes.WithLabelValues("out")
	wsDroppedFull         = wsDrops.WithLabelValues("slow_reader")
	wsDroppedOldest       = wsDrops.WithLabelValues("drop_oldest")
)

// closeCodes are the codes with a child of their own.
var closeCodes = [...]int{1000, 1001, 1002, 1005, 1006, 1007, 1008, 1009, 1011, 1013}

// socketMetrics are one kind's children, resolved at start.
type socketMetrics struct {
	open                prometheus.Gauge
	framesIn, framesOut prometheus.Counter
	closes              [len(closeCodes)]prometheus.Counter
	otherCloses         prometheus.Counter
}

func (m *socketMetrics) closed(code int) {
	for i, c := range closeCodes {
		if c == code {
			m.closes[i].Inc()
			return
		}
	}
	m.otherCloses.Inc()
}

var metricsBySocket = func() (all [socketKinds]socketMetrics) {
	for k := range socketKinds {
		m := &all[k]
		m.open = wsOpen.WithLabelValues(k.String())
		m.framesIn = wsFrames.WithLabelValues(k.String(), "in")
		m.framesOut = wsFrames.WithLabelValues(k.String(), "out")
		for i, code := range closeCodes {
			m.closes[i] = wsCloses.WithLabelValues(k.String(), strconv.Itoa(code))
		}
		m.otherCloses = wsCloses.WithLabelValues(k.String(), "other")
	}
	return all
}()
