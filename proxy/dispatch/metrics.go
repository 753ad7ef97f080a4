package dispatch

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

var (
	callsWaiting = promauto.NewGauge(prometheus.GaugeOpts{
		Name: "sluice_calls_waiting",
		Help: "Calls that hold a slot because they wait for an answer.",
	})
	flowsRunning = promauto.NewGauge(prometheus.GaugeOpts{
		Name: "sluice_flows",
		Help: "Flows that are defined.",
	})
	servicesWired = promauto.NewGauge(prometheus.GaugeOpts{
		Name: "sluice_services_wired",
		Help: "Services that have been called and are ready to be called again.",
	})
)

var repliesDropped = promauto.NewCounterVec(prometheus.CounterOpts{
	Name: "sluice_replies_dropped_total",
	Help: "Replies that no call took: for another gateway, without an id of any gateway, " +
		"for a call that has a queue of its own, for one that has ended, after the last part, " +
		"or replaced by a newer part.",
}, []string{"reason"})

var (
	droppedForeign   = repliesDropped.WithLabelValues("foreign")
	droppedPrivate   = repliesDropped.WithLabelValues("private")
	droppedMalformed = repliesDropped.WithLabelValues("malformed")
	droppedStale     = repliesDropped.WithLabelValues("stale")
	droppedLate      = repliesDropped.WithLabelValues("late")
	droppedReplaced  = repliesDropped.WithLabelValues("replaced")
)

var (
	exportConsumers = promauto.NewGauge(prometheus.GaugeOpts{
		Name: "sluice_export_consumers",
		Help: "Consumers on the bus for exports: one per interface that is tapped, one per blocking tap.",
	})
	exportMessages = promauto.NewCounter(prometheus.CounterOpts{
		Name: "sluice_export_messages_total",
		Help: "Messages encoded for export, once each, however many sockets share them.",
	})
	exportFailures = promauto.NewCounter(prometheus.CounterOpts{
		Name: "sluice_export_encode_failures_total",
		Help: "Messages left out of exports because they could not be encoded.",
	})
)

var sinkPanics = promauto.NewCounter(prometheus.CounterOpts{
	Name: "sluice_sink_panics_total",
	Help: "Streamed answers that ended because their receiver panicked.",
})

var callsFailed = promauto.NewCounterVec(prometheus.CounterOpts{
	Name: "sluice_calls_failed_total",
	Help: "Calls and sends that ended without the service's word, by reason.",
}, []string{"reason"})

// failures maps errors to their counters, in the order in which they are tried.
var failures = []struct {
	err     error
	counter prometheus.Counter
}{
	{ErrTimeout, callsFailed.WithLabelValues("timeout")},
	{ErrGone, callsFailed.WithLabelValues("gone")},
	{ErrNoService, callsFailed.WithLabelValues("no_service")},
	{ErrFlowStopped, callsFailed.WithLabelValues("flow_stopped")},
	{ErrLost, callsFailed.WithLabelValues("lost")},
	{ErrOutcomeUnknown, callsFailed.WithLabelValues("outcome_unknown")},
	{ErrUnavailable, callsFailed.WithLabelValues("unavailable")},
	{ErrExhausted, callsFailed.WithLabelValues("exhausted")},
	{ErrTooLarge, callsFailed.WithLabelValues("too_large")},
	{ErrUnsupportedKind, callsFailed.WithLabelValues("unknown_target")},
}

var (
	failedUnknown   = callsFailed.WithLabelValues("unknown_target")
	failedTranslate = callsFailed.WithLabelValues("translation")
)

func countFailure(err error) {
	for _, f := range failures {
		if errors.Is(err, f.err) {
			f.counter.Inc()
			return
		}
	}
	var unknown *UnknownFlowError
	if errors.As(err, &unknown) {
		failedUnknown.Inc()
		return
	}
	failedTranslate.Inc()
}
