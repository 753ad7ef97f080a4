package proxy

import (
	"errors"
	"io"
	"runtime/debug"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/fasthttp/websocket"

	"sluice/pool"
)

const (
	// maxMessageBytes bounds one message of a client, whatever frames it came in.
	maxMessageBytes = 50 << 20
	// strangerBytes is how much of a message is read for a client that is not
	// authenticated.
	strangerBytes = 64 << 10
)

// Close codes of RFC 6455 that are used here.
const (
	codeNormal      = websocket.CloseNormalClosure
	codeGoingAway   = websocket.CloseGoingAway
	codeAbnormal    = websocket.CloseAbnormalClosure
	codeInvalid     = websocket.CloseInvalidFramePayloadData
	codePolicy      = websocket.ClosePolicyViolation
	codeTooBig      = websocket.CloseMessageTooBig
	codeServerError = websocket.CloseInternalServerErr
	codeTryLater    = websocket.CloseTryAgainLater
)

// Reasons of closes: constants of at most 123 bytes.
const (
	reasonTooBig       = "message too big"
	reasonNotUTF8      = "text is not UTF-8"
	reasonSlow         = "reading too slowly"
	reasonMemory       = "too much is being received, try again later"
	reasonShutdown     = "shutting down"
	reasonUnauthorised = "not authenticated in time"
	reasonRefused      = "credential no longer valid"
	reasonInternal     = "internal error"
)

// errSocketClosed is what next returns when the socket has ended for whatever
// reason but a client's close frame.
var errSocketClosed = errors.New("socket closed")

// peerCloseError is what next returns when the client has sent a close frame.
// The handler answers it by closing, at once or when what it owes is done.
type peerCloseError struct{ code int }

func (e *peerCloseError) Error() string { return "closed by the client" }

// wsHandler is what one kind of socket does. Beside serve its methods are called
// from other goroutines and must not block, but for allowLarge.
type wsHandler interface {
	// serve reads the socket until next fails. It runs on the socket's one
	// goroutine; what is not closed when it returns is closed with 1000.
	serve()
	// allowLarge says, on the reader's goroutine, whether the client may send
	// a message above 64 KiB. It may wait for an authentication under way.
	allowLarge() bool
	// closing is called once, on a goroutine of its own, when the socket takes no
	// more frames: whatever feeds it should end.
	closing()
	// drain is called once, at shutdown: finish what is under way, take nothing
	// new, then close with 1001. Idle sockets do that at once.
	drain()
	// sweep is called about every second.
	sweep(now time.Time)
}

// wsConn is one socket: its connection, its outgoing queue and its life. Client
// messages are taken with next by the handler's serve; send, sendShared, sendPart
// and close may be called by anybody.
type wsConn struct {
	// Set once.

	sockets *sockets
	conn    *conn
	kind    socketKind
	ws      *websocket.Conn
	handler wsHandler
	stream  wsStream
	born    int64 // Unix nanoseconds
	// write is the method writeLoop as a value, so that starting it costs nothing.
	write func()

	index int // guarded by sockets.mu

	out outbox

	heard  atomic.Int64 // when something came from the client last, Unix nanoseconds
	pinged int64        // owned by the sweeper
	known  atomic.Bool  // it does not count as a stranger, or no longer
	gone   atomic.Bool  // finalize has run
}

func newWSConn(r *sockets, nc *conn, a *admission) *wsConn {
	now := r.now.Load()
	c := &wsConn{sockets: r, conn: nc, kind: a.kind, born: now, index: -1}
	c.known.Store(!a.stranger)
	c.stream.Conn, c.stream.c = nc, c
	c.heard.Store(now)
	c.write = c.writeLoop
	return c
}

// run is the socket's one goroutine.
func (c *wsConn) run() {
	defer c.readerEnded()
	defer c.contain("reader")
	c.handler.serve()
	c.close(codeNormal, "")
}

// contain, deferred by a goroutine of the socket, ends the socket instead of the
// process.
func (c *wsConn) contain(where string) {
	if p := recover(); p != nil {
		c.panicked(where, p)
		c.abandon(codeServerError, reasonInternal)
	}
}

// panicked notes what a client's input has done.
func (c *wsConn) panicked(where string, p any) {
	panicsTotal.Inc()
	c.sockets.log.Error("panic at a socket", "socket", c.kind.String(), "in", where, "panic", p, "stack", string(debug.Stack()))
}

