package auth

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sluice/codec"
)

// userBook is what a fake IAM says of the users of workspace acme.
type userBook struct {
	mu    sync.Mutex
	users map[string]codec.IAMUser
	err   error         // instead of any answer
	delay time.Duration // before any answer
}

func (b *userBook) set(id string, enabled bool, roles ...string) {
	b.put(codec.IAMUser{ID: id, Workspace: "acme", Username: "name of " + id, Roles: roles, Enabled: enabled})
}

func (b *userBook) put(u codec.IAMUser) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.users == nil {
		b.users = make(map[string]codec.IAMUser)
	}
	b.users[u.ID] = u
}

func (b *userBook) away(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err = err
}

func (b *userBook) clear() {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.users)
}

func (b *userBook) takes(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.delay = d
}

func (b *userBook) get(r codec.IAMRequest) (codec.IAMReply, error) {
	b.mu.Lock()
	delay := b.delay
	b.mu.Unlock()
	time.Sleep(delay)
	b.mu.Lock()
	defer b.mu.Unlock()
	u, found := b.users[r.UserID]
	switch {
	case b.err != nil:
		return codec.IAMReply{}, b.err
	case !found:
		return *failure("not-found", "user not found"), nil
	case u.Workspace != r.Workspace:
		return *failure("operation-not-permitted", "user is in a different workspace"), nil
	}
	return codec.IAMReply{User: &u}, nil
}

// confirmingIAM serves the first key of the vectors and answers for the book.
func confirmingIAM(k testKey, book *userBook) *fakeIAM {
	iam := newFakeIAM()
	iam.serves(k.PEM)
	iam.on("get-user", book.get)
	return iam
}

const testGrace = 5 * time.Minute

func TestUserIsConfirmedOnceAMinute(t *testing.T) {
	k1, _ := testKeys(t)
	synctest.Test(t, func(t *testing.T) {
		var book userBook
		book.set("alice", true, "reader")
		iam := confirmingIAM(k1, &book)
		a := open(t, Config{IAM: iam, Grace: testGrace})
		first, second := k1.token(t, "alice", hour()), k1.token(t, "alice", hour().Add(time.Second))
		asked := time.Now()
		id := mustPass(t, a, first)
		if !slices.Equal(id.Roles, []string{"reader"}) || id.Allows(capGraphWrite, Target{}) {
			t.Errorf("the roles are not IAM's: %+v", id)
		}
		if id.Source != JWT || id.Workspace != "acme" || id.Username != "name of alice" || !id.Expires.Equal(asked.Add(time.Minute)) ||
			!id.GraceEnd.Equal(asked.Add(testGrace)) {
			t.Errorf("%+v", id)
		}
		mustPass(t, a, second)
		time.Sleep(time.Minute - renewEarly - 1)
		if mustPass(t, a, first) != id || iam.count("get-user") != 1 {
			t.Error("asked again within the minute")
		}
		time.Sleep(renewEarly + 2)
		mustPass(t, a, second)
		if n := iam.count("get-user"); n != 2 {
			t.Errorf("%d questions", n)
		}
		a.Close()
	})
}

// TestKnownSessionNeverWaits: who comes shortly before the minute ends has it
// renewed in the background, once for all.
func TestKnownSessionNeverWaits(t *testing.T) {
	k1, _ := testKeys(t)
	synctest.Test(t, func(t *testing.T) {
		var book userBook
		book.set("alice", true, "reader")
		iam := confirmingIAM(k1, &book)
		a := open(t, Config{IAM: iam, Grace: testGrace})
		token := k1.token(t, "alice", hour())
		mustPass(t, a, token)
		book.set("alice", true, "writer")
		book.takes(9 * time.Second)
		for range 600 {
			time.Sleep(time.Second)
			before := time.Now()
			mustPass(t, a, token)
			if waited := time.Since(before); waited != 0 {
				t.Fatalf("waited %v", waited)
			}
		}
		if id := mustPass(t, a, token); !id.Allows(capGraphWrite, Target{}) {
			t.Error("new roles were not taken")
		}
		if n := iam.count("get-user"); n > 15 {
			t.Errorf("%d questions in ten minutes", n)
		}
		a.Close()
	})
}

