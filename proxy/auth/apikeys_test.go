package auth

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sluice/codec"
)

func TestAPIKeyIsRememberedForAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		iam := newFakeIAM()
		iam.resolves(map[string]string{"tg_alice": "alice"})
		a := open(t, Config{IAM: iam})
		arrived := time.Now()
		id := mustPass(t, a, []byte("tg_alice"))
		want := Identity{UserID: "alice", Workspace: "acme", Source: APIKey}
		if id.UserID != want.UserID || id.Workspace != want.Workspace || id.Source != want.Source ||
			len(id.Roles) != 1 || !id.Expires.Equal(arrived.Add(time.Minute)) {
			t.Errorf("%+v", id)
		}
		time.Sleep(time.Minute)
		if mustPass(t, a, []byte("tg_alice")) != id || iam.count("resolve-api-key") != 1 {
			t.Error("not remembered for a minute")
		}
		iam.resolves(nil) // revoked
		time.Sleep(time.Nanosecond)
		mustFail(t, a, []byte("tg_alice"))
		if n := iam.count("resolve-api-key"); n != 2 {
			t.Errorf("%d questions", n)
		}
		a.Close()
	})
}

// TestKeyLifeStartsAtArrival: the minute includes the time IAM took.
func TestKeyLifeStartsAtArrival(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		iam := newFakeIAM()
		iam.on("resolve-api-key", func(codec.IAMRequest) (codec.IAMReply, error) {
			time.Sleep(9 * time.Second)
			return codec.IAMReply{ResolvedUserID: "u", ResolvedWorkspace: "w"}, nil
		})
		a := open(t, Config{IAM: iam})
		mustPass(t, a, []byte("tg_slow"))
		time.Sleep(51*time.Second + 1)
		mustPass(t, a, []byte("tg_slow"))
		if n := iam.count("resolve-api-key"); n != 2 {
			t.Errorf("%d questions", n)
		}
		a.Close()
	})
}

func TestThousandMissesAskOnce(t *testing.T) {
	for _, known := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			iam := newFakeIAM()
			iam.on("resolve-api-key", func(codec.IAMRequest) (codec.IAMReply, error) {
				time.Sleep(time.Second)
				if !known {
					return *failure("auth-failed", "unknown api key"), nil
				}
				return codec.IAMReply{ResolvedUserID: "u", ResolvedWorkspace: "w"}, nil
			})
			a := open(t, Config{IAM: iam})
			var callers sync.WaitGroup
			for range 1000 {
				callers.Go(func() {
					_, err := a.Authenticate([]byte("tg_popular"))
					if known && err != nil || !known && !errors.Is(err, ErrRefused) {
						t.Errorf("known %v: %v", known, err)
					}
				})
			}
			callers.Wait()
			if n := iam.count("resolve-api-key"); n != 1 {
				t.Errorf("known %v: %d questions", known, n)
			}
			a.Close()
		})
	}
}

func TestRefusalIsRememberedForFiveSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		iam := newFakeIAM()
		iam.resolves(nil)
		a := open(t, Config{IAM: iam})
		for range 100 {
			mustFail(t, a, []byte("tg_invented"))
		}
		time.Sleep(refusalLife)
		mustFail(t, a, []byte("tg_invented"))
		if n := iam.count("resolve-api-key"); n != 1 {
			t.Errorf("%d questions within five seconds", n)
		}
		iam.resolves(map[string]string{"tg_invented": "u"}) // created meanwhile
		time.Sleep(time.Nanosecond)
		mustPass(t, a, []byte("tg_invented"))
		a.Close()
	})
}

