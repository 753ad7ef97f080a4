package proxy

import (
	"errors"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/fasthttp/websocket"
	"github.com/valyala/fasthttp"

	"sluice/codec"
	"sluice/pool"
	"sluice/proxy/auth"
	"sluice/proxy/dispatch"
)

const (
	reasonAuthFirst   = "the first frame must authenticate"
	reasonNoIAM       = "identity service unavailable, try again later"
	reasonFlowStopped = "Flow stopped"
	reasonBusGone     = "message bus unavailable"
	reasonManyBlock   = "too many blocking exports, try again later"

	// maxReason is how long the reason of a close may be.
	maxReason = 123
)

// flowStream is what an import or export socket was opened for: which stream of
// which flow, and by whom.
type flowStream struct {
	// Set once.

	server  *Server
	surface auth.Surface
	kind    codec.Kind
	flow    string
	asked   []byte // the workspace of the query; empty: the identity's own

	// Set by admit.

	target auth.Target
	home   string // the identity's own workspace

	mu         sync.Mutex
	credential credential // guarded by mu
}

// flowStream takes the handshake of an import or export as far as it goes without
// the flow: is there such a kind, who is it, may they, do they want a socket. The
// token comes from the query, or else from the header. A client that has sent none
// is a stranger: it may authenticate with its first frame.
func (s *Server) flowStream(ctx *fasthttp.RequestCtx, x *exchange, surface auth.Surface) (f *flowStream, stranger bool, err error) {
	kind, known := codec.ParseKind(x.match.params[1])
	if !known || surface == auth.Import && !kind.CanImport() || surface == auth.Export && !kind.CanExport() {
		return nil, false, errUnknownKind
	}
	f = &flowStream{
		server: s, surface: surface, kind: kind, flow: string(x.match.params[0]),
		asked: append([]byte(nil), ctx.QueryArgs().Peek("workspace")...),
	}
	token, given := streamToken(ctx)
	switch {
	case given:
		err = f.admit(token)
	case !websocket.FastHTTPIsWebSocketUpgrade(ctx):
		err = auth.ErrRefused
	}
	if err == nil {
		err = s.checkUpgrade(ctx)
	}
	return f, !given, err
}

// streamToken is the credential of a handshake; empty when what was given is none.
func streamToken(ctx *fasthttp.RequestCtx) (token []byte, given bool) {
	query := ctx.QueryArgs()
	if token = query.Peek("token"); len(token) > 0 {
		return token, true
	}
	if header := ctx.Request.Header.Peek(fasthttp.HeaderAuthorization); len(header) > 0 {
		token, _ = auth.Bearer(header)
		return token, true
	}
	return nil, query.Has("token")
}

// admit finds out whether the token's owner may have the stream. The token is
// borrowed.
func (f *flowStream) admit(token []byte) error {
	if len(token) == 0 {
		return auth.ErrRefused
	}
	who, err := f.server.authenticator.Authenticate(token)
	if err != nil {
		return err
	}
	f.target = ownWorkspace(who)
	if len(f.asked) > 0 {
		f.target = auth.ResolveWorkspace(who, f.asked, true, true)
	}
	if err := f.authorise(who, f.target); err != nil {
		return err
	}
	f.home = who.Workspace
	f.mu.Lock()
	defer f.mu.Unlock()
	f.credential.know(who, append([]byte(nil), token...), time.Now().UnixNano())
	return nil
}

func (f *flowStream) authorise(who *auth.Identity, target auth.Target) error {
	return f.server.authoriser.Authorise(who, auth.Access{Surface: f.surface, Kind: f.kind}, target)
}

// iface is the name of the flow's interface that has the stream (gateway.md 5.3).
func (f *flowStream) iface() string {
	if f.kind == codec.EntityContexts {
		return "entity-contexts-load"
	}
	return f.kind.String() + "-store"
}