// TestDisabledUsersSessionEndsWithinAMinute: D7, for whatever ends a user, however
// the token is used meanwhile.
func TestDisabledUsersSessionEndsWithinAMinute(t *testing.T) {
	k1, _ := testKeys(t)
	ends := map[string]func(*userBook){
		"disabled": func(b *userBook) { b.set("alice", false, "reader") },
		"deleted":  (*userBook).clear,
		"moved":    func(b *userBook) { b.put(codec.IAMUser{ID: "alice", Workspace: "other", Enabled: true}) },
	}
	for name, end := range ends {
		for _, every := range []time.Duration{time.Second, 20 * time.Second, time.Minute + 1} {
			synctest.Test(t, func(t *testing.T) {
				var book userBook
				book.set("alice", true, "reader")
				a := open(t, Config{IAM: confirmingIAM(k1, &book), Grace: testGrace})
				token, other := k1.token(t, "alice", hour()), k1.token(t, "alice", hour().Add(time.Second))
				mustPass(t, a, token)
				end(&book)
				for gone := time.Duration(0); gone <= time.Minute; gone += every {
					time.Sleep(every)
					_, _ = a.Authenticate(token)
					synctest.Wait()
				}
				mustFail(t, a, token)
				mustFail(t, a, other)
				book.set("alice", true, "reader")
				time.Sleep(refusalLife + 1)
				mustPass(t, a, token) // enabled again: no refusal is remembered for long
				a.Close()
			})
		}
		t.Log(name)
	}
}

// TestDisabledWorkspacesSessionsEnd: also where its users were left enabled, and
// whatever else IAM says of the workspace.
func TestDisabledWorkspacesSessionsEnd(t *testing.T) {
	k1, _ := testKeys(t)
	acme := func(id string, enabled bool) codec.IAMReply {
		return codec.IAMReply{Workspace: &codec.IAMWorkspace{ID: id, Enabled: enabled}}
	}
	tests := []struct {
		name  string
		reply codec.IAMReply
		err   error
		want  error
	}{
		{"enabled", acme("acme", true), nil, nil},
		{"disabled", acme("acme", false), nil, ErrRefused},
		{"about another", acme("other", false), nil, nil},
		{"nothing", codec.IAMReply{}, nil, nil},
		{"not found", *failure("not-found", "workspace not found"), nil, nil},
		{"no answer", codec.IAMReply{}, errors.New("away"), ErrUnavailable},
		{"a store that is away", *failure("internal-error", "internal error"), nil, ErrUnavailable},
	}
	for _, tt := range tests {
		var book userBook
		book.set("alice", true, "reader")
		iam := confirmingIAM(k1, &book)
		var asked string
		iam.on("get-workspace", func(r codec.IAMRequest) (codec.IAMReply, error) {
			asked = r.WorkspaceRecord.ID
			return tt.reply, tt.err
		})
		a := open(t, Config{IAM: iam, Grace: testGrace})
		if _, err := a.Authenticate(k1.token(t, "alice", hour())); !errors.Is(err, tt.want) || asked != "acme" {
			t.Errorf("%s: %v, asked about %q", tt.name, err, asked)
		}
	}
}

// TestDemotedUserIsDemotedWithinAMinute: the roles are IAM's, not the token's.
func TestDemotedUserIsDemotedWithinAMinute(t *testing.T) {
	k1, _ := testKeys(t)
	synctest.Test(t, func(t *testing.T) {
		var book userBook
		book.set("alice", true, "writer")
		a := open(t, Config{IAM: confirmingIAM(k1, &book), Grace: testGrace})
		token := k1.token(t, "alice", hour())
		if id := mustPass(t, a, token); !id.Allows(capGraphWrite, Target{}) {
			t.Error("no writer")
		}
		book.set("alice", true)
		time.Sleep(time.Minute + 1)
		if id := mustPass(t, a, token); id.Allows(capGraphRead, Target{}) || len(id.Roles) != 0 {
			t.Errorf("still %v", id.Roles)
		}
		a.Close()
	})
}

