package proxy

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"sluice/proxy/dispatch"
)

var importMessages = promauto.NewCounterVec(prometheus.CounterOpts{
	Name: "sluice_import_messages_total",
	Help: "Messages of imports by what became of them: in a queue (ok), not translatable (invalid), " +
		"in no queue (unroutable), unknown, or never handed to the bus (not_sent).",
}, []string{"result"})

var (
	importOK         = importMessages.WithLabelValues("ok")
	importInvalid    = importMessages.WithLabelValues("invalid")
	importUnroutable = importMessages.WithLabelValues("unroutable")
	importUnknown    = importMessages.WithLabelValues("unknown")
	importUnsent     = importMessages.WithLabelValues("not_sent")
)

// countUnsettled counts a message that the bus took and did not settle well.
func countUnsettled(err error) {
	if errors.Is(err, dispatch.ErrNoService) {
		importUnroutable.Inc()
		return
	}
	importUnknown.Inc()
}
