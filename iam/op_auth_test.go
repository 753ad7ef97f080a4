package iam

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestLogin(t *testing.T) {
	w, _ := seeded(t)
	w.grant(`{"operation":"create-workspace","workspace_record":{"id":"acme"}}`)
	alice := w.addUser("default", "alice", "s3cret", `,"roles":["writer","reader","writer"]`)
	bob := w.addUser("acme", "bob", "s3cret", "")

	reply := w.grant(`{"operation":"login","username":"alice","password":"s3cret"}`)
	if reply.JWTExpires != "2026-11-21T18:42:33+00:00" {
		t.Errorf("expires %s", reply.JWTExpires)
	}
	keys := w.grant(`{"operation":"get-signing-key-public"}`).SigningKeyPublic
	got, ok := verifyToken(t, reply.JWT, keys)
	if want := map[string]any{"sub": alice, "workspace": "default", "iss": "trustgraph-iam", "iat": 1795282953.0, "exp": 1795286553.0, "roles": []any{"reader", "writer"}}; !ok || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("claims %v, %v; want %v", got, ok, want)
	}
	w.grant(`{"operation":"login","workspace":"acme","username":"bob","password":"s3cret"}`)

	for request, want := range map[string]string{
		`{}`:                                       "username required",
		`{"username":"alice"}`:                     "password required",
		`{"username":null,"password":"s3cret"}`:    "username required",
		`{"username":"bob","password":"s3cret"}`:   "no such user",
		`{"username":"Alice","password":"s3cret"}`: "no such user",
		`{"username":"alice","password":"s3cret","workspace":"acme"}`:      "no such user",
		`{"username":"alice","password":"S3cret"}`:                         "bad credentials",
		`{"username":"alice","password":"s3cret ","workspace":"default"}`:  "bad credentials",
		`{"username":"admin","password":"s3cret"}`:                         "bad credentials",
		`{"username":"bob","password":"wrong","workspace":"acme"}`:         "bad credentials",
		`{"username":"bob","password":"s3cret","workspace":"no-such-one"}`: "no such user",
	} {
		w.refuse(withOperation("login", request), "auth-failed: "+want)
	}

	w.setWorkspaceEnabled("acme", false)
	w.refuse(`{"operation":"login","workspace":"acme","username":"bob","password":"wrong"}`, "auth-failed: bad credentials")
	w.refuse(`{"operation":"login","workspace":"acme","username":"bob","password":"s3cret"}`, "auth-failed: workspace disabled")
	w.with(bob, func(u *User) { u.Enabled = false })
	w.refuse(`{"operation":"login","workspace":"acme","username":"bob","password":"wrong"}`, "auth-failed: user disabled")
	w.with(alice, func(u *User) { u.PasswordHash = "" })
	w.refuse(`{"operation":"login","username":"alice","password":"s3cret"}`, "auth-failed: bad credentials")
	w.store.mu.Lock()
	delete(w.store.users, alice)
	w.store.mu.Unlock()
	w.refuse(`{"operation":"login","username":"alice","password":"s3cret"}`, "auth-failed: user disappeared")
	w.checkNoSecrets("s3cret", "S3cret", reply.JWT)
}

// TestFailedLoginsHash is defect D8: every way to fail after the user name was
// looked up takes a turn in the hashing pool.
func TestFailedLoginsHash(t *testing.T) {
	w, _ := seeded(t)
	disabled := w.addUser("default", "dora", "p", `,"enabled":false`)
	for _, request := range []string{
		`{"operation":"login","username":"nobody","password":"p"}`,
		`{"operation":"login","username":"dora","password":"p"}`,
		`{"operation":"login","username":"admin","password":"p"}`,
		`{"operation":"change-password","user_id":"nobody","password":"p","new_password":"q"}`,
		`{"operation":"change-password","user_id":"` + disabled + `","password":"p","new_password":"q"}`,
	} {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := w.hash.waste(ctx, "x"); !errors.Is(err, context.Canceled) {
			t.Fatalf("pool open: %v", err)
		}
		if got := w.runWith(ctx, request); !errors.Is(got, context.Canceled) {
			t.Errorf("%s: answered without hashing: %v", request, got)
		}
	}
}

func TestResolveAPIKey(t *testing.T) {
	w, admin := seeded(t)
	w.grant(`{"operation":"create-workspace","workspace_record":{"id":"acme"}}`)
	bob := w.addUser("acme", "bob", "p", `,"roles":["writer","reader"]`)
	key := w.grant(`{"operation":"create-api-key","workspace":"acme","key":{"user_id":"` + bob + `","name":"n","expires":"2026-11-21T18:00:00"}}`).APIKeyPlaintext
	resolve := `{"operation":"resolve-api-key","workspace":"ignored","api_key":"` + key + `"}`

	got := w.grant(resolve)
	if got.ResolvedUserID != bob || got.ResolvedWorkspace != "acme" || !slices.Equal(got.ResolvedRoles, []string{"reader", "writer"}) {
		t.Errorf("resolved %+v", got)
	}
	w.refuse(`{"operation":"resolve-api-key"}`, "auth-failed: no api key")
	w.refuse(`{"operation":"resolve-api-key","api_key":"tg_nope"}`, "auth-failed: unknown api key")
	w.refuse(`{"operation":"resolve-api-key","api_key":"`+key+` "}`, "auth-failed: unknown api key")

	w.mu.Lock()
	w.now = time.Date(2026, 11, 21, 18, 0, 0, 0, time.UTC)
	w.mu.Unlock()
	w.grant(resolve) // equal is still valid
	w.advance(time.Nanosecond)
	w.refuse(resolve, "auth-failed: api key expired")
	w.advance(-time.Nanosecond)

	w.setWorkspaceEnabled("acme", false)
	w.refuse(resolve, "auth-failed: owning workspace disabled")
	w.with(bob, func(u *User) { u.Enabled = false })
	w.refuse(resolve, "auth-failed: owning user disabled")
	w.store.mu.Lock()
	delete(w.store.users, bob)
	w.store.mu.Unlock()
	w.refuse(resolve, "auth-failed: owning user missing")
	w.checkNoSecrets(key, admin.APIKey)
}

// TestSigningKeyRotation is the service's part of defect D4.
func TestSigningKeyRotation(t *testing.T) {
	w, _ := seeded(t)
	w.addUser("default", "alice", "p", "")
	login := func() string {
		return w.grant(`{"operation":"login","username":"alice","password":"p"}`).JWT
	}
	public := func() string { return w.grant(`{"operation":"get-signing-key-public"}`).SigningKeyPublic }
	first := public()
	old := login()
	w.advance(time.Second)
	if reply := w.grant(`{"operation":"rotate-signing-key"}`); reply.JWT != "" || reply.SigningKeyPublic != "" {
		t.Errorf("reply %+v", reply)
	}
	both := public()
	if !strings.HasSuffix(both, first) || both == first || strings.Count(both, "BEGIN PUBLIC KEY") != 2 {
		t.Fatalf("keys after the rotation:\n%s", both)
	}
	fresh := strings.TrimSuffix(both, first)
	if _, ok := verifyToken(t, login(), fresh); !ok {
		t.Error("a new token is not signed with the new key")
	}
	if _, ok := verifyToken(t, old, both); !ok {
		t.Error("the old token does not verify any more")
	}
	w.advance(tokenLife)
	if got := public(); got != both {
		t.Errorf("the old key is gone before its tokens are:\n%s", got)
	}
	w.advance(time.Second)
	if got := public(); got != fresh {
		t.Errorf("keys after the old tokens ended:\n%s", got)
	}
}