// TestLastAnswerCountsFiveMinutes: for users and keys, IAM being unreachable in
// each way it can be; after that nothing is known, and a no never stands in for an
// answer.
func TestLastAnswerCountsFiveMinutes(t *testing.T) {
	k1, _ := testKeys(t)
	for _, takes := range []time.Duration{0, 10 * time.Second} {
		for _, every := range []time.Duration{time.Second, 40 * time.Second, 4 * time.Minute} {
			synctest.Test(t, func(t *testing.T) {
				var book userBook
				book.set("alice", true, "reader")
				iam := confirmingIAM(k1, &book)
				iam.resolves(map[string]string{"tg_bob": "bob"})
				a := open(t, Config{IAM: iam, Grace: testGrace})
				jwt, key := k1.token(t, "alice", hour()), []byte("tg_bob")
				asked := time.Now()
				mustPass(t, a, jwt)
				mustPass(t, a, key)
				mustFail(t, a, []byte("tg_bad"))
				book.away(errors.New("away"))
				book.takes(takes)
				iam.on("resolve-api-key", func(codec.IAMRequest) (codec.IAMReply, error) {
					time.Sleep(takes)
					return *failure("internal-error", "away"), nil
				})
				for time.Since(asked)+every+2*takes < testGrace {
					time.Sleep(every)
					if id := mustPass(t, a, jwt); id.Expires.After(id.GraceEnd) {
						t.Fatal("expires after its grace")
					}
					mustPass(t, a, key)
				}
				if _, err := a.Authenticate([]byte("tg_bad")); !errors.Is(err, ErrUnavailable) {
					t.Errorf("a refusal was remembered: %v", err)
				}
				time.Sleep(testGrace - time.Since(asked) + 1)
				for _, token := range [][]byte{jwt, key} {
					if _, err := a.Authenticate(token); !errors.Is(err, ErrUnavailable) {
						t.Errorf("after five minutes: %v", err)
					}
				}
				book.away(nil)
				iam.resolves(map[string]string{"tg_bob": "bob"})
				mustPass(t, a, jwt)
				mustPass(t, a, key)
				a.Close()
			})
		}
	}
}

// TestWhoKeepsComingDoesNotWaitForAnAbsentIAM: only the first, who finds it out.
func TestWhoKeepsComingDoesNotWaitForAnAbsentIAM(t *testing.T) {
	k1, _ := testKeys(t)
	synctest.Test(t, func(t *testing.T) {
		var book userBook
		book.set("alice", true, "reader")
		iam := confirmingIAM(k1, &book)
		a := open(t, Config{IAM: iam, Grace: testGrace})
		token := k1.token(t, "alice", hour())
		mustPass(t, a, token)
		book.away(errors.New("away"))
		book.takes(10 * time.Second)
		for range 280 {
			time.Sleep(time.Second)
			before := time.Now()
			mustPass(t, a, token)
			if waited := time.Since(before); waited != 0 {
				t.Fatalf("waited %v", waited)
			}
		}
		if n := iam.count("get-user"); n > 30 {
			t.Errorf("%d questions", n)
		}
		a.Close()
	})
}

// TestDisabledDuringAnOutage: the answer after it is what counts.
func TestDisabledDuringAnOutage(t *testing.T) {
	k1, _ := testKeys(t)
	synctest.Test(t, func(t *testing.T) {
		var book userBook
		book.set("alice", true, "reader")
		a := open(t, Config{IAM: confirmingIAM(k1, &book), Grace: testGrace})
		token := k1.token(t, "alice", hour())
		mustPass(t, a, token)
		book.away(errors.New("away"))
		time.Sleep(time.Minute + 1)
		mustPass(t, a, token)
		book.set("alice", false)
		book.away(nil)
		time.Sleep(staleLife + 1)
		mustFail(t, a, token)
		a.Close()
	})
}

// TestUnconfirmedTokenWaitsForIAM: fail closed.
func TestUnconfirmedTokenWaitsForIAM(t *testing.T) {
	k1, _ := testKeys(t)
	var book userBook
	book.away(errors.New("away"))
	a := open(t, Config{IAM: confirmingIAM(k1, &book), Grace: testGrace})
	if id, err := a.Authenticate(k1.token(t, "alice", hour())); !errors.Is(err, ErrUnavailable) || id != nil {
		t.Errorf("%v, %v", id, err)
	}
}