// TestVerdicts: what is a refusal, what is not known, and what is remembered.
func TestVerdicts(t *testing.T) {
	answer := func(reply codec.IAMReply, err error) func(codec.IAMRequest) (codec.IAMReply, error) {
		return func(codec.IAMRequest) (codec.IAMReply, error) { return reply, err }
	}
	full := codec.IAMReply{ResolvedUserID: "u", ResolvedWorkspace: "w"}
	tests := []struct {
		name   string
		answer func(codec.IAMRequest) (codec.IAMReply, error)
		want   error
		asked  int // questions that two attempts cause
	}{
		{"resolved without roles", answer(full, nil), nil, 1},
		{"auth-failed", answer(*failure("auth-failed", "api key expired"), nil), ErrRefused, 1},
		{"no user", answer(codec.IAMReply{ResolvedWorkspace: "w"}, nil), ErrRefused, 2},
		{"no workspace", answer(codec.IAMReply{ResolvedUserID: "u"}, nil), ErrRefused, 2},
		{"empty reply", answer(codec.IAMReply{}, nil), ErrRefused, 2},
		{"other error", answer(*failure("invalid-argument", "?"), nil), ErrRefused, 2},
		{"internal error", answer(*failure("internal-error", "boom"), nil), ErrUnavailable, 2},
		{"time-out", answer(codec.IAMReply{}, errors.New("time-out")), ErrUnavailable, 2},
	}
	for _, tt := range tests {
		iam := newFakeIAM()
		iam.on("resolve-api-key", tt.answer)
		k := newAPIKeys(iam, 0, time.Now)
		for range 2 {
			if id, err := k.authenticate([]byte("tg_k")); !errors.Is(err, tt.want) || (id == nil) != (err != nil) {
				t.Errorf("%s: %v, %v", tt.name, id, err)
			}
		}
		if n := iam.count("resolve-api-key"); n != tt.asked {
			t.Errorf("%s: %d questions, expected %d", tt.name, n, tt.asked)
		}
	}
	if _, err := newAPIKeys(garbageIAM{}, 0, time.Now).authenticate([]byte("tg_k")); !errors.Is(err, ErrUnavailable) {
		t.Errorf("garbage: %v", err)
	}
}

// TestRequestOnTheBus: the operation, the key's text, and nothing else.
func TestRequestOnTheBus(t *testing.T) {
	iam := newFakeIAM()
	iam.resolves(map[string]string{`tg_"quoted"é`: "u"})
	if _, err := newAPIKeys(iam, 0, time.Now).authenticate([]byte(`tg_"quoted"é`)); err != nil {
		t.Fatal(err)
	}
	if want := (codec.IAMRequest{Operation: "resolve-api-key", APIKey: `tg_"quoted"é`}); iam.last != want {
		t.Errorf("%+v", iam.last)
	}
}

func TestTokensThatNeverReachIAM(t *testing.T) {
	iam := newFakeIAM()
	k := newAPIKeys(iam, 0, time.Now)
	for _, token := range []string{"tg_\xff", "tg_" + strings.Repeat("x", maxTokenBytes)} {
		if _, err := k.authenticate([]byte(token)); !errors.Is(err, ErrRefused) {
			t.Errorf("%d bytes: %v", len(token), err)
		}
	}
	if n := iam.count("resolve-api-key"); n != 0 {
		t.Errorf("%d questions", n)
	}
}

// TestInventedKeysAreCapped: however many strangers knock, at most lookupSlots
// questions are open; the others wait their turn, and give up in the end.
func TestInventedKeysAreCapped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		iam := newFakeIAM()
		iam.on("resolve-api-key", func(codec.IAMRequest) (codec.IAMReply, error) {
			time.Sleep(4 * time.Second)
			return *failure("auth-failed", "unknown api key"), nil
		})
		a := open(t, Config{IAM: iam})
		outcomes := make(chan error, 4*lookupSlots)
		for n := range 4 * lookupSlots {
			go func() {
				_, err := a.Authenticate(fmt.Appendf(nil, "tg_invented%d", n))
				outcomes <- err
			}()
		}
		synctest.Wait()
		if n := iam.count("resolve-api-key"); n != lookupSlots {
			t.Errorf("%d questions at once", n)
		}
		refused, givenUp := 0, 0
		for range 4 * lookupSlots {
			if err := <-outcomes; errors.Is(err, ErrUnavailable) {
				givenUp++
			} else if errors.Is(err, ErrRefused) {
				refused++
			}
		}
		if refused != 3*lookupSlots || givenUp != lookupSlots {
			t.Errorf("%d refused, %d gave up", refused, givenUp)
		}
		a.Close()
	})
}

// TestInventedKeysPushNobodyOut: refusals have a cache of their own.
func TestInventedKeysPushNobodyOut(t *testing.T) {
	iam := newFakeIAM()
	iam.resolves(map[string]string{"tg_alice": "alice"})
	k := newAPIKeys(iam, 0, time.Now)
	k.known, k.refused = newCache(2), newCache(10)
	if _, err := k.authenticate([]byte("tg_alice")); err != nil {
		t.Fatal(err)
	}
	for n := range 1000 {
		_, _ = k.authenticate(fmt.Appendf(nil, "tg_%d", n))
	}
	before := iam.count("resolve-api-key")
	if _, err := k.authenticate([]byte("tg_alice")); err != nil || iam.count("resolve-api-key") != before {
		t.Errorf("pushed out: %v", err)
	}
	if k.refused.size() != 10 {
		t.Errorf("%d refusals remembered", k.refused.size())
	}
}
