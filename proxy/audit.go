package proxy

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"sluice/codec"
	"sluice/proxy/auth"
)

// deniedRate and deniedBurst bound the lines that one client can cause by asking
// for what it may not do.
const deniedRate, deniedBurst = 5, 30

var auditDropped = promauto.NewCounter(prometheus.CounterOpts{
	Name: "sluice_audit_lines_dropped_total",
	Help: "Audit lines about denied operations that were not written, because their client caused too many.",
})

// audit writes one line about an attempt to authenticate or to change what
// authenticates. Attempts that the limits turn away are counted, not written:
// anybody can make any number of them.
func (s *Server) audit(operation, actor, workspace string, client netip.Addr, err error) {
	s.cfg.Logger.LogAttrs(context.Background(), slog.LevelInfo, "gateway audit",
		slog.String("operation", operation), slog.String("actor", clip(actor)),
		slog.String("workspace", clip(workspace)), slog.String("outcome", auditOutcome(err)),
		slog.String("client", client.String()))
}

// auditDenied is audit for an IAM operation that the caller may not do.
func (s *Server) auditDenied(req *codec.Request, id *auth.Identity, client netip.Addr, err error) {
	if !errors.Is(err, auth.ErrDenied) {
		return
	}
	if !s.denials.allow(client) {
		auditDropped.Inc()
		return
	}
	operation, _ := req.Operation()
	s.audit(clip(string(operation)), id.UserID, id.Workspace, client, err)
}

func auditOutcome(err error) string {
	var refusal *iamError
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, auth.ErrDenied):
		return "denied"
	case errors.Is(err, auth.ErrRefused), errors.As(err, &refusal):
		return "refused"
	}
	return "failed"
}

// clip bounds what a caller can put into the log with one field.
func clip(text string) string {
	const limit = 128
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit], "") + "..."
}
