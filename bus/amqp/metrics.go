package amqp

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"sluice/bus"
)

var (
	connected = promauto.NewGaugeVec(prometheus.GaugeOpts{
		Name: "sluice_bus_connections", Help: "Open connections to the broker.",
	}, []string{"role"})
	reconnects = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "sluice_bus_connections_lost_total", Help: "Connections to the broker that ended unasked.",
	}, []string{"role"})
	lanesLost = promauto.NewCounter(prometheus.CounterOpts{
		Name: "sluice_bus_lanes_lost_total", Help: "Publishing channels lost, with or without their connection.",
	})
	published = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "sluice_bus_published_total", Help: "Messages handed to the broker's connection.",
	}, []string{"class"})
	returned = promauto.NewCounter(prometheus.CounterOpts{
		Name: "sluice_bus_returned_total", Help: "Mandatory messages that reached no queue.",
	})
	confirms = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "sluice_bus_confirms_total", Help: "Answers of the broker to messages of class flow.",
	}, []string{"outcome"})
	socketWrites = promauto.NewCounter(prometheus.CounterOpts{
		Name: "sluice_bus_socket_writes_total", Help: "Writes to broker sockets; fewer than messages when they are committed in groups.",
	})
	socketBytes = promauto.NewCounter(prometheus.CounterOpts{
		Name: "sluice_bus_socket_written_bytes_total", Help: "Bytes written to broker sockets.",
	})
	shed = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "sluice_bus_shed_total", Help: "Publishes refused because the broker does not keep up.",
	}, []string{"reason"})
	replyMessages = promauto.NewCounter(prometheus.CounterOpts{
		Name: "sluice_bus_replies_total", Help: "Messages with an id taken from the reply queues.",
	})
	replyWithoutID = promauto.NewCounter(prometheus.CounterOpts{
		Name: "sluice_bus_replies_without_id_total", Help: "Replies dropped because their id header is missing or not text.",
	})
	watchdogFailures = promauto.NewCounter(prometheus.CounterOpts{
		Name: "sluice_bus_watchdog_failures_total", Help: "Connections rebuilt because a message did not come round.",
	})
	bindFailures = promauto.NewCounter(prometheus.CounterOpts{
		Name: "sluice_bus_bind_failures_total", Help: "Exchanges that the broker would not declare or bind.",
	})
	handlerPanics = promauto.NewCounter(prometheus.CounterOpts{
		Name: "sluice_bus_handler_panics_total", Help: "Deliveries whose handler panicked.",
	})

	publishedByClass = [...]prometheus.Counter{
		bus.Flow:     published.WithLabelValues(bus.Flow.String()),
		bus.Request:  published.WithLabelValues(bus.Request.String()),
		bus.Response: published.WithLabelValues(bus.Response.String()),
		bus.Notify:   published.WithLabelValues(bus.Notify.String()),
	}
	confirmAcked   = confirms.WithLabelValues("ack")
	confirmNacked  = confirms.WithLabelValues("nack")
	confirmUnknown = confirms.WithLabelValues("unknown")
	shedBlocked    = shed.WithLabelValues("blocked")
	shedBuffer     = shed.WithLabelValues("buffer")
)
