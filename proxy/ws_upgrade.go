package proxy

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fasthttp/websocket"
	"github.com/valyala/fasthttp"
)

const (
	// wsReadBuffer is the socket library's read buffer: all that an idle socket
	// keeps. Longer messages are read past it, into a buffer on loan.
	wsReadBuffer = 512
	// handshakeWait bounds the writing of the 101.
	handshakeWait = 10 * time.Second
)

var (
	errNoUpgrade = &plainError{
		status: fasthttp.StatusBadRequest, reason: "Bad Request",
		body: "No WebSocket UPGRADE hdr: None\n Can \"Upgrade\" only to \"WebSocket\".",
	}
	errHandshakeVersion = &plainError{status: fasthttp.StatusBadRequest, reason: "Bad Request", body: "Unsupported version"}
	errHandshakeKey     = &plainError{status: fasthttp.StatusBadRequest, reason: "Bad Request", body: "Handshake error"}
	errOrigin           = &plainError{status: fasthttp.StatusForbidden, reason: "Forbidden"}
	errSocketsDraining  = &jsonError{status: fasthttp.StatusServiceUnavailable, text: "shutting down", retry: true}
)

// checkUpgrade answers whether a request asks for a WebSocket, and may.
func (s *Server) checkUpgrade(ctx *fasthttp.RequestCtx) error {
	h := &ctx.Request.Header
	key := h.Peek("Sec-Websocket-Key")
	switch {
	case !ctx.IsGet() || !websocket.FastHTTPIsWebSocketUpgrade(ctx):
		return errNoUpgrade
	case h.ContentLength() > 0 || h.ContentLength() == -1:
		return errBadRequest // a body would be read as frames
	case string(bytes.TrimSpace(h.Peek("Sec-Websocket-Version"))) != "13":
		return errHandshakeVersion
	case !validKey(key):
		return errHandshakeKey
	case !s.originAllowed(h.Peek(fasthttp.HeaderOrigin)):
		return errOrigin
	}
	return nil
}

func validKey(key []byte) bool {
	var scrap [24]byte
	if len(key) != len(scrap) {
		return false
	}
	n, err := base64.StdEncoding.Decode(scrap[:], key)
	return err == nil && n == 16
}

// originAllowed lets any Origin in unless a list is configured. Who sends none is
// no browser, and is let in as well.
func (s *Server) originAllowed(origin []byte) bool {
	allowed := s.cfg.AllowedOrigins
	if len(allowed) == 0 || len(origin) == 0 {
		return true
	}
	return slices.ContainsFunc(allowed, func(one string) bool { return strings.EqualFold(one, string(origin)) })
}

// accept turns the request's connection into a socket of that kind, which build
// gives its behaviour. Errors are answered over HTTP. Whoever authenticates
// before the upgrade calls checkUpgrade itself, later.
//
// Nothing of ctx survives the call: build runs after it, on the socket's own
// goroutine, and must have copied what it needs.
func (s *Server) accept(ctx *fasthttp.RequestCtx, kind socketKind, build func(*wsConn) wsHandler) error {
	return s.acceptAs(ctx, admission{kind: kind, stranger: kind == muxSocket, build: build})
}

// admission is what a socket is going to be.
type admission struct {
	kind socketKind
	// stranger: the client has yet to authenticate, or nobody knows.
	stranger bool
	build    func(*wsConn) wsHandler
	// failed, which may be nil, is called instead of build when the connection
	// ends before it has become a socket. It is not called when acceptAs fails.
	failed func()
}

// acceptAs is accept with more to choose.
func (s *Server) acceptAs(ctx *fasthttp.RequestCtx, a admission) error {
	if err := s.checkUpgrade(ctx); err != nil {
		return err
	}
	c, ok := ctx.Conn().(*conn)
	if !ok {
		return errBadRequest
	}
	if err := s.sockets.reserve(a.stranger); err != nil {
		return err
	}
	key := string(ctx.Request.Header.Peek("Sec-Websocket-Key"))
	ctx.SetStatusCode(fasthttp.StatusSwitchingProtocols) // for the metrics; the library writes it
	ctx.HijackSetNoResponse(true)
	// fasthttp does not hijack a connection that is dead already: it closes it.
	c.unhijacked = func() { newWSConn(s.sockets, c, &a).fail(&a) }
	ctx.Hijack(func(hijacked net.Conn) {
		c.unhijacked = nil
		s.sockets.open(c, &a, key, hijacked)
	})
	return nil
}

