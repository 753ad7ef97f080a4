package auth

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

var (
	cacheHits = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "sluice_auth_cache_hits_total",
		Help: "Credentials accepted or refused from memory, by method.",
	}, []string{"method"})
	cacheMisses = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "sluice_auth_cache_misses_total",
		Help: "Credentials that had to be verified or looked up, by method.",
	}, []string{"method"})
	refusals = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "sluice_auth_refusals_total",
		Help: "Credentials refused, by method.",
	}, []string{"method"})
	unavailable = promauto.NewCounter(prometheus.CounterOpts{
		Name: "sluice_auth_unavailable_total",
		Help: "Credentials about which IAM could not be asked.",
	})
	lookupsInFlight = promauto.NewGauge(prometheus.GaugeOpts{
		Name: "sluice_auth_lookups_in_flight",
		Help: "Look-ups of API keys and users that IAM has not answered yet.",
	})
	staleAnswers = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "sluice_auth_stale_answers_total",
		Help: "Times that IAM's last answer was taken because it could not be asked again, by method.",
	}, []string{"method"})
	confirmationResults = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "sluice_auth_confirmations_total",
		Help: "Questions to IAM about the users of JWTs, by result; unconfirmable: IAM has no such operation.",
	}, []string{"result"})
	keyFetches = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "sluice_auth_key_fetches_total",
		Help: "Fetches of the signing keys from IAM, by result.",
	}, []string{"result"})
	denials = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "sluice_auth_denials_total",
		Help: "Operations denied to good credentials, by the capability demanded.",
	}, []string{"capability"})
)

// methodMetrics are the children of one method, resolved once.
type methodMetrics struct{ hits, misses, refusals, stale prometheus.Counter }

func metricsOf(method string) methodMetrics {
	return methodMetrics{
		hits:     cacheHits.WithLabelValues(method),
		misses:   cacheMisses.WithLabelValues(method),
		refusals: refusals.WithLabelValues(method),
		stale:    staleAnswers.WithLabelValues(method),
	}
}

var (
	jwtMetrics    = metricsOf("jwt")
	apiKeyMetrics = metricsOf("api-key")
	// otherRefusals counts tokens that are of neither kind.
	otherRefusals = refusals.WithLabelValues("none")

	keyFetchesOK     = keyFetches.WithLabelValues("ok")
	keyFetchesFailed = keyFetches.WithLabelValues("failed")
)

// deniedFor has one child per capability.
var deniedFor = func() (children [capabilityCount]prometheus.Counter) {
	for c := range capabilityCount {
		children[c] = denials.WithLabelValues(c.String())
	}
	return children
}()

// confirmed is what came of asking about a user.
type confirmed uint8

const (
	confirmedYes confirmed = iota
	confirmedNo
	confirmedUnknown
	confirmedNever
)

var confirmations = [...]prometheus.Counter{
	confirmedYes:     confirmationResults.WithLabelValues("ok"),
	confirmedNo:      confirmationResults.WithLabelValues("refused"),
	confirmedUnknown: confirmationResults.WithLabelValues("unavailable"),
	confirmedNever:   confirmationResults.WithLabelValues("unconfirmable"),
}