// TestUserVerdicts: what IAM may say of a user.
func TestUserVerdicts(t *testing.T) {
	good := codec.IAMUser{ID: "alice", Workspace: "acme", Roles: []string{"reader"}, Enabled: true}
	with := func(change func(*codec.IAMUser)) codec.IAMReply {
		u := good
		change(&u)
		return codec.IAMReply{User: &u}
	}
	tests := []struct {
		name  string
		reply codec.IAMReply
		want  error
		roles []string
	}{
		{"enabled", with(func(*codec.IAMUser) {}), nil, []string{"reader"}},
		{"workspace not told", with(func(u *codec.IAMUser) { u.Workspace = "" }), nil, []string{"reader"}},
		{"disabled", with(func(u *codec.IAMUser) { u.Enabled = false }), ErrRefused, nil},
		{"somebody else", with(func(u *codec.IAMUser) { u.ID = "bob" }), ErrRefused, nil},
		{"elsewhere", with(func(u *codec.IAMUser) { u.Workspace = "other" }), ErrRefused, nil},
		{"no id", with(func(u *codec.IAMUser) { u.ID = "" }), ErrUnavailable, nil},
		{"nothing", codec.IAMReply{}, ErrUnavailable, nil},
		{"not found", *failure("not-found", "user not found"), ErrRefused, nil},
		{"another workspace's", *failure("operation-not-permitted", "user is in a different workspace"), ErrRefused, nil},
		{"bad argument", *failure("invalid-argument", "user_id too long"), ErrRefused, nil},
		{"broken", *failure("internal-error", "boom"), ErrUnavailable, nil},
		// Other implementations: the token's own roles.
		{"no such operation", *failure("invalid-argument", "unknown or not-yet-implemented operation: 'get-user'"), nil, []string{"writer"}},
		{"not for gateways", *failure("gateway-error", "?"), nil, []string{"writer"}},
	}
	k1, _ := testKeys(t)
	for _, tt := range tests {
		iam := newFakeIAM()
		iam.serves(k1.PEM)
		var asked codec.IAMRequest // read after the answer
		iam.on("get-user", func(r codec.IAMRequest) (codec.IAMReply, error) {
			asked = r
			return tt.reply, nil
		})
		a := open(t, Config{IAM: iam, Grace: testGrace})
		id, err := a.Authenticate(k1.token(t, "alice", hour()))
		if !errors.Is(err, tt.want) || (id == nil) != (err != nil) {
			t.Errorf("%s: %v, %v", tt.name, id, err)
			continue
		}
		if id != nil && !slices.Equal(id.Roles, tt.roles) {
			t.Errorf("%s: roles %v", tt.name, id.Roles)
		}
		want := codec.IAMRequest{Operation: "get-user", Workspace: "acme", UserID: "alice", Actor: "alice"}
		if asked != want {
			t.Errorf("%s: asked %+v", tt.name, asked)
		}
	}
}

// TestTokenEndsToTheSecond: a confirmation never prolongs a token.
func TestTokenEndsToTheSecond(t *testing.T) {
	k1, _ := testKeys(t)
	synctest.Test(t, func(t *testing.T) {
		var book userBook
		book.set("alice", true, "reader")
		a := open(t, Config{IAM: confirmingIAM(k1, &book), Grace: testGrace})
		end := time.Now().Add(30 * time.Second)
		token := k1.token(t, "alice", end)
		id := mustPass(t, a, token)
		if !id.Expires.Equal(end) || !id.Ends.Equal(end) || !id.GraceEnd.Equal(end) {
			t.Errorf("%+v", id)
		}
		time.Sleep(30 * time.Second)
		mustPass(t, a, token)
		time.Sleep(time.Nanosecond)
		mustFail(t, a, token)
		a.Close()
	})
}

