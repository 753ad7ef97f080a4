package proxy

import (
	"errors"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
)

// failingListener fails a few times before it accepts.
type failingListener struct {
	net.Listener
	left atomic.Int32
	with error
}

func (l *failingListener) Accept() (net.Conn, error) {
	if l.left.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", l.with)}
	}
	return l.Listener.Accept()
}

func TestAcceptSurvives(t *testing.T) {
	for _, code := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ECONNABORTED} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		failing := &failingListener{Listener: ln, with: code}
		failing.left.Store(4)
		r := newRigOn(t, Config{}, failing)
		if got := r.do("GET", "/healthz", "", ""); got.status != 200 {
			t.Errorf("after %v: %d", code, got.status)
		}
	}
}

func TestAcceptGivesUpForGood(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	failing := &failingListener{Listener: ln, with: syscall.EINVAL}
	failing.left.Store(1)
	cfg := Config{Logger: quiet()}.withDefaults()
	if _, err := newListener(failing, newRegistry(), &cfg).Accept(); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("Accept: %v", err)
	}
}

// TestConnectionCap: the longest idle connection makes room, running calls stay.
func TestConnectionCap(t *testing.T) {
	r := newRig(t, Config{MaxConns: 2})
	calls := r.waitInCalls()
	busy, idle := r.dial(), r.dial()
	busy.say(post(completionPath, "admin", completion))
	await(t, "the call starts", calls.started)
	idle.say("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
	if got := idle.hear(); got.status != 200 {
		t.Fatal(got.status)
	}
	eventually(t, "it is idle", func() bool { return len(r.server.conns.snapshot(true)) == 1 })

	third := r.dial()
	third.say(post(completionPath, "admin", completion))
	await(t, "the newcomer's call starts", calls.started)
	idle.hearEnd() // it made room

	// Nobody is idle now: the fourth waits until somebody has finished.
	fourth := r.dial()
	fourth.say("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
	eventually(t, "the fourth is accepted", func() bool { return r.server.conns.size() == 3 })
	calls.release <- struct{}{}
	if got := fourth.hear(); got.status != 200 {
		t.Errorf("the fourth: %d", got.status)
	}
	calls.release <- struct{}{}
	for _, c := range []*wireConn{busy, third} {
		if got := c.hear(); got.status != 200 {
			t.Errorf("a running call: %d %s", got.status, got.body)
		}
	}
}

func TestRegistry(t *testing.T) {
	r := newRegistry()
	var all []*conn
	for range 5 {
		here, there := net.Pipe()
		defer there.Close()
		c := newConn(here, r, 0)
		r.add(c)
		all = append(all, c)
	}
	all[0].idleSince.Store(0) // has a request
	all[3].idleSince.Store(1) // the oldest
	if !r.evict(nil) || r.size() != 4 {
		t.Fatal("nothing was evicted")
	}
	for _, c := range r.snapshot(false) {
		if c == all[3] {
			t.Error("the wrong one was evicted")
		}
	}
	for range 2 {
		for _, c := range all {
			_ = c.kill() // twice, and in no order
		}
	}
	if r.size() != 0 || r.evict(nil) {
		t.Errorf("%d left", r.size())
	}
}

func TestDefaultMaxConns(t *testing.T) {
	if n := DefaultMaxConns(); n < 1 || n > 1<<20 {
		t.Errorf("DefaultMaxConns: %d", n)
	}
}
