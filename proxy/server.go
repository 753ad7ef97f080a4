package proxy

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

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

// rows is the route table.
func rows() []row {
	const get, post = fasthttp.MethodGet, fasthttp.MethodPost
	return []row{
		{post, "/api/v1/auth/login", "login", (*Server).login},
		{post, "/api/v1/auth/bootstrap", "bootstrap", (*Server).bootstrap},
		{post, "/api/v1/auth/change-password", "change-password", (*Server).changePassword},
		{get, "/api/v1/i18n/packs/{lang*}", "i18n", (*Server).languagePack},
		{get, "/api/metrics", "metrics", (*Server).metricsUpstream},
		{get, "/api/metrics/{path...}", "metrics", (*Server).metricsUpstream},
		{post, "/api/v1/import-core", "import-core", (*Server).importCore},
		{get, "/api/v1/export-core", "export-core", (*Server).exportCore},
		{get, "/api/v1/document-stream", "document-stream", (*Server).documentStream},
		{post, "/api/v1/{kind}", "global", (*Server).globalService},
		{get, "/api/v1/socket", "socket", (*Server).socket},
		{post, "/api/v1/flow/{flow}/service/{kind}", "flow", (*Server).flowService},
		{get, "/api/v1/flow/{flow}/import/{kind}", "import", (*Server).importStream},
		{get, "/api/v1/flow/{flow}/export/{kind}", "export", (*Server).exportStream},
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
	flowStreams   FlowStreams
	routes        *table
	unrouted      *routeMetrics
	rules         bodyRules
	metrics       *metricsProxy
	logins        *loginRate
	guesses       *guesses
	denials       *loginRate // of lines in the audit trail
	conns         *registry
	sockets       *sockets
	http          *fasthttp.Server

	gate     gate
	budget   budget
	draining atomic.Bool
	// importing is how many bytes all imports have read and not yet published.
	importing atomic.Int64
	// streams are the goroutines behind streamed responses.
	streams sync.WaitGroup

	// Guarded by mu; set while the server runs.

	mu       sync.Mutex
	listener *listener
	scanner  *scanner
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
		flowStreams:   deps.FlowStreams,
		routes:        compile(rows()),
		unrouted:      metricsOf("none"),
		metrics:       newMetricsProxy(cfg.Upstream, cfg.UpstreamTimeout),
		logins:        newLoginRate(cfg.LoginRate, cfg.LoginBurst),
		guesses:       newGuesses(cfg.LoginRate < 0),
		denials:       newLoginRate(deniedRate, deniedBurst),
		conns:         newRegistry(),
	}
	s.gate.limit = int64(cfg.MaxInFlight)
	s.budget.limit = cfg.BodyBudgetBytes
	s.rules = bodyRules{max: cfg.MaxBodyBytes, budget: &s.budget, timeout: cfg.BodyTimeout, rate: cfg.BodyBytesPerSecond}
	s.sockets = newSockets(&s.cfg, &s.budget)
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
		StreamRequestBody: true,
		ReduceMemoryUsage: true,
		// A socket runs on after the handler of its handshake has returned.
		KeepHijackedConns:            true,
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
	socketsDone := make(chan error, 1)
	go func() { socketsDone <- s.sockets.shutdown(ctx) }()
	err := s.http.ShutdownWithContext(ctx)
	if serr := <-socketsDone; err == nil {
		err = serr
	}
	if err != nil {
		s.cut()
	}
	if scanner != nil {
		scanner.close()
	}
	s.streams.Wait() // they end with their responses
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
	// fasthttp waits for its connections in the first Shutdown only.
	if !s.gate.emptied(afterCut) {
		s.cfg.Logger.Warn("requests still running after shutdown", "requests", s.gate.n.Load())
	}
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
