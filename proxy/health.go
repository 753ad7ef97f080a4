package proxy

import (
	"errors"

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

// readyz tells whether calls can succeed, and if not, why.
func (s *Server) readyz(ctx *fasthttp.RequestCtx, _ *exchange) error {
	if err := s.ready(); err != nil {
		return &jsonError{status: fasthttp.StatusServiceUnavailable, text: err.Error(), retry: true}
	}
	writeJSON(ctx, fasthttp.StatusOK, `{"status": "ready"}`)
	return nil
}
