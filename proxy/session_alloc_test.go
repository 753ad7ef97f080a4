//go:build !race

package proxy

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"sluice/codec"
	"sluice/pool"
	"sluice/proxy/auth"
	"sluice/proxy/dispatch"
)

// echoBus answers every request at once, on the caller's goroutine.
type echoBus struct {
	stubDispatcher
	parts int
	total int
}

func (d *echoBus) Stream(_ dispatch.Key, req *codec.Request, _ dispatch.Call, sink dispatch.Sink) (dispatch.StreamHandle, error) {
	body := pool.Acquire(0)
	out, err := req.AppendMessage(body.B)
	if err != nil {
		return dispatch.StreamHandle{}, err
	}
	d.total++
	body.B = append(out[:0], stubAnswer...)
	for i := 1; i < d.parts; i++ {
		part := pool.Acquire(0)
		part.B = append(part.B, stubPart...)
		sink.Part(part, false)
	}
	sink.Part(body, true)
	return dispatch.StreamHandle{}, nil
}

var stubPart = []byte(`{"response":"hello","error":null,"in_token":1,"out_token":2,"model":"m","end_of_stream":false}`)

// countingConn swallows what is written.
type countingConn struct {
	net.Conn
	wrote chan int
}

func (c *countingConn) Write(p []byte) (int, error)      { c.wrote <- len(p); return len(p), nil }
func (c *countingConn) SetWriteDeadline(time.Time) error { return nil }

func TestFrameToFrameAllocatesNothing(t *testing.T) {
	stub := new(echoBus)
	s := New(Config{Logger: quiet()}, Deps{Dispatcher: stub, Authenticator: people, Authoriser: auth.NewRoleTable(nil)})
	here, there := net.Pipe()
	defer there.Close()
	wire := &countingConn{here, make(chan int, 16)}
	c := newWSConn(s.sockets, newConn(wire, s.conns, time.Second), &admission{kind: muxSocket, stranger: true})
	session := newSession(s, c, netip.Addr{}, nil)
	c.handler = session
	session.identity.know(people["writer"], []byte("writer"), 0)
	frame := []byte(askFrame(`"req-1"`, "what is this?"))
	run := func() {
		msg := pool.Acquire(len(frame))
		msg.B = append(msg.B, frame...)
		session.take(newInbound(msg))
		<-wire.wrote
	}
	run()
	if n := testing.AllocsPerRun(2000, run); n != 0 {
		t.Errorf("%v allocations a request", n)
	}
	if stub.total < 2000 || session.requests.running != 0 {
		t.Errorf("%d calls, %d running", stub.total, session.requests.running)
	}
	_ = c.conn.kill()
}
