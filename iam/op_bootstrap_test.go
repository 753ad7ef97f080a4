package iam

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
)

func TestBootstrap(t *testing.T) {
	w := newWorld(t, Config{})
	reply := w.grant(`{"operation":"bootstrap"}`)
	if !strings.HasPrefix(reply.BootstrapAdminAPIKey, "tg_") || len(reply.BootstrapAdminAPIKey) != 35 || len(reply.BootstrapAdminUserID) != 36 {
		t.Fatalf("reply %+v", reply)
	}
	w.refuse(`{"operation":"bootstrap"}`, "auth-failed: auth failure")

	who := w.grant(`{"operation":"resolve-api-key","api_key":"` + reply.BootstrapAdminAPIKey + `"}`)
	if who.ResolvedUserID != reply.BootstrapAdminUserID || who.ResolvedWorkspace != "default" || !slices.Equal(who.ResolvedRoles, []string{"admin"}) {
		t.Errorf("admin key resolves to %+v", who)
	}
	user := w.grant(`{"operation":"get-user","workspace":"default","user_id":"` + reply.BootstrapAdminUserID + `"}`).User
	want := `&{ID:` + user.ID + ` Workspace:default Username:admin Name:Administrator Email: Roles:[admin] Enabled:true MustChangePassword:true Created:2026-11-21T17:42:33.752000+00:00}`
	if got := fmt.Sprintf("%+v", user); got != want {
		t.Errorf("admin is %s\nwant %s", got, want)
	}
	keys := w.grant(`{"operation":"list-api-keys","workspace":"default","user_id":"` + user.ID + `"}`).APIKeys
	if len(keys) != 1 || keys[0].Name != "bootstrap" || keys[0].Expires != "" || keys[0].Prefix != reply.BootstrapAdminAPIKey[:7] || keys[0].LastUsed != "" {
		t.Errorf("admin keys %+v", keys)
	}
	workspaces := w.grant(`{"operation":"list-workspaces"}`).Workspaces
	if len(workspaces) != 1 || workspaces[0].ID != "default" || workspaces[0].Name != "Default" || !workspaces[0].Enabled {
		t.Errorf("workspaces %+v", workspaces)
	}
	w.checkNoSecrets(reply.BootstrapAdminAPIKey)
}

func TestBootstrapRefused(t *testing.T) {
	w := newWorld(t, Config{Mode: ModeToken, Token: "tg_0123456789abcdef"})
	w.refuse(`{"operation":"bootstrap"}`, "auth-failed: auth failure")
	admin, err := w.Bootstrap(context.Background())
	if err != nil || admin.APIKey != "tg_0123456789abcdef" {
		t.Fatalf("seeding: %+v, %v", admin, err)
	}
	if _, err := w.Bootstrap(context.Background()); !errors.Is(err, ErrExists) {
		t.Fatalf("second seeding: %v", err)
	}
	if got := w.grant(`{"operation":"resolve-api-key","api_key":"tg_0123456789abcdef"}`).ResolvedUserID; got != admin.UserID {
		t.Errorf("token resolves to %q", got)
	}

	other := newWorld(t, Config{})
	other.grant(`{"operation":"create-workspace","workspace_record":{"id":"w"}}`)
	other.refuse(`{"operation":"bootstrap"}`, "auth-failed: auth failure")
}

// TestBootstrapKeepsTheActiveSigningKey is defect D3: a gateway that fetched
// the key before the bootstrap verifies tokens issued after it.
func TestBootstrapKeepsTheActiveSigningKey(t *testing.T) {
	w := newWorld(t, Config{})
	before := w.grant(`{"operation":"get-signing-key-public"}`).SigningKeyPublic
	admin := w.grant(`{"operation":"bootstrap"}`).BootstrapAdminUserID
	if after := w.grant(`{"operation":"get-signing-key-public"}`).SigningKeyPublic; after != before {
		t.Fatalf("key changed from\n%s to\n%s", before, after)
	}
	password := w.grant(`{"operation":"reset-password","workspace":"default","user_id":"` + admin + `"}`).TemporaryPassword
	token := w.grant(`{"operation":"login","username":"admin","password":"` + password + `"}`).JWT
	if _, ok := verifyToken(t, token, before); !ok {
		t.Error("the token does not verify")
	}
}

// TestBootstrapHasOneWinner is defect D9.
func TestBootstrapHasOneWinner(t *testing.T) {
	w := newWorld(t, Config{})
	var wg sync.WaitGroup
	wins := make(chan Admin, 8)
	for range 8 {
		wg.Go(func() {
			if admin, err := w.Bootstrap(context.Background()); err == nil {
				wins <- admin
			} else if !errors.Is(err, ErrExists) {
				t.Errorf("error %v", err)
			}
		})
	}
	wg.Wait()
	users, _ := w.store.Users(context.Background(), "default")
	if len(wins) != 1 || len(users) != 1 || len(w.store.keys) != 1 || len(w.store.signing) != 1 {
		t.Fatalf("%d winners, %d users, %d keys, %d signing keys", len(wins), len(users), len(w.store.keys), len(w.store.signing))
	}
}
