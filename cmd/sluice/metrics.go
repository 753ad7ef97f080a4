package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"sluice/proxy"
)

// metricsServer serves this process's own metrics on any path, as the reference
// does, but for health where no other port tells it.
type metricsServer struct {
	http *http.Server
	ln   net.Listener
	done chan struct{}
}

// startMetrics opens the metrics port and serves until Close. With ready, /healthz
// and /readyz are served there too.
func startMetrics(c *Config, log *slog.Logger, ready func() error) (*metricsServer, error) {
	ln, err := listen(c.MetricsListen, c.MetricsPort)
	if err != nil {
		return nil, err
	}
	m := &metricsServer{
		http: &http.Server{
			Handler:           metricsHandler(ready),
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

func metricsHandler(ready func() error) http.Handler {
	if ready == nil {
		return promhttp.Handler()
	}
	mux := http.NewServeMux()
	mux.Handle("/", promhttp.Handler())
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { tell(w, http.StatusOK, "status", "ok") })
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := ready(); err != nil {
			w.Header().Set("Retry-After", "1")
			tell(w, http.StatusServiceUnavailable, "error", proxy.Unready(err))
			return
		}
		tell(w, http.StatusOK, "status", "ready")
	})
	return mux
}

// tell answers with one member. A client that is gone misses it.
func tell(w http.ResponseWriter, status int, member, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{member: text})
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
