package proxy

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fasthttp/websocket"
)

// rawClient frames for itself.
type rawClient struct {
	net.Conn
	t  *testing.T
	in *bufio.Reader
}

const rawHandshake = "GET /api/v1/socket?token=writer HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

// dialRaw opens a socket by hand; early is sent in the packet of the handshake.
func (r *socketRig) dialRaw(early []byte) *rawClient {
	r.t.Helper()
	nc, err := net.Dial("tcp", r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(patience))
	c := &rawClient{nc, r.t, bufio.NewReader(nc)}
	c.write(append([]byte(rawHandshake), early...))
	accepted := false
	for {
		line, err := c.in.ReadString('\n')
		if err != nil {
			r.t.Fatal(err)
		}
		// The sample of RFC 6455, 1.3.
		accepted = accepted || line == "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
		if line == "\r\n" {
			break
		}
	}
	if !accepted {
		r.t.Error("not accepted")
	}
	return c
}

func (c *rawClient) write(b []byte) {
	c.t.Helper()
	if _, err := c.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

// rawFrame is a masked frame.
func rawFrame(first byte, payload string) []byte {
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	mask := [4]byte{1, 2, 3, 4}
	b = append(b, mask[:]...)
	for i := range len(payload) {
		b = append(b, payload[i]^mask[i%4])
	}
	return b
}

// hear reads one frame of the server.
func (c *rawClient) hear() (op byte, payload string) {
	c.t.Helper()
	var head [2]byte
	if _, err := io.ReadFull(c.in, head[:]); err != nil {
		c.t.Fatalf("no frame: %v", err)
	}
	n := uint64(head[1])
	switch n {
	case 126:
		var l [2]byte
		_, _ = io.ReadFull(c.in, l[:])
		n = uint64(binary.BigEndian.Uint16(l[:]))
	case 127:
		var l [8]byte
		_, _ = io.ReadFull(c.in, l[:])
		n = binary.BigEndian.Uint64(l[:])
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(c.in, b); err != nil {
		c.t.Fatalf("frame cut short: %v", err)
	}
	return head[0], string(b)
}

func (c *rawClient) expect(op byte, payload string) {
	c.t.Helper()
	if gotOp, got := c.hear(); gotOp != frameFinal|op || got != payload {
		c.t.Errorf("got  %x %q\nwant %x %q", gotOp, got, frameFinal|op, payload)
	}
}

func closePayload(code int, reason string) string {
	return string([]byte{byte(code >> 8), byte(code)}) + reason
}

// expectEnd expects the connection to be closed by the server.
func (c *rawClient) expectEnd() {
	c.t.Helper()
	if n, err := io.Copy(io.Discard, c.in); err != nil || n > 0 {
		c.t.Errorf("after the close: %d bytes, %v", n, err)
	}
}

func TestSocketFragments(t *testing.T) {
	r := newSocketRig(t, Config{})
	r.completions("acme", nil)
	// The first frame comes with the handshake, in pieces, a ping between them.
	ask := askFrame("1", "in pieces")
	early := rawFrame(opText, ask[:10])
	early = append(early, rawFrame(frameFinal|opPing, "p")...)
	early = append(early, rawFrame(0, ask[10:20])...)
	c := r.dialRaw(early[:len(early)-3])
	c.write(early[len(early)-3:])
	c.expect(opPong, "p")
	c.write(rawFrame(frameFinal|opPong, "unasked"))
	for i := 20; i < len(ask); i++ {
		c.write(rawFrame(0, ask[i:i+1]))
	}
	c.write(rawFrame(frameFinal, ""))
	c.expect(opText, answerFrame("1", "in pieces", true))
	for _, size := range []int{100, 125, 126, 1000, 1<<16 - 1, 1 << 16, 1 << 20} {
		text := strings.Repeat("y", size)
		c.write(rawFrame(frameFinal|opText, askFrame("2", text)))
		c.expect(opText, answerFrame("2", text, true))
	}
	c.write(rawFrame(frameFinal|opClose, closePayload(1001, "leaving")))
	c.expect(opClose, closePayload(codeNormal, ""))
	c.expectEnd()
}

func TestSocketProtocolErrors(t *testing.T) {
	r := newSocketRig(t, Config{})
	over := binary.BigEndian.AppendUint64([]byte{frameFinal | opText, 0x80 | 127}, maxMessageBytes+1)
	over = append(over, 1, 2, 3, 4)
	for _, c := range []struct {
		name   string
		frames []byte
		code   int
		reason string
	}{
		{"one byte too many, declared", over, codeTooBig, reasonTooBig},
		{"not UTF-8", rawFrame(frameFinal|opText, "\"\xff\""), codeInvalid, reasonNotUTF8},
		{"cut character", rawFrame(frameFinal|opText, "\"\xe2\x82"), codeInvalid, reasonNotUTF8},
		{"not masked", []byte{frameFinal | opText, 1, 'x'}, 1002, "protocol error"},
		{"reserved bit", rawFrame(frameFinal|0x40|opText, "x"), 1002, "protocol error"},
		{"unknown opcode", rawFrame(frameFinal|0x3, "x"), 1002, "protocol error"},
		{"long ping", rawFrame(frameFinal|opPing, strings.Repeat("x", 126)), 1002, "protocol error"},
		{"continuation of nothing", rawFrame(frameFinal, "x"), 1002, "protocol error"},
		{"bad close code", rawFrame(frameFinal|opClose, closePayload(1005, "")), 1002, "protocol error"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := r.dialRaw(nil)
			s.t = t
			s.write(c.frames)
			s.expect(opClose, closePayload(c.code, c.reason))
			s.write(rawFrame(frameFinal|opClose, closePayload(c.code, "")))
			_ = s.Conn.(*net.TCPConn).CloseWrite() //nolint:forcetypeassert // dialled tcp
			s.expectEnd()
		})
	}
	eventually(t, "no socket is left", func() bool { return r.socketCount() == 0 })
}

// TestSocketLargestMessage: exactly 50 MiB are accepted, in several frames one more
// is not.
func TestSocketLargestMessage(t *testing.T) {
	r := newSocketRig(t, Config{})
	c := r.dial("?token=writer")
	c.say(strings.Repeat(" ", maxMessageBytes-2) + "[]")
	c.expect(`{"error":{"message":"a frame must be a JSON object","type":"error"},"complete":true}`)
	raw := r.dialRaw(nil)
	piece := rawFrame(opText, strings.Repeat(" ", maxMessageBytes/2))
	raw.write(piece)
	piece[0] = 0
	raw.write(piece)
	raw.write(rawFrame(frameFinal, " "))
	raw.expect(opClose, closePayload(codeTooBig, reasonTooBig))
	if n := r.server.budget.used.Load(); n != 0 {
		eventually(t, "nothing is counted", func() bool { return r.server.budget.used.Load() == 0 })
	}
}

// TestSocketEndsBehindItsCloseFrame: a client that broke the protocol and waits for
// the end of the connection need not wait for the sweeper.
func TestSocketEndsBehindItsCloseFrame(t *testing.T) {
	r := newSocketRig(t, Config{SocketCloseWait: time.Hour})
	c := r.dialRaw(nil)
	c.write(rawFrame(opText, strings.Repeat(" ", maxMessageBytes)))
	c.write(rawFrame(frameFinal, " "))
	c.expect(opClose, closePayload(codeTooBig, reasonTooBig))
	c.expectEnd()
	c.Close()
	eventually(t, "it is gone", func() bool { return r.socketCount() == 0 })
}

func TestSocketInboundBudget(t *testing.T) {
	r := newSocketRig(t, Config{BodyBudgetBytes: 1 << 20, MaxBodyBytes: 1 << 20})
	c := r.dial("?token=writer")
	go func() { _ = c.WriteMessage(websocket.TextMessage, []byte(strings.Repeat(" ", 4<<20))) }()
	c.expectClose(codeTryLater, reasonMemory)
	eventually(t, "nothing is counted", func() bool { return r.server.budget.used.Load() == 0 })
}

func TestSocketPings(t *testing.T) {
	r := newSocketRig(t, Config{SocketPing: 40 * time.Millisecond, SocketDead: 2 * time.Second})
	alive, dead := r.dialRaw(nil), r.dialRaw(nil)
	// Longer than the time after which silence is death.
	for end := time.Now().Add(2500 * time.Millisecond); time.Now().Before(end); {
		alive.expect(opPing, "")
		alive.write(rawFrame(frameFinal|opPong, ""))
	}
	eventually(t, "the half-open one is given up", func() bool { return r.socketCount() == 1 })
	dead.expect(opPing, "")
	alive.expect(opPing, "")
}

// TestSocketClientThatNeverClosesIsCut: the closing handshake is bounded.
func TestSocketClientThatNeverClosesIsCut(t *testing.T) {
	r := newSocketRig(t, Config{SocketCloseWait: 100 * time.Millisecond})
	c := r.dialRaw(rawFrame(frameFinal|opText, "\xff"))
	c.expect(opClose, closePayload(codeInvalid, reasonNotUTF8))
	c.expectEnd()
	eventually(t, "it is gone", func() bool { return r.socketCount() == 0 })
}

func TestSocketsComeAndGo(t *testing.T) {
	r := newSocketRig(t, Config{})
	r.completions("acme", nil)
	r.dial("?token=writer").say(askFrame("1", "warm"))
	eventually(t, "one", func() bool { return r.socketCount() == 1 })
	var all sync.WaitGroup
	gate := make(chan struct{}, 32)
	for i := range 1000 {
		all.Add(1)
		go func() {
			defer all.Done()
			gate <- struct{}{}
			defer func() { <-gate }()
			c := r.dial("?token=writer")
			c.say(askFrame("1", "hello"), askFrame("2", "stream"), askFrame("3", "silent"))
			for range 4 {
				_ = c.hear()
			}
			switch i % 3 {
			case 0:
				_ = c.Close()
			case 1:
				_ = c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(codeNormal, ""), time.Now().Add(patience))
				c.expectClose(codeNormal, "")
			default:
				c.say("\xff")
				c.expectClose(codeInvalid, reasonNotUTF8)
			}
			_ = c.Close()
		}()
	}
	all.Wait()
	eventually(t, "nothing is left", func() bool {
		return r.socketCount() == 1 && r.pending.Waiting() == 0 && r.server.sockets.queued.Load() == 0 &&
			r.server.sockets.reserved.Load() == 0 && r.server.sockets.strangers.Load() == 0 && r.server.conns.size() == 1
	})
	eventually(t, "their goroutines are gone", func() bool {
		stacks := make([]byte, 4<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		return bytes.Count(stacks, []byte("(*wsConn).run(")) == 1 && !bytes.Contains(stacks, []byte("(*wsConn).writeLoop(")) &&
			!bytes.Contains(stacks, []byte("(*session).pump(")) && !bytes.Contains(stacks, []byte("(*session).attempt("))
	})
}

func TestFraming(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 127, 1<<16 - 1, 1 << 16, 1<<16 + 1} {
		payload := strings.Repeat("z", n)
		out := append(beginText([]byte("before")), payload...)
		out = endText(out, len("before"))
		want := appendHeader([]byte("before"), opText, n)
		if string(out) != string(want)+payload {
			t.Errorf("%d bytes: framed wrongly, header %x", n, out[6:min(len(out), 20)])
		}
	}
}

