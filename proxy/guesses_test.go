package proxy

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"sluice/codec"
	"sluice/proxy/auth"
)

var (
	strangersSite = netip.MustParseAddr("192.0.2.1")
	ownersSite    = netip.MustParseAddr("198.51.100.7")
)

// clockedGuesses is a table whose clock a test sets.
func clockedGuesses() (*guesses, *time.Time) {
	now := time.Unix(1000, 0)
	g := newGuesses(false)
	g.now = func() time.Time { return now }
	return g, &now
}

// try is one attempt: how long it would wait, -1 when it is refused.
func try(g *guesses, a guess) time.Duration {
	delay, ok := g.take(&a)
	if !ok {
		return -1
	}
	return delay
}

// TestGuessesGrowSlower: D5, per account.
func TestGuessesGrowSlower(t *testing.T) {
	g, now := clockedGuesses()
	alice := g.loginGuess("acme", "alice", strangersSite)
	for range freeGuesses + 1 {
		if delay := try(g, alice); delay != 0 {
			t.Fatalf("a free attempt waits %v", delay)
		}
	}
	var before, sum time.Duration
	for range 10 {
		delay := try(g, alice)
		if delay < before || delay > longestGap {
			t.Fatalf("delay %v after %v", delay, before)
		}
		before, sum = delay, sum+delay
		*now = now.Add(delay)
	}
	if before != longestGap || sum < 25*time.Second {
		t.Errorf("the last delay is %v, all together %v", before, sum)
	}
	// Many at once don't get their turns together: the others are refused.
	passed := 0
	for range 100 {
		if try(g, alice) >= 0 {
			passed++
		}
	}
	if passed > 1 {
		t.Errorf("%d of 100 at once pass", passed)
	}
	// Other accounts, and the same name elsewhere, are not affected.
	for _, other := range []guess{
		g.loginGuess("acme", "bob", strangersSite), g.loginGuess("other", "alice", strangersSite),
		g.loginGuess("", "alice", strangersSite), g.changeGuess("alice", strangersSite),
	} {
		if try(g, other) != 0 {
			t.Error("another account is slowed down")
		}
	}
	if a, b := g.loginGuess("", "x", ownersSite), g.loginGuess("default", "x", ownersSite); a != b {
		t.Error("no workspace is not the default one")
	}
}

// TestNoAccountIsLocked: it recovers by itself, at once with the right password,
// and strangers do not keep the owner out.
func TestNoAccountIsLocked(t *testing.T) {
	g, now := clockedGuesses()
	alice := func(from netip.Addr) guess { return g.loginGuess("acme", "alice", from) }
	attack := func() {
		for range 200 {
			try(g, alice(strangersSite))
			*now = now.Add(100 * time.Millisecond)
		}
	}
	attack()
	*now = now.Add(longestGap * 2)
	if try(g, alice(ownersSite)) < 0 {
		t.Fatal("locked")
	}
	own := alice(ownersSite)
	_, _ = g.take(&own)
	g.right(&own)
	for range freeGuesses {
		if delay := try(g, alice(ownersSite)); delay != 0 {
			t.Errorf("the owner waits %v after a success", delay)
		}
	}
	attack()
	if try(g, alice(strangersSite)) == 0 {
		t.Error("the attack goes on unhindered")
	}
	if delay := try(g, alice(ownersSite)); delay != 0 {
		t.Errorf("the owner waits %v for strangers", delay)
	}
	*now = now.Add(worst * forgiveEvery)
	for range freeGuesses {
		if delay := try(g, alice(strangersSite)); delay != 0 {
			t.Errorf("not forgiven: %v", delay)
		}
	}
}

// TestGuessesAreBounded: whatever names are invented, and those do not make it
// forget the account under attack.
func TestGuessesAreBounded(t *testing.T) {
	g, _ := clockedGuesses()
	for range 2 * freeGuesses {
		try(g, g.loginGuess("acme", "alice", strangersSite))
	}
	for n := range 3 * maxAccounts {
		try(g, g.loginGuess("acme", fmt.Sprint("invented", n), strangersSite))
	}
	if len(g.accounts) > maxAccounts {
		t.Errorf("%d accounts are remembered", len(g.accounts))
	}
	if try(g, g.loginGuess("acme", "alice", strangersSite)) == 0 {
		t.Error("invented names washed the attacked one away")
	}
	for n := range 2 * maxAccounts { // all of them slowed down
		for range freeGuesses + 2 {
			try(g, g.loginGuess("acme", fmt.Sprint("worse", n), strangersSite))
		}
	}
	if len(g.accounts) > maxAccounts {
		t.Errorf("%d accounts are remembered", len(g.accounts))
	}
}

