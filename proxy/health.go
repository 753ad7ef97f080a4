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

// readyz tells whether calls can succeed, and if not, why: in a few words, because
// anybody may ask, and what follows the first colon names hosts.
func (s *Server) readyz(ctx *fasthttp.RequestCtx, _ *exchange) error {
	if err := s.ready(); err != nil {
		what, _, _ := strings.Cut(err.Error(), ": ")
		return &jsonError{status: fasthttp.StatusServiceUnavailable, text: what, retry: true}
	}
	writeJSON(ctx, fasthttp.StatusOK, `{"status": "ready"}`)
	return nil
}
