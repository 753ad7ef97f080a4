package proxy

import (
	"errors"
	"net/netip"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"sluice/codec"
	"sluice/pool"
	"sluice/proxy/auth"
)

const (
	// maxRunning is how many requests of one socket run at once, maxWaiting and
	// maxWaitingBytes how much more waits for its turn.
	maxRunning      = 128
	maxWaiting      = 1024
	maxWaitingBytes = 8 << 20
	// maxIDBytes bounds the `id` of a frame, which every reply repeats.
	maxIDBytes = 4 << 10
)

// session is one /api/v1/socket: who its client is, and the requests that it has
// under way. Its socket's goroutine reads and starts requests; answers come from
// goroutines of the bus and leave through the socket's writer.
type session struct {
	// Set once.

	server *Server
	c      *wsConn
	client netip.Addr

	mu       sync.Mutex
	identity identityState
	requests requestState
	ended    bool          // the socket takes no more frames
	draining bool          // new requests are refused
	gone     chan struct{} // closed with ended; nil until somebody needs it
}

// socket serves GET /api/v1/socket. The handshake never fails for want of
// a credential; one in the query or the header counts without a word (G25).
func (s *Server) socket(ctx *fasthttp.RequestCtx, _ *exchange) error {
	token := ctx.QueryArgs().Peek("token")
	if len(token) == 0 {
		token, _ = auth.Bearer(ctx.Request.Header.Peek(fasthttp.HeaderAuthorization))
	}
	token = append([]byte(nil), token...) // the request ends before the socket begins
	client := s.clientOf(ctx)
	return s.accept(ctx, muxSocket, func(c *wsConn) wsHandler { return newSession(s, c, client, token) })
}

func newSession(server *Server, c *wsConn, client netip.Addr, token []byte) *session {
	s := &session{server: server, c: c, client: client}
	if len(token) > 0 {
		s.try(attempt{token: token, why: atHandshake})
	}
	return s
}

// inbound is one frame of the client on its way to being a request, with the
// parsers that view it.
type inbound struct {
	frame codec.Frame
	req   codec.Request
	msg   *pool.Buffer
}

var inbounds = sync.Pool{New: func() any { return new(inbound) }}

func newInbound(msg *pool.Buffer) *inbound {
	in := inbounds.Get().(*inbound) //nolint:forcetypeassert // the pool's own
	in.msg = msg
	return in
}

func (in *inbound) release() {
	in.frame.Reset()
	in.req.Reset()
	in.msg.Release()
	in.msg = nil
	inbounds.Put(in)
}

// serve implements wsHandler.
func (s *session) serve() {
	for {
		msg, err := s.c.next()
		if err != nil {
			s.left(err)
			return
		}
		s.take(newInbound(msg))
	}
}

// left ends the session of a client that has gone. Its close frame is echoed at
// once, whatever it said.
func (s *session) left(err error) {
	var byPeer *peerCloseError
	if errors.As(err, &byPeer) {
		s.c.close(codeNormal, "")
	}
	s.cancelAll()
}

// take handles one frame as far as it can without waiting, in the order of
// gateway.md 9.4. It owns in.
func (s *session) take(in *inbound) {
	f := &in.frame
	err := f.Parse(in.msg.B)
	switch {
	case err != nil:
		s.refuse(nil, "error", err.Error())
	case !f.IsObject():
		s.refuse(nil, "error", "a frame must be a JSON object")
	case f.IsAuth():
		s.authenticate(f.Token())
	case !f.Request().Present() || !f.ID().Present() || len(f.ID().Raw) > maxIDBytes:
		s.refuse(truthyID(f), "error", "Bad message")
	default:
		s.request(in)
		return
	}
	in.release()
}

// truthyID is the id of a frame that is bad in another way: a false one is not
// repeated there.
func truthyID(f *codec.Frame) []byte {
	if id := f.ID(); id.Truthy() && len(id.Raw) <= maxIDBytes {
		return id.Raw
	}
	return nil
}

// request starts a request, or lets it wait for its turn.
func (s *session) request(in *inbound) {
	s.mu.Lock()
	if s.draining {
		s.mu.Unlock()
		s.refuse(in.frame.ID().Raw, "unavailable", reasonShutdown)
		in.release()
		return
	}
	s.lapse()
	if s.mustWait() {
		ok := s.waitInLine(in)
		s.mu.Unlock()
		if !ok {
			s.refuse(in.frame.ID().Raw, "overloaded", "too many requests of this socket wait already")
			in.release()
		}
		return
	}
	s.requests.running++
	who := s.identity.who
	s.mu.Unlock()
	s.start(in, who)
}

// refuse queues an error frame; a nil id is left out.
func (s *session) refuse(id []byte, kind, message string) {
	out := pool.Acquire(len(id) + len(message))
	b := append(out.B, '{')
	if id != nil {
		b = append(append(append(b, `"id":`...), id...), ',')
	}
	b = codec.AppendQuoted(append(b, `"error":{"message":`...), message)
	b = codec.AppendQuoted(append(b, `,"type":`...), kind)
	out.B = append(b, `},"complete":true}`...)
	s.send(out)
}

// send queues a frame. A client that lets too many gather is not worth more.
func (s *session) send(payload *pool.Buffer) { s.sentOrSlow(s.c.send(payload)) }

func (s *session) sentOrSlow(outcome sent) {
	if outcome == sentFull {
		wsDroppedFull.Inc()
		s.c.abandon(codeTryLater, reasonSlow)
	}
}

// closing implements wsHandler.
func (s *session) closing() { s.cancelAll() }

// drain implements wsHandler.
func (s *session) drain() {
	s.mu.Lock()
	s.draining = true
	s.kick()
	over := s.overNow()
	s.mu.Unlock()
	s.finishUp(over)
}

// sweep implements wsHandler.
func (s *session) sweep(now time.Time) {
	s.mu.Lock()
	s.lapse()
	late := !s.identity.busy() && s.c.overdue(now, s.server.cfg.SocketAuthWait)
	s.mu.Unlock()
	if late {
		s.c.abandon(codePolicy, reasonUnauthorised)
	}
}

// goodbye is why a session without requests should close; codeless when it should
// not.
type goodbye struct {
	code   int
	reason string
}

// overNow says whether nothing is under way any more and that is the end. The
// caller holds mu.
func (s *session) overNow() goodbye {
	switch {
	case s.requests.running > 0 || s.requests.waiting() > 0 || s.requests.pumping:
	case s.identity.revoked:
		return goodbye{codePolicy, reasonRefused}
	case s.draining:
		return goodbye{codeGoingAway, reasonShutdown}
	}
	return goodbye{}
}

func (s *session) finishUp(g goodbye) {
	if g.code != 0 {
		s.c.close(g.code, g.reason)
	}
}

func (s *session) whenGone() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.goneLocked()
}

// goneLocked returns a channel that is closed when the socket takes no more
// frames. The caller holds mu.
func (s *session) goneLocked() <-chan struct{} {
	if s.gone == nil {
		s.gone = make(chan struct{})
		if s.ended {
			close(s.gone)
		}
	}
	return s.gone
}