// acceptStream opens a stream, unless its client has yet to say who it is, and makes
// the request's connection its socket, in this order: whoever has the 101 misses
// nothing any more. When either cannot be done, a has been told.
func (s *Server) acceptStream(ctx *fasthttp.RequestCtx, open func() error, a admission) error {
	if !a.stranger {
		if err := open(); err != nil {
			a.failed()
			return handshakeError(err)
		}
	}
	err := s.acceptAs(ctx, a)
	if err != nil {
		a.failed()
	}
	return err
}

// handshakeError is what a failure to open a stream means before the upgrade.
func handshakeError(err error) error {
	var unknown *dispatch.UnknownFlowError
	switch {
	case errors.As(err, &unknown):
		return &jsonError{status: fasthttp.StatusNotFound, text: err.Error()}
	case errors.Is(err, dispatch.ErrUnsupportedKind):
		return &jsonError{status: fasthttp.StatusNotFound, text: dispatch.ErrUnsupportedKind.Error()}
	case errors.Is(err, dispatch.ErrFlowStopped):
		return &jsonError{status: fasthttp.StatusServiceUnavailable, text: reasonFlowStopped, retry: true}
	case errors.Is(err, dispatch.ErrExhausted):
		return &jsonError{status: fasthttp.StatusServiceUnavailable, text: reasonManyBlock, retry: true}
	}
	return err
}

// greet lets a stranger authenticate: the first frame must do so. It is answered
// once the stream is open, too, or with what is wrong with it; then the socket is
// closed. It runs on the socket's goroutine.
func (f *flowStream) greet(c *wsConn, open func() error) bool {
	msg, err := c.next()
	if err != nil {
		var byPeer *peerCloseError
		if errors.As(err, &byPeer) {
			c.close(codeNormal, "")
		}
		return false
	}
	defer msg.Release()
	var frame codec.Frame
	if frame.Parse(msg.B) != nil || !frame.IsAuth() {
		c.close(codePolicy, reasonAuthFirst)
		return false
	}
	token, _ := frame.Token().String()
	err = f.admit(token)
	if err == nil {
		err = open()
	}
	if err != nil {
		f.turnAway(c, err)
		return false
	}
	c.sockets.admitted(c)
	answer := pool.Acquire(len(f.home) + 64)
	answer.B = codec.AppendQuoted(append(answer.B, `{"type":"auth-ok","workspace":`...), f.home)
	answer.B = append(answer.B, '}')
	c.send(answer)
	return true
}

// turnAway answers an auth frame in vain and closes.
func (f *flowStream) turnAway(c *wsConn, err error) {
	code, text := refusal(err)
	answer := pool.Acquire(len(text) + 64)
	answer.B = codec.AppendQuoted(append(answer.B, `{"type":"auth-failed","error":`...), text)
	answer.B = append(answer.B, '}')
	c.send(answer)
	c.close(code, shortReason(text))
}

// refusal is what a failure to open a stream means once there is a socket.
func refusal(err error) (code int, text string) {
	var unknown *dispatch.UnknownFlowError
	switch {
	case errors.As(err, &unknown):
		return codePolicy, err.Error()
	case errors.Is(err, auth.ErrUnavailable):
		return codeTryLater, reasonNoIAM
	case errors.Is(err, dispatch.ErrFlowStopped):
		return codeGoingAway, reasonFlowStopped
	case errors.Is(err, dispatch.ErrExhausted):
		return codeTryLater, reasonManyBlock
	}
	for _, plain := range []error{auth.ErrRefused, auth.ErrDenied, dispatch.ErrUnsupportedKind} {
		if errors.Is(err, plain) {
			return codePolicy, plain.Error()
		}
	}
	return codeTryLater, reasonBusGone
}

// awaitEnd reads on until the closing handshake is done.
func awaitEnd(c *wsConn) {
	for {
		msg, err := c.next()
		if err != nil {
			return
		}
		msg.Release()
	}
}

// shortReason cuts a text to what fits into a close frame.
func shortReason(text string) string {
	if len(text) <= maxReason {
		return text
	}
	end := maxReason
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end]
}

// overdue reports whether a stranger has taken too long to authenticate.
func (c *wsConn) overdue(now time.Time, wait time.Duration) bool {
	return !c.known.Load() && now.UnixNano()-c.born > int64(wait)
}
