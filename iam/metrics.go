package iam

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// outcomeOK labels requests that succeeded; the others carry their error type.
const outcomeOK = "ok"

var requestsTotal = promauto.NewCounterVec(prometheus.CounterOpts{
	Name: "sluice_iam_requests_total",
	Help: "IAM requests answered, by operation and outcome (ok or the error type).",
}, []string{"operation", "outcome"})

var droppedTotal = promauto.NewCounterVec(prometheus.CounterOpts{
	Name: "sluice_iam_dropped_total",
	Help: "IAM requests without a reply, by reason.",
}, []string{"reason"})

var hashesTotal = promauto.NewCounter(prometheus.CounterOpts{
	Name: "sluice_iam_password_hashes_total",
	Help: "Password hashes derived, those for accounts that do not exist included.",
})

// dropped has a counter for every way in which a request ends without a reply.
var dropped = struct{ badBody, noID, repeated, late, reply prometheus.Counter }{
	badBody:  droppedTotal.WithLabelValues("bad_body"),
	noID:     droppedTotal.WithLabelValues("no_id"),
	repeated: droppedTotal.WithLabelValues("repeated"),
	late:     droppedTotal.WithLabelValues("late"),
	reply:    droppedTotal.WithLabelValues("reply_lost"),
}

// outcomeCounters resolves the counters of one operation.
func outcomeCounters(operation string) map[string]prometheus.Counter {
	counters := make(map[string]prometheus.Counter)
	for _, outcome := range []string{outcomeOK, typeInvalid, typeNotFound, typeDuplicate, typeAuthFailed, typeNotPermitted, typeInternal, typeWeakPassword} {
		counters[outcome] = requestsTotal.WithLabelValues(operation, outcome)
	}
	return counters
}
