package proxy

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fasthttp/websocket"
)

// TestSocketConcurrency: G48, G49: finished requests free their places, whatever
// came first; a client that leaves cancels what runs.
func TestSocketConcurrency(t *testing.T) {
	r := newSocketRig(t, Config{})
	released := make(chan struct{})
	served := r.completions("acme", released)
	c := r.dial("?token=writer")
	c.say(askFrame(`"slow"`, "hold"))
	for i := range 3 * maxRunning {
		c.say(askFrame(strconv.Itoa(i), "fast "+strconv.Itoa(i)))
	}
	got := map[string]bool{}
	for range 3 * maxRunning {
		got[c.hear()] = true
	}
	for i := range 3 * maxRunning {
		if !got[answerFrame(strconv.Itoa(i), "fast "+strconv.Itoa(i), true)] {
			t.Errorf("no answer to %d", i)
		}
	}
	before := served.Load()
	for i := range maxRunning - 1 {
		c.say(askFrame(strconv.Itoa(i), "hold "+strconv.Itoa(i)))
	}
	for i := range maxWaiting + 5 {
		c.say(askFrame(`"w`+strconv.Itoa(i)+`"`, "waits "+strconv.Itoa(i)))
	}
	for i := range 5 {
		c.expect(`{"id":"w` + strconv.Itoa(maxWaiting+i) + `","error":{"message":"too many requests of this socket wait already","type":"overloaded"},"complete":true}`)
	}
	// Equal frames join what waits, and authentication is ahead of it.
	c.say(askFrame(`"w7"`, "waits 7"), `{"type":"auth","token":"wrong"}`)
	c.expect(`{"type":"auth-failed","error":"auth failure"}`)
	eventually(t, "as many run as may", func() bool { return served.Load()-before == maxRunning-1 })
	close(released)
	want := 1 + maxRunning - 1 + maxWaiting
	waited := 0
	for range want {
		f := c.hear()
		if strings.HasPrefix(f, `{"id":"w`) {
			waited++
		}
		if !strings.HasSuffix(f, `"complete":true}`) || strings.Contains(f, "error") {
			t.Fatal(f)
		}
	}
	if waited != maxWaiting {
		t.Errorf("%d of %d that waited were answered", waited, maxWaiting)
	}
	c.say(askFrame("1", "last"))
	c.expect(answerFrame("1", "last", true))
}

func TestSocketWaitingBytes(t *testing.T) {
	r := newSocketRig(t, Config{})
	released := make(chan struct{})
	r.completions("acme", released)
	c := r.dial("?token=writer")
	for i := range maxRunning {
		c.say(askFrame(strconv.Itoa(i), "hold "+strconv.Itoa(i)))
	}
	big := strings.Repeat("x", maxWaitingBytes/2-100)
	c.say(askFrame(`"a"`, big), askFrame(`"b"`, big+"x"), askFrame(`"c"`, big))
	if f := c.hear(); !strings.HasPrefix(f, `{"id":"c","error"`) || !strings.Contains(f, "overloaded") {
		t.Error(f[:min(len(f), 200)])
	}
	close(released)
	for range maxRunning + 2 {
		if f := c.hear(); !strings.HasSuffix(f, `"complete":true}`) {
			t.Error(f[:min(len(f), 200)])
		}
	}
}

