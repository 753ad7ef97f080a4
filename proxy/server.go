package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"sluice/codec"
	"sluice/proxy/auth"
)

const (
	// readBufferBytes bounds the request line and the headers together.
	readBufferBytes = 16 << 10
	// keptRequestBytes and keptResponseBytes are the largest body buffers that
	// fasthttp keeps for reuse.
	keptRequestBytes  = 16 << 10
	keptResponseBytes = 1 << 20
	// afterCut is how long Shutdown waits for handlers whose connections it has
	// cut: they end at once, unless they are in the middle of something.
	afterCut = 5 * time.Second
)

// rows is the route table. Three GETs are named so that `{kind}` does not answer
// 405 for them: nothing is there.
func rows() []row {
	const get, post = fasthttp.MethodGet, fasthttp.MethodPost
	return []row{
		{post, "/api/v1/auth/login", "login", (*Server).login},
		{post, "/api/v1/auth/bootstrap", "bootstrap", (*Server).bootstrap},
		{post, "/api/v1/auth/change-password", "change-password", (*Server).changePassword},
		{get, "/api/v1/i18n/packs/{lang*}", "i18n", (*Server).languagePack},
		{get, "/api/metrics", "metrics", (*Server).metricsUpstream},
		{get, "/api/metrics/{path...}", "metrics", (*Server).metricsUpstream},
		{post, "/api/v1/{kind}", "global", (*Server).globalService},
		{get, "/api/v1/socket", "none", (*Server).nothing},
		{get, "/api/v1/export-core", "none", (*Server).nothing},
		{get, "/api/v1/document-stream", "none", (*Server).nothing},
		{post, "/api/v1/flow/{flow}/service/{kind}", "flow", (*Server).flowService},
		{get, "/healthz", "health", (*Server).healthz},
		{get, "/readyz", "health", (*Server).readyz},
	}
}

// Server is the HTTP front end. New makes one, Serve runs it, Shutdown ends it.
type Server struct {
	// Set once.

	cfg           Config
	dispatcher    Dispatcher
	authenticator Authenticator
	authoriser    auth.Authoriser
	routes        *table
	unrouted      *routeMetrics
	rules         bodyRules
	metrics       *metricsProxy
	logins        *loginRate
	conns         *registry
	http          *fasthttp.Server

	gate     gate
	budget   budget
	draining atomic.Bool

	// Guarded by mu; set while the server runs.

	mu       sync.Mutex
	listener *listener
	scanner  *scanner
}

// exchange is what the handling of one request needs besides the request.
type exchange struct {
	match match
	body  body
	req   codec.Request
	stage stage
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
	x.stage = beforeDispatch
	exchanges.Put(x)
}

// New makes a Server of valid settings; it opens nothing.
func New(cfg Config, deps Deps) *Server {
	cfg = cfg.withDefaults()
	fasthttp.SetBodySizePoolLimit(keptRequestBytes, keptResponseBytes)
	s := &Server{
		cfg:           cfg,
		dispatcher:    deps.Dispatcher,
		authenticator: deps.Authenticator,
		authoriser:    deps.Authoriser,
		routes:        compile(rows()),
		unrouted:      metricsOf("none"),
		metrics:       newMetricsProxy(cfg.Upstream, cfg.UpstreamTimeout),
		logins:        newLoginRate(cfg.LoginRate, cfg.LoginBurst),
		conns:         newRegistry(),
	}
	s.gate.limit = int64(cfg.MaxInFlight)
	s.budget.limit = cfg.BodyBudgetBytes
	s.rules = bodyRules{max: cfg.MaxBodyBytes, budget: &s.budget, timeout: cfg.BodyTimeout, rate: cfg.BodyBytesPerSecond}
	s.http = s.newHTTP()
	return s
}

func (s *Server) newHTTP() *fasthttp.Server {
	return &fasthttp.Server{
		Handler:        s.handle,
		ErrorHandler:   s.malformed,
		HeaderReceived: s.headerReceived,
		ConnState:      trackIdle,
		Logger:         httpLog{s.cfg.Logger},

		// Our listener is the limit; fasthttp's would answer from its accept loop.
		Concurrency:        s.cfg.MaxConns + 1024,
		ReadBufferSize:     readBufferBytes,
		ReadTimeout:        s.cfg.HeaderTimeout,
		IdleTimeout:        s.cfg.IdleTimeout,
		MaxRequestBodySize: int(s.cfg.MaxBodyBytes),
		// The body reader (body.go) needs the raw stream. ReduceMemoryUsage also
		// flushes every answer before the next request is handled, which the
		// scanner's probe relies on (gone.go).
		StreamRequestBody:            true,
		ReduceMemoryUsage:            true,
		DisablePreParseMultipartForm: true,
		CloseOnShutdown:              true,
		NoDefaultServerHeader:        true,
		SecureErrorLogMessage:        true,
	}
}

// Serve answers on ln until Shutdown, and returns nil then. It may be called once.
func (s *Server) Serve(ln net.Listener) error {
	s.mu.Lock()
	s.listener = newListener(ln, s.conns, &s.cfg)
	if s.draining.Load() {
		s.mu.Unlock()
		return s.listener.Close()
	}
	s.scanner = startScanner(s.conns)
	s.mu.Unlock()
	return s.http.Serve(s.listener)
}

// Shutdown makes the server unready, stops accepting, lets running requests
// finish until ctx ends, and closes all connections. The error says that some had
// to be cut.
func (s *Server) Shutdown(ctx context.Context) error {
	scanner := s.stopAccepting()
	for _, c := range s.conns.snapshot(true) {
		_ = c.kill()
	}
	err := s.http.ShutdownWithContext(ctx)
	if err != nil {
		s.cut()
	}
	if scanner != nil {
		scanner.close()
	}
	s.metrics.close()
	return err
}

// stopAccepting also wins against a Serve that has only just begun. It returns
// the scanner, which running calls still need.
func (s *Server) stopAccepting() *scanner {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draining.Store(true)
	if s.listener != nil {
		_ = s.listener.Close()
	}
	scanner := s.scanner
	s.scanner = nil
	return scanner
}

// cut ends what is still running.
func (s *Server) cut() {
	for _, c := range s.conns.snapshot(false) {
		c.abort()
	}
	ctx, cancel := context.WithTimeout(context.Background(), afterCut)
	defer cancel()
	if err := s.http.ShutdownWithContext(ctx); err != nil {
		s.cfg.Logger.Warn("requests still running after shutdown", "requests", s.gate.n.Load())
	}
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

// nothing serves paths that exist in the contract only for another method.
func (s *Server) nothing(*fasthttp.RequestCtx, *exchange) error { return errNotFound }

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

// trackIdle tells the registry which connections wait for a request.
func trackIdle(nc net.Conn, state fasthttp.ConnState) {
	c, ok := nc.(*conn)
	if !ok {
		return
	}
	switch state {
	case fasthttp.StateActive:
		c.idleSince.Store(0)
	case fasthttp.StateIdle:
		c.idleSince.Store(time.Now().UnixNano())
	case fasthttp.StateNew, fasthttp.StateHijacked, fasthttp.StateClosed:
	}
}

// httpLog gives fasthttp's remarks to our log. They are about single connections
// and name no content (SecureErrorLogMessage).
type httpLog struct{ log *slog.Logger }

func (l httpLog) Printf(format string, args ...any) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.Debug("http: " + fmt.Sprintf(format, args...))
	}
}