// TestDropOldest: what waits is dropped from the front; control frames overtake it.
func TestDropOldest(t *testing.T) {
	r := newSocketRig(t, Config{SocketQueueBytes: 10_000})
	c := r.dialRaw(nil)
	eventually(t, "it is open", func() bool { return r.socketCount() == 1 })
	s := r.server.sockets.snapshot(nil)[0]
	s.out.mu.Lock()
	s.out.writing = true // no writer starts
	s.out.mu.Unlock()
	for i := range 9 {
		if got := s.send(bufferOf(strconv.Itoa(i) + strings.Repeat("x", 999))); got != sentOK {
			t.Fatalf("frame %d: %v", i, got)
		}
	}
	s.putControl(opPing, nil)
	if got := s.send(bufferOf(strings.Repeat("x", 1000))); got != sentFull {
		t.Errorf("over the budget: %v", got)
	}
	last := "9" + strings.Repeat("x", 999)
	if got, n := s.sendInPlace(item{op: opText, body: bufferOf(last)}); got != sentOK || n != 1 {
		t.Errorf("%v, dropped %d", got, n)
	}
	s.putControl(opPong, bufferOf("earlier"))
	s.putControl(opPong, bufferOf("latest"))
	go s.writeLoop()
	c.expect(opPing, "") // ahead of what waits
	c.expect(opPong, "latest")
	for i := 1; i < 9; i++ {
		if _, got := c.hear(); got[:1] != strconv.Itoa(i) {
			t.Errorf("%d: %q", i, got[:1])
		}
	}
	c.expect(opText, last)
	eventually(t, "no bytes are counted", func() bool { return s.queued() == 0 && r.server.sockets.queued.Load() == 0 })
}