// TestSocketJoins: the same frame again joins, the same id with other content does
// not.
func TestSocketJoins(t *testing.T) {
	r := newSocketRig(t, Config{})
	released := make(chan struct{})
	served := r.completions("acme", released)
	c := r.dial("?token=writer")
	c.say(askFrame("1", "hold"), askFrame("1", "hold"), askFrame("1", "hold on"), askFrame("2", "hold"))
	c.say(`{"type":"auth","token":"reader"}`)
	c.expect(`{"type":"auth-ok","workspace":"acme"}`)
	c.say(askFrame("1", "hold")) // somebody else's
	c.say(`{"type":"auth","token":"nobody"}`)
	c.expect(`{"type":"auth-ok","workspace":"acme"}`)
	c.say(askFrame("1", "hold")) // not allowed, so it does not join either
	c.expect(`{"id":1,` + accessDenied)
	eventually(t, "four run", func() bool { return served.Load() == 4 })
	close(released)
	got := map[string]int{}
	for range 4 {
		got[c.hear()]++
	}
	if got[answerFrame("1", "hold", true)] != 2 || got[answerFrame("1", "hold on", true)] != 1 || got[answerFrame("2", "hold", true)] != 1 {
		t.Error(got)
	}
	c.say(`{"type":"auth","token":"writer"}`, askFrame("1", "again"), askFrame("3", "done"))
	c.expect(`{"type":"auth-ok","workspace":"acme"}`)
	frames := c.hear() + c.hear()
	if !strings.Contains(frames, answerFrame("1", "again", true)) || !strings.Contains(frames, answerFrame("3", "done", true)) {
		t.Error(frames)
	}
	if n := served.Load(); n != 6 {
		t.Errorf("%d calls", n)
	}
}

func TestSocketClientCloseCancels(t *testing.T) {
	r := newSocketRig(t, Config{})
	served := r.completions("acme", nil)
	for _, leave := range []func(c *client){
		func(c *client) {
			if err := c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(4321, "bye"), time.Now().Add(patience)); err != nil {
				t.Error(err)
			}
			c.expectClose(codeNormal, "")
		},
		func(c *client) { _ = c.Close() },
	} {
		before := served.Load()
		c := r.dial("?token=writer")
		for i := range 5 {
			c.say(askFrame(strconv.Itoa(i), "silent"))
		}
		eventually(t, "five run", func() bool { return served.Load() == before+5 && r.pending.Waiting() == 5 })
		leave(c)
		eventually(t, "nothing is left", func() bool { return r.pending.Waiting() == 0 && r.socketCount() == 0 })
	}
}

// TestSocketSlowReader: G47: who does not read is closed, and delays nobody.
func TestSocketSlowReader(t *testing.T) {
	r := newSocketRig(t, Config{SocketQueueBytes: 1 << 20})
	r.completions("acme", nil)
	slow, other := r.dial("?token=writer"), r.dial("?token=writer")
	eventually(t, "both are open", func() bool { return r.socketCount() == 2 })
	big := strings.Repeat("x", 256<<10)
	dropped := false
	for i := 0; !dropped && i < 400; i++ {
		if err := slow.WriteMessage(websocket.TextMessage, []byte(askFrame(strconv.Itoa(i), big))); err != nil {
			break
		}
		if i%10 == 0 {
			other.say(askFrame("1", "quick"))
			other.expect(answerFrame("1", "quick", true))
		}
		all := r.server.sockets.snapshot(nil)
		dropped = len(all) < 2 || all[0].closed() || all[1].closed()
	}
	// Reading again within the closing time, it finds out why.
	slow.expectClose(codeTryLater, reasonSlow)
	eventually(t, "nothing is left of it", func() bool { return r.socketCount() == 1 && r.pending.Waiting() == 0 })
	eventually(t, "no bytes are counted", func() bool { return r.server.sockets.queued.Load() == 0 })
	other.say(askFrame("1", "still here"))
	other.expect(answerFrame("1", "still here", true))
}

// TestSocketBudget: when all queues together are too long the longest one goes.
func TestSocketBudget(t *testing.T) {
	r := newSocketRig(t, Config{SocketBudgetBytes: 1 << 20})
	r.completions("acme", nil)
	slow, other := r.dial("?token=writer"), r.dial("?token=writer")
	eventually(t, "both are open", func() bool { return r.socketCount() == 2 })
	big := strings.Repeat("x", 256<<10)
	gone := func() bool {
		all := r.server.sockets.snapshot(nil)
		return len(all) < 2 || all[0].closed() || all[1].closed()
	}
	for i := 0; !gone() && i < 400; i++ {
		if slow.WriteMessage(websocket.TextMessage, []byte(askFrame(strconv.Itoa(i), big))) != nil {
			break
		}
	}
	if !gone() {
		t.Fatalf("%d bytes wait and nobody was closed", r.server.sockets.queued.Load())
	}
	other.say(askFrame("1", big))
	other.expect(answerFrame("1", big, true))
	slow.expectClose(codeTryLater, reasonSlow)
}