func TestTokensOfOneUserAskOnce(t *testing.T) {
	k1, _ := testKeys(t)
	synctest.Test(t, func(t *testing.T) {
		var book userBook
		book.set("alice", true, "reader")
		book.takes(time.Second)
		iam := confirmingIAM(k1, &book)
		a := open(t, Config{IAM: iam, Grace: testGrace})
		var callers sync.WaitGroup
		var failed atomic.Int64
		for n := range 500 {
			token := k1.token(t, "alice", hour().Add(time.Duration(n%7)*time.Second))
			callers.Go(func() {
				if _, err := a.Authenticate(token); err != nil {
					failed.Add(1)
				}
			})
		}
		callers.Wait()
		if n := iam.count("get-user"); n != 1 || failed.Load() != 0 {
			t.Errorf("%d questions, %d failures", n, failed.Load())
		}
		a.Close()
	})
}

// TestForget: what must not wait a minute.
func TestForget(t *testing.T) {
	k1, _ := testKeys(t)
	var book userBook
	book.put(codec.IAMUser{ID: "alice", Workspace: "acme", Enabled: true, MustChangePassword: true})
	a := open(t, Config{IAM: confirmingIAM(k1, &book), Grace: testGrace})
	first, second := k1.token(t, "alice", hour()), k1.token(t, "alice", hour().Add(time.Second))
	id := mustPass(t, a, first)
	mustPass(t, a, second)
	book.set("alice", true, "reader")
	if !id.MustChangePassword || !mustPass(t, a, second).MustChangePassword {
		t.Fatal("the flag is not known")
	}
	a.Forget(id)
	if mustPass(t, a, first).MustChangePassword || mustPass(t, a, second).MustChangePassword {
		t.Error("not forgotten")
	}
}

// TestForgetDuringAQuestion: an answer from before the change does not count.
func TestForgetDuringAQuestion(t *testing.T) {
	k1, _ := testKeys(t)
	synctest.Test(t, func(t *testing.T) {
		var book userBook
		book.put(codec.IAMUser{ID: "alice", Workspace: "acme", Enabled: true, MustChangePassword: true})
		iam := confirmingIAM(k1, &book)
		a := open(t, Config{IAM: iam, Grace: testGrace})
		token := k1.token(t, "alice", hour())
		id := mustPass(t, a, token)
		iam.on("get-user", func(r codec.IAMRequest) (codec.IAMReply, error) {
			reply, err := book.get(r)
			time.Sleep(time.Second) // the answer is on its way
			return reply, err
		})
		time.Sleep(answerLife - renewEarly)
		mustPass(t, a, token) // starts the renewal
		synctest.Wait()
		book.set("alice", true, "reader")
		a.Forget(id)
		if mustPass(t, a, token).MustChangePassword {
			t.Error("the old answer counts")
		}
		time.Sleep(5 * time.Second)
		if mustPass(t, a, token).MustChangePassword {
			t.Error("the old answer was remembered")
		}
		a.Close()
	})
}

func TestUsersDoNotShareAKey(t *testing.T) {
	seen := make(map[digest]string)
	for _, pair := range [][2]string{{"a", "bc"}, {"ab", "c"}, {"", "abc"}, {"abc", ""}, {"1 a", "b"}, {"1", " ab"}} {
		key := userKey(pair[0], pair[1])
		if other, found := seen[key]; found {
			t.Errorf("%q and %s share a key", pair, other)
		}
		seen[key] = fmt.Sprint(pair)
	}
}

func TestCacheRemove(t *testing.T) {
	c := newCache(3)
	keys := []digest{{1}, {2}, {3}, {4}}
	for _, k := range keys[:3] {
		c.store(k, nil, 10, 0)
	}
	if c.remove(keys[0]) == nil || c.remove(keys[0]) != nil || c.size() != 2 {
		t.Error("not removed once")
	}
	c.store(keys[3], nil, 10, 0)
	c.store(keys[0], nil, 10, 0) // evicts
	if c.size() != 3 || c.entries.Size() != 3 {
		t.Errorf("%d in the ring, %d in the map", c.size(), c.entries.Size())
	}
	for _, k := range keys {
		c.remove(k)
	}
	if c.size() != 0 || c.entries.Size() != 0 {
		t.Error("something is left")
	}
}
