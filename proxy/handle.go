package proxy

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"sluice/codec"
)

// exchange is what the handling of one request needs besides the request.
type exchange struct {
	match match
	body  body
	req   codec.Request
	stage stage
	live  liveForm
}

var exchanges = sync.Pool{New: func() any { return new(exchange) }}

func (x *exchange) route() string {
	if x.match.route == nil {
		return "none"
	}
	return x.match.route.name
}

func (x *exchange) release(rules *bodyRules) {
	x.req.Reset()
	x.body.release(rules)
	x.match.forget()
	x.stage, x.live = beforeDispatch, notLive
	exchanges.Put(x)
}

// handle serves one request: the entry point of the package.
func (s *Server) handle(ctx *fasthttp.RequestCtx) {
	start := time.Now()
	x := exchanges.Get().(*exchange) //nolint:forcetypeassert // the pool's own
	defer s.finish(ctx, x, start)
	if err := s.serve(ctx, x); err != nil {
		s.answer(ctx, x, err)
	}
}

// serve finds the route and runs it.
func (s *Server) serve(ctx *fasthttp.RequestCtx, x *exchange) error {
	if err := checkFraming(&ctx.Request.Header); err != nil {
		closeAfter(ctx)
		return err
	}
	x.match.find(s.routes, ctx.Method(), ctx.URI().PathOriginal())
	r := x.match.route
	switch {
	case r == nil && x.match.allow != "":
		return errMethod
	case r == nil:
		return errNotFound
	case r.name == "health":
		return r.handle(s, ctx, x)
	}
	if !s.gate.enter() {
		return errBusy
	}
	defer s.gate.leave()
	return r.handle(s, ctx, x)
}

// finish ends every request, a panicking one too: a client's input must not take
// the process along.
func (s *Server) finish(ctx *fasthttp.RequestCtx, x *exchange, start time.Time) {
	if p := recover(); p != nil {
		panicsTotal.Inc()
		s.cfg.Logger.Error("panic in a request", "route", x.route(), "panic", p, "stack", string(debug.Stack()))
		ctx.Response.Reset()
		s.answerError(ctx, unexpected.usual, unexpected.message, asText, false)
		closeAfter(ctx)
	}
	if s.draining.Load() {
		ctx.SetConnectionClose()
	}
	if !x.body.whole {
		abandon(ctx, x.body.wire.got)
	}
	m := s.unrouted
	if x.match.route != nil {
		m = x.match.route.metrics
	}
	took := time.Since(start)
	status := ctx.Response.StatusCode()
	m.observe(status, took)
	if s.cfg.Logger.Enabled(context.Background(), slog.LevelDebug) {
		// Without the query: tokens travel there.
		s.cfg.Logger.Debug("request", "method", string(ctx.Method()), "path", string(ctx.URI().PathOriginal()),
			"status", status, "took", took, "client", ctx.RemoteAddr().String())
	}
	x.release(&s.rules)
}

// headerReceived gives a request with a body more time than its header had.
func (s *Server) headerReceived(h *fasthttp.RequestHeader) fasthttp.RequestConfig {
	if n := h.ContentLength(); n > 0 || n == -1 {
		return fasthttp.RequestConfig{ReadTimeout: s.cfg.BodyTimeout}
	}
	return fasthttp.RequestConfig{}
}

// malformed answers what fasthttp could not read; the connection ends.
func (s *Server) malformed(ctx *fasthttp.RequestCtx, err error) {
	malformedTotal.Inc()
	status := fasthttp.StatusBadRequest
	var small *fasthttp.ErrSmallBuffer
	var network net.Error
	switch {
	case errors.Is(err, fasthttp.ErrBodyTooLarge):
		status = fasthttp.StatusRequestEntityTooLarge
	case errors.As(err, &small):
		status = fasthttp.StatusRequestHeaderFieldsTooLarge
	case errors.As(err, &network) && network.Timeout():
		status = fasthttp.StatusRequestTimeout
	}
	ctx.SetStatusCode(status)
	ctx.SetContentType(textType)
	ctx.SetBodyString(strconv.Itoa(status) + ": " + fasthttp.StatusMessage(status))
	closeAfter(ctx)
}