// fail ends a socket that has never opened.
func (c *wsConn) fail(a *admission) {
	c.die(codeAbnormal)
	c.finalize()
	if a.failed != nil {
		a.failed()
	}
}

// open runs on fasthttp's goroutine and ends soon, because that is when fasthttp
// lets go of the request and its read buffer (pitfalls F23): the socket gets
// a goroutine of its own, and a reader of its own straight on the connection.
func (r *sockets) open(nc *conn, a *admission, key string, hijacked net.Conn) {
	c := newWSConn(r, nc, a)
	defer func() {
		if p := recover(); p != nil {
			c.panicked("handshake", p)
			c.fail(a)
		}
	}()
	c.stream.early = leftover(hijacked)
	ws, err := upgrader.Upgrade(&hijacker{stream: &c.stream}, handshake(key), nil)
	if err != nil {
		c.fail(a)
		return
	}
	c.ws = ws
	c.stream.opened = true
	ws.SetReadLimit(maxMessageBytes)
	ws.SetPingHandler(c.onPing)
	ws.SetPongHandler(ignorePong)
	ws.SetCloseHandler(c.onClose)
	c.handler = a.build(c)
	r.add(c)
	go c.run()
}

func ignorePong(string) error { return nil }

// leftover is what the client sent right behind its handshake. It is in the
// server's buffer, which has no end to be told: a deadline in the past keeps the
// read from waiting at the connection itself.
func leftover(hijacked net.Conn) []byte {
	if hijacked.SetReadDeadline(time.Unix(1, 0)) != nil {
		return nil
	}
	var early []byte
	scratch := scratches.Get().(*[readBufferBytes]byte) //nolint:forcetypeassert // the pool's own
	defer scratches.Put(scratch)
	for {
		n, err := hijacked.Read(scratch[:])
		early = append(early, scratch[:n]...)
		if err != nil || n == 0 {
			break
		}
	}
	_ = hijacked.SetReadDeadline(time.Time{})
	return early
}

// scratches are as large as the server's read buffer, which is then read past: nothing
// more is drawn into it.
var scratches = sync.Pool{New: func() any { return new([readBufferBytes]byte) }}

// upgrader makes the library's connections. The write buffer is never used: our
// writer frames for itself (ws_writer.go). The library's flavour for fasthttp
// would hold on to the server's read buffer of 16 KiB for as long as the socket
// lives, so this is the one for net/http, on an http.ResponseWriter of ours.
var upgrader = websocket.Upgrader{
	ReadBufferSize: wsReadBuffer, WriteBufferSize: wsReadBuffer, WriteBufferPool: noBuffers{},
	HandshakeTimeout: handshakeWait,
	CheckOrigin:      func(*http.Request) bool { return true }, // checkUpgrade has
}

// noBuffers is a websocket.BufferPool that is always empty.
type noBuffers struct{}

// Get implements websocket.BufferPool.
func (noBuffers) Get() any { return nil }

// Put implements websocket.BufferPool.
func (noBuffers) Put(any) {}

// handshake is the request that checkUpgrade has checked, for the library.
func handshake(key string) *http.Request {
	return &http.Request{Method: http.MethodGet, Header: http.Header{
		"Connection": {"Upgrade"}, "Upgrade": {"websocket"},
		"Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {key},
	}}
}

// hijacker hands the library a connection that fasthttp has given up.
type hijacker struct {
	header http.Header
	stream *wsStream
}

// Header implements http.ResponseWriter.
func (h *hijacker) Header() http.Header {
	if h.header == nil {
		h.header = make(http.Header)
	}
	return h.header
}

// Write implements http.ResponseWriter. The library writes refusals with it, and
// there are none after checkUpgrade.
func (h *hijacker) Write(p []byte) (int, error) { return len(p), nil }

// WriteHeader implements http.ResponseWriter.
func (h *hijacker) WriteHeader(int) {}

// Hijack implements http.Hijacker.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return h.stream, bufio.NewReadWriter(
		bufio.NewReaderSize(strings.NewReader(""), 16), bufio.NewWriterSize(io.Discard, 256)), nil
}
