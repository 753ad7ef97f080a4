package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metricsServer serves this process's own metrics on any path, as the reference
// does.
type metricsServer struct {
	http *http.Server
	ln   net.Listener
	done chan struct{}
}

// startMetrics opens the metrics port and serves until Close.
func startMetrics(c *Config, log *slog.Logger) (*metricsServer, error) {
	ln, err := listen(c.MetricsListen, c.MetricsPort)
	if err != nil {
		return nil, err
	}
	m := &metricsServer{
		http: &http.Server{
			Handler:           promhttp.Handler(),
			ReadHeaderTimeout: 5 * time.Second,
			ReadTimeout:       5 * time.Second,
			WriteTimeout:      30 * time.Second,
			IdleTimeout:       75 * time.Second,
			MaxHeaderBytes:    16 << 10,
			ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		},
		ln:   ln,
		done: make(chan struct{}),
	}
	go func() {
		defer close(m.done)
		if err := m.http.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			log.Error("metrics port closed", "error", err)
		}
	}()
	log.Info("metrics port open", "address", ln.Addr().String())
	return m, nil
}

// Close stops serving and waits, within ctx, for running answers.
func (m *metricsServer) Close(ctx context.Context) error {
	err := m.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, m.http.Close())
	}
	<-m.done
	return err
}

// listen opens a TCP port on an address, on every interface when it is empty.
func listen(address string, port int) (net.Listener, error) {
	return net.Listen("tcp", net.JoinHostPort(address, strconv.Itoa(port)))
}
