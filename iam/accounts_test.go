package iam

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"sluice/bus"
	"sluice/codec"
)

// guess sends a login past the bus, but through what limits logins.
func (w *world) guess(username, password string) *codec.IAMReply {
	r := &codec.IAMRequest{Operation: "login", Username: username, Password: password}
	return w.answerSlow(context.Background(), findOperation("login"), r)
}

// guarded is a seeded world that requests can be received in, with user `alice`.
func guarded(t *testing.T) *world {
	w, _ := seeded(t)
	w.addUser("default", "alice", "right", "")
	w.attach(&flakyBus{})
	return w
}

// TestGuessingIsSlowedDown is defect D5: delays grow to five seconds and no
// further, for accounts that exist and for those that do not; the right password
// always gets in, and ends them.
func TestGuessingIsSlowedDown(t *testing.T) {
	for _, name := range []string{"alice", "nobody"} {
		synctest.Test(t, func(t *testing.T) {
			w := guarded(t)
			var delays []time.Duration
			for range 12 {
				start := time.Now()
				if reply := w.guess(name, "wrong"); reply.Error.Type != typeAuthFailed {
					t.Fatalf("reply %+v", reply.Error)
				}
				delays = append(delays, time.Since(start))
			}
			want := "[0s 0s 0s 0s 250ms 500ms 1s 2s 4s 5s 5s 5s]"
			if got := fmt.Sprint(delays); got != want {
				t.Errorf("%s: delays %s, want %s", name, got, want)
			}
			if name == "nobody" {
				return
			}
			start := time.Now()
			if reply := w.guess(name, "right"); reply.Error != nil || time.Since(start) != maxDelay {
				t.Errorf("the right password: %+v after %v", reply.Error, time.Since(start))
			}
			start = time.Now()
			if reply := w.guess(name, "wrong"); reply.Error.Message != errBadCredentials.Message || time.Since(start) != 0 {
				t.Errorf("after a login: %+v after %v", reply.Error, time.Since(start))
			}
		})
	}
}

func TestFailuresAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := guarded(t)
		for range 8 {
			w.guess("alice", "wrong")
		}
		time.Sleep(forgetAfter + time.Second)
		start := time.Now()
		w.guess("alice", "wrong")
		if d := time.Since(start); d != 0 {
			t.Errorf("delayed by %v", d)
		}
	})
}

// TestFloodOfOneAccountLeavesOthersAlone floods one account: what is over its
// bucket is refused without a hash, others get in, and so does the account itself
// as soon as the bucket fills.
func TestFloodOfOneAccountLeavesOthersAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := guarded(t)
		w.addUser("default", "bob", "right", "")
		refused := 0
		for range attemptBurst + 30 {
			if reply := w.guess("alice", "right"); reply.Error != nil {
				if reply.Error.Message != errTooManyAttempts.Message {
					t.Fatalf("reply %+v", reply.Error)
				}
				refused++
			}
		}
		if refused != 30 {
			t.Errorf("%d refused, want 30", refused)
		}
		if reply := w.guess("bob", "right"); reply.Error != nil {
			t.Errorf("another account: %+v", reply.Error)
		}
		time.Sleep(time.Second)
		if reply := w.guess("alice", "right"); reply.Error != nil {
			t.Errorf("a second later: %+v", reply.Error)
		}
		if !strings.Contains(w.logged(), `outcome=auth-failed reason="too many attempts"`) {
			t.Error("the refusals are not in the audit trail")
		}
	})
}

// Attempts that wait for their delay are few, and take no place that others need.
func TestDelayedAttemptsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := guarded(t)
		for range 8 {
			w.guess("alice", "wrong")
		}
		replies := make(chan *codec.IAMReply, 20)
		for range 20 {
			go func() { replies <- w.guess("alice", "wrong") }()
		}
		synctest.Wait()
		if len(replies) != 20-maxPerAccount || len(w.slow) != 0 || w.accounts.delayed != maxPerAccount {
			t.Errorf("%d refused, %d places taken, %d waiting", len(replies), len(w.slow), w.accounts.delayed)
		}
		if reply := w.guess("nobody", "x"); reply.Error.Message != errNoUser.Message {
			t.Errorf("another account: %+v", reply.Error)
		}
		time.Sleep(2 * maxDelay)
		synctest.Wait()
		if len(replies) != 20 || w.accounts.delayed != 0 {
			t.Errorf("%d answered, %d waiting", len(replies), w.accounts.delayed)
		}
	})
}

// Whoever closes the service does not wait for delays.
func TestDelaysEndWithTheService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := guarded(t)
		for range 10 {
			w.guess("alice", "wrong")
		}
		settled := 0
		w.receive(&bus.Delivery{ID: "x", Body: []byte(`{"operation":"login","username":"alice","password":"x"}`), Settle: func(*bus.Delivery, bool) { settled++ }})
		synctest.Wait()
		w.endLife()
		w.running.Wait()
		if settled != 1 || len(w.bus.(*flakyBus).sent) != 0 {
			t.Errorf("settled %d times, sent %+v", settled, w.bus.(*flakyBus).sent)
		}
	})
}

// Changing a password tries one too.
func TestPasswordChangesAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := guarded(t)
		id := w.addUser("default", "bob", "right", "")
		r := &codec.IAMRequest{Operation: "change-password", UserID: id, Password: "wrong", NewPassword: "x"}
		start := time.Now()
		for range 6 {
			w.answerSlow(context.Background(), findOperation(r.Operation), r)
		}
		if d := time.Since(start); d != 750*time.Millisecond {
			t.Errorf("six wrong ones took %v", d)
		}
	})
}

// TestKnownAndUnknownAccountsDoTheSame is defect D8, beside TestFailedLoginsHash:
// a login that fails derives exactly one hash of the ordinary cost.
func TestKnownAndUnknownAccountsDoTheSame(t *testing.T) {
	w, _ := seeded(t)
	w.addUser("default", "alice", "right", "")
	w.addUser("default", "dora", "right", `,"enabled":false`)
	for _, name := range []string{"alice", "dora", "nobody", "admin", strings.Repeat("x", 10_000)} {
		before := testutil.ToFloat64(hashesTotal)
		if reply := w.ask(`{"operation":"login","username":"` + name + `","password":"wrong"}`); reply.Error == nil {
			t.Fatal("logged in")
		}
		if got := testutil.ToFloat64(hashesTotal) - before; got != 1 {
			t.Errorf("%.20s: %v hashes", name, got)
		}
	}
}

func BenchmarkFailedLogin(b *testing.B) {
	s, err := New(NewMemory(), Config{Mode: ModeBootstrap, Logger: discardLogger()})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := s.Bootstrap(b.Context()); err != nil {
		b.Fatal(err)
	}
	for _, name := range []string{"admin", "nobody"} {
		b.Run(name, func(b *testing.B) {
			r := &codec.IAMRequest{Operation: "login", Username: name, Password: "wrong"}
			for b.Loop() {
				if reply := s.answer(b.Context(), findOperation("login"), r); reply.Error == nil {
					b.Fatal("logged in")
				}
			}
		})
	}
}
