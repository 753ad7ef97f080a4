package proxy

import (
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/codec"
	"sluice/proxy/dispatch"
)

// waitingCall makes every call wait until it is released or its client is gone.
type waitingCall struct {
	started, release, gone chan struct{}
}

func (r *rig) waitInCalls() *waitingCall {
	w := &waitingCall{make(chan struct{}, 16), make(chan struct{}, 16), make(chan struct{}, 16)}
	r.bus.call = func(_ dispatch.Key, _ string, c dispatch.Call) (string, codec.Part, error) {
		w.started <- struct{}{}
		select {
		case <-c.Gone:
			w.gone <- struct{}{}
			return "", codec.Part{}, dispatch.ErrGone
		case <-w.release:
			return `{"late":true}`, codec.Part{Final: true}, nil
		}
	}
	return w
}

// scanNow looks after all running calls, as the scanner does for old ones.
func (r *rig) scanNow() { (&scanner{conns: r.server.conns}).scan(time.Now().Add(time.Minute)) }

func await(t *testing.T, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		t.Fatalf("never happened: %s", what)
	}
}

func TestClientGone(t *testing.T) {
	for name, leave := range map[string]func(c *wireConn){
		"reset":      func(c *wireConn) { _ = c.SetLinger(0); _ = c.Close() },
		"full close": func(c *wireConn) { _ = c.Close() },
		"reset behind a pipelined request": func(c *wireConn) {
			c.say(post(completionPath, "admin", completion))
			_ = c.SetLinger(0)
			_ = c.Close()
		},
		"close behind a pipelined request": func(c *wireConn) {
			c.say(post(completionPath, "admin", completion))
			_ = c.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, Config{})
			calls := r.waitInCalls()
			c := r.dial()
			c.say(post(completionPath, "admin", completion))
			await(t, "the call starts", calls.started)
			r.scanNow()
			leave(c)
			eventually(t, "the call ends", func() bool {
				r.scanNow()
				return len(calls.gone) > 0
			})
			eventually(t, "the connection ends", func() bool { return r.server.conns.size() == 0 })
		})
	}
}

// TestScannerRuns: the same without help, by the scanner's own clock.
func TestScannerRuns(t *testing.T) {
	r := newRig(t, Config{})
	calls := r.waitInCalls()
	c := r.dial()
	c.say(post(completionPath, "admin", completion))
	await(t, "the call starts", calls.started)
	_ = c.Close()
	await(t, "the call ends", calls.gone)
}

// TestHalfClosedClient: it said that it sends no more, and still wants its answer.
func TestHalfClosedClient(t *testing.T) {
	for _, version := range []string{"HTTP/1.1", "HTTP/1.0"} {
		r := newRig(t, Config{})
		calls := r.waitInCalls()
		c := r.dial()
		c.say(strings.Replace(post(completionPath, "admin", completion), "HTTP/1.1", version, 1))
		await(t, "the call starts", calls.started)
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		conns := r.server.conns.snapshot(false)
		eventually(t, "the end is seen", func() bool { return conns[0].peer() == peerSilent })
		for range 5 {
			r.scanNow()
		}
		if len(calls.gone) > 0 {
			t.Fatal("taken for gone")
		}
		calls.release <- struct{}{}
		// Interim responses are for HTTP/1.1 only.
		first, err := c.hearOne()
		if err != nil || (first.status == http.StatusContinue) != (version == "HTTP/1.1") {
			t.Fatalf("%s: %v %v", version, first, err)
		}
		got := first
		if version == "HTTP/1.1" {
			got = c.hear()
		}
		if got.status != 200 || got.body != `{"late":true}` {
			t.Errorf("%s: %d %s", version, got.status, got.body)
		}
		c.hearEnd()
	}
}

// TestStaleTokenIsForgotten: a report for one call never ends the next one.
func TestStaleTokenIsForgotten(t *testing.T) {
	r := newRegistry()
	here, there := net.Pipe()
	defer there.Close()
	c := newConn(here, r, time.Second)
	defer c.kill() //nolint:errcheck // a pipe
	gone := c.begin(time.Unix(1, 0), true)
	c.mu.Lock()
	c.report(c.busySince.Load())
	c.mu.Unlock()
	c.end()
	if again := c.begin(time.Unix(2, 0), true); len(again) != 0 || again != gone {
		t.Error("the token of the last call is still there")
	}
	c.end()
}

// TestProbeNeverGarbles: interim responses are written again and again while
// answers of all sizes go out over half-closed connections.
func TestProbeNeverGarbles(t *testing.T) {
	r := newRig(t, Config{})
	big := `"` + strings.Repeat("b", 300_000) + `"`
	r.bus.call = func(dispatch.Key, string, dispatch.Call) (string, codec.Part, error) {
		return big, codec.Part{Final: true}, nil
	}
	stop := make(chan struct{})
	var scans sync.WaitGroup
	scans.Add(1)
	go func() {
		defer scans.Done()
		for {
			select {
			case <-stop:
				return
			default:
				r.scanNow()
			}
		}
	}()
	const each = 10
	for range 20 {
		c := r.dial()
		c.say(strings.Repeat(post(completionPath, "admin", completion), each))
		_ = c.CloseWrite()
		for range each {
			if got := c.hear(); got.body != big {
				t.Fatalf("%d, %d bytes", got.status, len(got.body))
			}
		}
	}
	close(stop)
	scans.Wait()
}

func TestPeerOfAPipe(t *testing.T) {
	here, there := net.Pipe()
	defer there.Close()
	c := newConn(here, newRegistry(), time.Second)
	if got := c.peer(); got != peerThere {
		t.Errorf("a connection without a descriptor: %d", got)
	}
	_ = c.kill()
}
