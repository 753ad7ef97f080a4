package proxy

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// lingerBytes is what is read off a connection that is closed while the
	// client may still be sending, so that the answer is not overtaken by a reset.
	// lingerBulk is that for a client in the middle of a long body, whose own
	// buffers alone hold more than the usual.
	lingerBytes = 64 << 10
	lingerBulk  = 64 << 20
	lingerTime  = time.Second
	// lingerRate is how many bytes a second buy the client more time.
	lingerRate = 2 << 20
	// writePiece is how much must reach the client within one write deadline, so
	// that a large answer may take long as long as it moves.
	writePiece = 256 << 10
)

// conn is one client connection. fasthttp serves it from a single goroutine; the
// listener evicts it, the scanner asks whether its client is still there, and
// shutdown closes it, all from other goroutines.
type conn struct {
	// Set once.

	net.Conn
	raw        syscall.RawConn // nil when the connection has no descriptor
	registry   *registry
	writeStall time.Duration
	// gone receives one token when the client of the running call has left.
	gone chan struct{}

	// Guarded by registry.mu.

	index int

	// Owned by the serving goroutine.

	linger int // bytes to read off before closing; 0: close at once
	// unhijacked is called by Close when the connection was to become a socket
	// and has not.
	unhijacked func()
	// ended is set when the client has said that it sends no more.
	ended bool

	// idleSince is when the connection began to wait for a request, in Unix
	// nanoseconds; 0 while there is one.
	idleSince atomic.Int64
	// busySince is when the running call began, 0 when there is none.
	busySince atomic.Int64
	// interim tells that the client takes interim (1xx) responses. It is
	// written before busySince.
	interim atomic.Bool

	// mu keeps the scanner's probe out of the response: the scanner writes only
	// under mu while busySince is set, and end takes mu before anything is sent.
	mu sync.Mutex

	// Owned by the scanner: the calls, by their busySince, that were probed and
	// whose client was reported gone.

	probed, reported int64
}

func newConn(c net.Conn, r *registry, writeStall time.Duration) *conn {
	out := &conn{Conn: c, registry: r, writeStall: writeStall, gone: make(chan struct{}, 1)}
	if sc, ok := c.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			out.raw = raw
		}
	}
	out.idleSince.Store(time.Now().UnixNano())
	return out
}

// begin marks the start of a call that waits for a service, and returns the
// channel that is told when the client leaves meanwhile. A nil conn never tells.
func (c *conn) begin(now time.Time, interim bool) <-chan struct{} {
	if c == nil {
		return nil
	}
	select {
	case <-c.gone: // left over from an earlier call
	default:
	}
	c.interim.Store(interim)
	c.busySince.Store(now.UnixNano())
	return c.gone
}

// end marks the end of the call. After it returns nobody but the serving
// goroutine writes to the connection.
func (c *conn) end() {
	if c == nil {
		return
	}
	c.mu.Lock()
	c.busySince.Store(0)
	c.mu.Unlock()
}

// closeSoftly makes Close wait a little for a client that is still sending: it
// could otherwise lose the answer to a connection reset.
func (c *conn) closeSoftly() { c.lingerFor(lingerBytes) }

func (c *conn) lingerFor(bytes int) {
	if c != nil {
		c.linger = max(c.linger, bytes)
	}
}

// Read notes the end of what the client sends: fasthttp takes it for the end of
// a chunked body whose last chunk is missing.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if errors.Is(err, io.EOF) {
		c.ended = true
	}
	return n, err
}

// Write writes p in pieces, each with a deadline of its own.
func (c *conn) Write(p []byte) (int, error) {
	written := 0
	for {
		piece := p[written:min(len(p), written+writePiece)]
		if err := c.SetWriteDeadline(time.Now().Add(c.writeStall)); err != nil {
			return written, err
		}
		n, err := c.Conn.Write(piece)
		written += n
		if err != nil || written == len(p) {
			return written, err
		}
	}
}

// Close ends the connection. It is called by the serving goroutine.
func (c *conn) Close() error {
	if c.unhijacked != nil {
		c.unhijacked()
		c.unhijacked = nil
	}
	if c.linger > 0 {
		c.drainBriefly()
	}
	return c.kill()
}

// kill closes the connection at once, from any goroutine.
func (c *conn) kill() error {
	c.registry.remove(c)
	return c.Conn.Close()
}

// abort closes the connection and ends its running call.
func (c *conn) abort() {
	c.mu.Lock()
	if since := c.busySince.Load(); since != 0 {
		c.report(since)
	}
	c.mu.Unlock()
	_ = c.kill()
}

// closeWrite tells the client that nothing more comes, and reports whether that
// could be said.
func (c *conn) closeWrite() bool {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	return ok && half.CloseWrite() == nil
}

func (c *conn) drainBriefly() {
	if !c.closeWrite() {
		return
	}
	var scrap [4 << 10]byte
	start, got := time.Now(), 0
	for got < c.linger {
		by := start.Add(lingerTime + time.Duration(got)*time.Second/lingerRate)
		if c.SetReadDeadline(by) != nil {
			return
		}
		n, err := c.Read(scrap[:])
		if err != nil {
			return
		}
		got += n
	}
}
