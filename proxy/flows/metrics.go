package flows

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

var (
	notifies = promauto.NewCounter(prometheus.CounterOpts{
		Name: "sluice_config_notifies_total", Help: "Config notifications received.",
	})
	badNotifies = promauto.NewCounter(prometheus.CounterOpts{
		Name: "sluice_config_bad_notifies_total", Help: "Config notifications that could not be read; each asks for a resync.",
	})
	badRecords = promauto.NewCounter(prometheus.CounterOpts{
		Name: "sluice_flow_bad_records_total", Help: "Flow records that could not be read, each version of one counted once.",
	})
	staleDefinitions = promauto.NewGauge(prometheus.GaugeOpts{
		Name: "sluice_flow_stale_workspaces", Help: "Workspaces whose flow definitions could not be fetched at the last attempt.",
	})
	fetches = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "sluice_config_fetches_total", Help: "Requests to the config service by result.",
	}, []string{"result"})
	fetchesOK     = fetches.WithLabelValues("ok")
	fetchesFailed = fetches.WithLabelValues("error")

	resyncs = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "sluice_config_resyncs_total", Help: "Full fetches of all workspaces asked for, by reason.",
	}, []string{"reason"})

	reloads = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "sluice_flows_file_reloads_total", Help: "Reloads of the flows file by result.",
	}, []string{"result"})
	reloadsOK     = reloads.WithLabelValues("ok")
	reloadsFailed = reloads.WithLabelValues("error")
)
