package proxy

import (
	"errors"
	"strings"

	"github.com/valyala/fasthttp"
)

var errDraining = errors.New("shutting down")

// ready says why the gateway should get no new calls, or nil.
func (s *Server) ready() error {
	if s.draining.Load() {
		return errDraining
	}
	return s.cfg.Ready()
}

// healthz tells that the process serves.
func (s *Server) healthz(ctx *fasthttp.RequestCtx, _ *exchange) error {
	writeJSON(ctx, fasthttp.StatusOK, `{"status": "ok"}`)
	return nil
}

// Unready is what anybody may be told of why something is not ready: what follows
// the first colon names hosts.
func Unready(err error) string {
	what, _, _ := strings.Cut(err.Error(), ": ")
	return what
}

// readyz tells whether calls can succeed, and if not, why.
func (s *Server) readyz(ctx *fasthttp.RequestCtx, _ *exchange) error {
	if err := s.ready(); err != nil {
		return &jsonError{status: fasthttp.StatusServiceUnavailable, text: Unready(err), retry: true}
	}
	writeJSON(ctx, fasthttp.StatusOK, `{"status": "ready"}`)
	return nil
}