// next waits for the client's next message, whole, at most 50 MiB, text and binary
// alike. The caller owns the buffer. The error is a *peerCloseError or
// errSocketClosed, and final. While the socket is closing messages are thrown
// away.
func (c *wsConn) next() (*pool.Buffer, error) {
	for {
		op, r, err := c.ws.NextReader()
		if err != nil {
			return nil, c.explain(err)
		}
		msg, err := c.read(r)
		if err != nil {
			msg.Release()
			return nil, c.explain(err)
		}
		switch {
		case c.closed():
		case op == websocket.TextMessage && !utf8.Valid(msg.B):
			c.refuseText()
		default:
			c.kind.metrics().framesIn.Inc()
			return msg, nil
		}
		msg.Release()
	}
}

// refuseText ends a socket whose client has sent text that is not UTF-8; its
// handler may have something to finish first.
func (c *wsConn) refuseText() {
	if h, ok := c.handler.(interface{ notUTF8() }); ok {
		h.notUTF8()
		return
	}
	c.abandon(codeInvalid, reasonNotUTF8)
}

// explain ends reading.
func (c *wsConn) explain(err error) error {
	var ce *websocket.CloseError
	if errors.As(err, &ce) && ce.Code != codeAbnormal {
		return &peerCloseError{ce.Code}
	}
	if !c.closed() {
		c.die(codeAbnormal)
	}
	c.linger()
	return errSocketClosed
}

// linger throws away what the client is still sending after it has broken the
// protocol, which ends the library's reading: closing at once would overtake our
// close frame with a reset. Clients that wait for the end of the connection see it
// behind that frame; the sweeper ends it for the others.
func (c *wsConn) linger() {
	c.out.mu.Lock()
	c.out.lingering = true
	sent := c.out.closeSent
	c.out.mu.Unlock()
	if sent {
		c.conn.closeWrite()
	}
	scrap := pool.Acquire(0)
	defer scrap.Release()
	for !c.isDead() {
		if _, err := c.stream.Read(scrap.B[:cap(scrap.B)]); err != nil {
			return
		}
	}
}

// read takes in one message as it arrives. What is too large, or arrives while the
// socket is closing, is read on and thrown away, because the client's own close
// frame may be behind it.
func (c *wsConn) read(r io.Reader) (*pool.Buffer, error) {
	buf := pool.Acquire(0)
	var taken int64
	defer func() { c.sockets.inbound.give(taken) }()
	for {
		if len(buf.B) == cap(buf.B) {
			if len(buf.B) >= strangerBytes && !c.mayGrow(buf, &taken) {
				buf.B = buf.B[:0]
			} else {
				buf = grown(buf)
			}
		}
		n, err := r.Read(buf.B[len(buf.B):cap(buf.B)])
		buf.B = buf.B[:len(buf.B)+n]
		if err == io.EOF {
			if len(buf.B) > strangerBytes && !c.closed() && !c.handler.allowLarge() {
				c.abandon(codeTooBig, reasonTooBig)
			}
			return buf, nil
		}
		if err != nil {
			return buf, err
		}
		if c.closed() {
			buf.B = buf.B[:0]
		}
	}
}

// mayGrow asks for as much room again as the message has. It closes the socket
// when there is none.
func (c *wsConn) mayGrow(buf *pool.Buffer, taken *int64) bool {
	switch more := int64(cap(buf.B)); {
	case c.closed():
		return false
	case !c.handler.allowLarge():
		c.abandon(codeTooBig, reasonTooBig)
		return false
	case !c.sockets.inbound.take(more):
		c.abandon(codeTryLater, reasonMemory)
		return false
	default:
		*taken += more
		return true
	}
}

// grown is buf with twice the room.
func grown(buf *pool.Buffer) *pool.Buffer {
	bigger := pool.Acquire(2 * cap(buf.B))
	if cap(bigger.B) < 2*cap(buf.B) {
		bigger.Release()
		bigger = pool.Wrap(make([]byte, 0, 2*cap(buf.B)))
	}
	bigger.B = append(bigger.B, buf.B...)
	buf.Release()
	return bigger
}

// onPing answers a ping with a pong of the same payload.
func (c *wsConn) onPing(payload string) error {
	body := pool.Acquire(len(payload))
	body.B = append(body.B, payload...)
	c.putControl(opPong, body)
	return nil
}

// code is what the socket has ended with.
func (c *wsConn) code() int {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	return c.out.code
}

// onClose notes that the client has said its last word. The echo is the
// handler's.
func (c *wsConn) onClose(code int, _ string) error {
	c.out.mu.Lock()
	c.out.peerClosed = true
	if c.out.code == 0 {
		c.out.code = code
	}
	c.out.mu.Unlock()
	return nil
}