// TestDelayedGuessesAreBounded: who would have to wait beside too many others is
// refused at once, and who leaves does not wait.
func TestDelayedGuessesAreBounded(t *testing.T) {
	g, _ := clockedGuesses()
	alice := g.loginGuess("acme", "alice", strangersSite)
	for range freeGuesses + 1 {
		if err := g.wait(&alice, nil); err != nil {
			t.Fatal(err)
		}
	}
	gone := make(chan struct{})
	close(gone)
	if err := g.wait(&alice, gone); !errors.Is(err, auth.ErrRefused) {
		t.Errorf("the client has left: %v", err)
	}
	for range cap(g.delayed) {
		g.delayed <- struct{}{}
	}
	if err := g.wait(&alice, nil); !errors.Is(err, auth.ErrRefused) {
		t.Errorf("one too many: %v", err)
	}
	bob := g.loginGuess("acme", "bob", strangersSite)
	if err := g.wait(&bob, nil); err != nil {
		t.Errorf("who need not wait is refused: %v", err)
	}
	off := newGuesses(true)
	for range 100 {
		if err := off.wait(&alice, nil); err != nil {
			t.Errorf("no limit was asked for: %v", err)
		}
	}
	off.right(&alice)
}

// hurried is a rig whose clock stands still, and in which nobody may wait: an
// attempt that would be delayed is refused.
func hurried(t *testing.T) *rig {
	t.Helper()
	r := newRig(t, Config{LoginBurst: 1000})
	now := time.Now()
	r.server.guesses.now = func() time.Time { return now }
	for range cap(r.server.guesses.delayed) {
		r.server.guesses.delayed <- struct{}{}
	}
	return r
}

// TestLoginGuessesPerAccount: whether the account exists or not, the answer is the
// masked one, and keys and others are not affected.
func TestLoginGuessesPerAccount(t *testing.T) {
	r := hurried(t)
	asked := 0
	r.bus.ask = func(req codec.IAMRequest) (codec.IAMReply, error) {
		asked++
		if req.Password == "right" {
			return codec.IAMReply{JWT: "j"}, nil
		}
		return codec.IAMReply{Error: &codec.ServiceError{Type: "auth-failed", Message: "no such user"}}, nil
	}
	for range 20 {
		if got := r.do("POST", loginPath, "", `{"username":"nobody","password":"x"}`); got.status != 401 || got.body != refusedBody {
			t.Fatalf("%d %q", got.status, got.body)
		}
	}
	if asked != freeGuesses+1 {
		t.Errorf("IAM was asked %d times", asked)
	}
	for range 20 {
		if got := r.do("POST", loginPath, "", `{"username":"al","password":"right"}`); got.status != 200 {
			t.Fatalf("a good login: %d", got.status)
		}
	}
	if got := r.do("POST", completionPath, "writer", completion); got.status != 200 {
		t.Errorf("a key: %d", got.status)
	}
}

// TestPasswordGuessesOfOneSession: whoever has somebody's session cannot find out
// the password with it, neither by the route nor by the service.
func TestPasswordGuessesOfOneSession(t *testing.T) {
	r := hurried(t)
	asked := 0
	r.bus.ask = func(codec.IAMRequest) (codec.IAMReply, error) {
		asked++
		return codec.IAMReply{Error: &codec.ServiceError{Type: "auth-failed", Message: "bad credentials"}}, nil
	}
	for range 20 {
		if got := r.do("POST", changePath, "reader", `{"current_password":"x","new_password":"y"}`); got.status != 401 || got.body != refusedBody {
			t.Fatalf("%d %q", got.status, got.body)
		}
	}
	if asked != freeGuesses+1 {
		t.Errorf("IAM was asked %d times", asked)
	}
	got := r.do("POST", "/api/v1/iam", "reader", `{"operation":"change-password","user_id":"u-reader","password":"x","new_password":"y"}`)
	if got.status != 401 || got.body != refusedBody || r.bus.count() != 0 {
		t.Errorf("by the service: %d %q", got.status, got.body)
	}
	if got := r.do("POST", "/api/v1/iam", "writer", `{"operation":"change-password","user_id":"u-writer","password":"x","new_password":"y"}`); got.status != 200 {
		t.Errorf("another user: %d", got.status)
	}
}

// TestPasswordGuessesOnASocket are slowed down in the same way.
func TestPasswordGuessesOnASocket(t *testing.T) {
	r := newSocketRig(t, Config{})
	r.serve("request:tg:iam", "response:tg:iam", func(_ string, reply func(string)) {
		reply(`{"error":{"type":"auth-failed","message":"bad credentials"}}`)
	})
	now := time.Now()
	r.server.guesses.now = func() time.Time { return now }
	for range cap(r.server.guesses.delayed) {
		r.server.guesses.delayed <- struct{}{}
	}
	c := r.dial("?token=reader")
	for n := range 20 {
		c.say(fmt.Sprintf(`{"id":%d,"service":"iam","request":{"operation":"change-password","user_id":"u-reader","password":"x"}}`, n))
		want := fmt.Sprintf(`{"id":%d,"response":{"error":{"type":"auth-failed","message":"bad credentials"}},"complete":true}`, n)
		if n > freeGuesses {
			want = fmt.Sprintf(`{"id":%d,"error":{"message":"auth failure","type":"error"},"complete":true}`, n)
		}
		c.expect(want)
	}
}