func TestSocketDrain(t *testing.T) {
	r := newSocketRig(t, Config{})
	released := make(chan struct{})
	served := r.completions("acme", released)
	idle, busy := r.dial("?token=writer"), r.dial("?token=writer")
	eventually(t, "both are open", func() bool { return r.socketCount() == 2 })
	busy.say(askFrame("1", "hold"))
	eventually(t, "one runs", func() bool { return served.Load() == 1 })
	over := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		over <- r.server.Shutdown(ctx)
	}()
	idle.expectClose(codeGoingAway, reasonShutdown)
	eventually(t, "both are told", func() bool {
		return !slices.ContainsFunc(r.server.sockets.snapshot(nil), func(c *wsConn) bool {
			s := c.handler.(*session) //nolint:forcetypeassert // the only kind here
			s.mu.Lock()
			defer s.mu.Unlock()
			return !s.draining
		})
	})
	busy.say(askFrame("2", "new"))
	busy.expect(`{"id":2,"error":{"message":"shutting down","type":"unavailable"},"complete":true}`)
	close(released)
	busy.expect(answerFrame("1", "hold", true))
	busy.expectClose(codeGoingAway, reasonShutdown)
	if err := <-over; err != nil {
		t.Errorf("shutdown: %v", err)
	}
	if n := r.socketCount(); n != 0 {
		t.Errorf("%d sockets are left", n)
	}
}

func TestSocketDrainTimesOut(t *testing.T) {
	r := newSocketRig(t, Config{})
	served := r.completions("acme", nil)
	busy, deaf := r.dial("?token=writer"), r.dial("?token=writer")
	eventually(t, "both are open", func() bool { return r.socketCount() == 2 })
	busy.say(askFrame("1", "silent"))
	deaf.say(askFrame("1", "silent"))
	eventually(t, "two run", func() bool { return served.Load() == 2 })
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	over := make(chan error, 1)
	go func() { over <- r.server.Shutdown(ctx) }()
	busy.expectClose(codeGoingAway, reasonShutdown)
	if err := <-over; err == nil {
		t.Error("nobody was told that a request was cut")
	}
	if n := r.socketCount() + r.pending.Waiting(); n != 0 {
		t.Errorf("%d left", n)
	}
}

// TestSocketSameFrameAfterItsAnswer: a frame that is sent again once its answer is
// complete is a new request, however soon it comes.
func TestSocketSameFrameAfterItsAnswer(t *testing.T) {
	r := newSocketRig(t, Config{})
	served := r.completions("acme", nil)
	c := r.dial("?token=writer")
	for range 2000 {
		c.say(askFrame("1", "again"))
		c.expect(answerFrame("1", "again", true))
	}
	if n := served.Load(); n != 2000 {
		t.Errorf("%d calls", n)
	}
}

// TestNothingJoinsAnEndingCall is the moment before, made to last.
func TestNothingJoinsAnEndingCall(t *testing.T) {
	r := newSocketRig(t, Config{})
	_ = r.dial("?token=writer")
	eventually(t, "it is open", func() bool { return r.socketCount() == 1 })
	s := r.onlySession(t)
	sum := digestOf([]byte("frame"))
	first, second := &muxCall{s: s, sum: sum}, &muxCall{s: s, sum: sum}
	if !s.link(first) || s.link(second) {
		t.Fatal("an equal frame does not join the one that runs")
	}
	first.end()
	if !s.link(second) {
		t.Error("joined a call whose last frame is being queued")
	}
	s.mu.Lock()
	s.requests.first, s.requests.last = nil, nil
	s.mu.Unlock()
}
