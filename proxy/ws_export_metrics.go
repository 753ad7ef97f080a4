package proxy

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

var exportFrames = promauto.NewCounterVec(prometheus.CounterOpts{
	Name: "sluice_export_frames_total",
	Help: "Frames of exports, counted for every socket: queued to be sent, dropped because the client " +
		"was too slow, or skipped by a blocking export because the message cannot be encoded.",
}, []string{"outcome"})

var (
	exportQueued  = exportFrames.WithLabelValues("queued")
	exportDropped = exportFrames.WithLabelValues("dropped")
	exportSkipped = exportFrames.WithLabelValues("skipped")
)
