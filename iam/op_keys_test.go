package iam

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestWorkspaces(t *testing.T) {
	w, _ := seeded(t)
	for request, want := range map[string]string{
		`{"operation":"create-workspace"}`:                                        "invalid-argument: workspace_record.id required for create-workspace",
		`{"operation":"create-workspace","workspace":"w"}`:                        "invalid-argument: workspace_record.id required for create-workspace",
		`{"operation":"create-workspace","workspace_record":{}}`:                  "invalid-argument: workspace_record.id required for create-workspace",
		`{"operation":"create-workspace","workspace_record":{"id":"_x"}}`:         "invalid-argument: workspace ids beginning with '_' are reserved",
		`{"operation":"create-workspace","workspace_record":{"id":"default"}}`:    "duplicate: workspace already exists",
		`{"operation":"get-workspace"}`:                                           "invalid-argument: workspace_record.id required",
		`{"operation":"get-workspace","workspace":"default"}`:                     "invalid-argument: workspace_record.id required",
		`{"operation":"get-workspace","workspace_record":{"id":"x","name":"nn"}}`: "not-found: workspace not found",
	} {
		w.refuse(request, want)
	}
	acme := w.grant(`{"operation":"create-workspace","workspace_record":{"id":"acme","name":"Acme"}}`).Workspace
	if got := fmt.Sprintf("%+v", *acme); got != "{ID:acme Name:Acme Enabled:true Created:2026-11-21T17:42:33.752000+00:00}" {
		t.Errorf("workspace %s", got)
	}
	odd := w.grant(`{"operation":"create-workspace","workspace_record":{"id":"a b/é","enabled":null}}`).Workspace
	if odd.Name != "a b/é" || odd.Enabled {
		t.Errorf("workspace %+v", odd)
	}
	if got := w.grant(`{"operation":"get-workspace","workspace_record":{"id":"acme"}}`).Workspace; *got != *acme {
		t.Errorf("workspace read as %+v", got)
	}
	if got := w.grant(`{"operation":"list-workspaces"}`).Workspaces; len(got) != 3 || got[0].ID != "a b/é" || got[2].ID != "default" {
		t.Errorf("workspaces %+v", got)
	}
}

func TestListMyWorkspaces(t *testing.T) {
	w, admin := seeded(t)
	w.grant(`{"operation":"create-workspace","workspace_record":{"id":"acme"}}`)
	bob := w.addUser("acme", "bob", "p", `,"roles":["writer"]`)
	w.grant(`{"operation":"disable-workspace","workspace_record":{"id":"acme"}}`)
	mine := func(actor string) string {
		var ids []string
		for _, record := range w.grant(`{"operation":"list-my-workspaces","actor":"` + actor + `"}`).Workspaces {
			ids = append(ids, record.ID)
		}
		return strings.Join(ids, " ")
	}
	if got := mine(admin.UserID); got != "acme default" {
		t.Errorf("an administrator's: %s", got)
	}
	if got := mine(bob); got != "acme" {
		t.Errorf("a writer's: %s", got)
	}
	w.refuse(`{"operation":"list-my-workspaces"}`, "invalid-argument: actor required")
	w.refuse(`{"operation":"list-my-workspaces","actor":"nobody"}`, "not-found: user not found")
}

func TestAPIKeys(t *testing.T) {
	w, admin := seeded(t)
	w.grant(`{"operation":"create-workspace","workspace_record":{"id":"acme"}}`)
	bob := w.addUser("acme", "bob", "p", "")
	for request, want := range map[string]string{
		`"create-api-key"`:                                                                  "invalid-argument: workspace required for create-api-key",
		`"create-api-key","workspace":"acme"`:                                               "invalid-argument: key.user_id required",
		`"create-api-key","workspace":"acme","key":null`:                                    "invalid-argument: key.user_id required",
		`"create-api-key","workspace":"acme","key":{"name":"n"}`:                            "invalid-argument: key.user_id required",
		`"create-api-key","workspace":"acme","key":{"user_id":"x"}`:                         "invalid-argument: key.name required",
		`"create-api-key","workspace":"acme","key":{"user_id":"x","name":"n"}`:              "not-found: user not found",
		`"create-api-key","workspace":"default","key":{"user_id":"` + bob + `","name":"n"}`: "operation-not-permitted: target user is in a different workspace",
		`"list-api-keys"`:                                                     "invalid-argument: workspace required for list-api-keys",
		`"list-api-keys","workspace":"acme"`:                                  "invalid-argument: user_id required for list-api-keys",
		`"list-api-keys","workspace":"acme","user_id":"x"`:                    "not-found: user not found in workspace",
		`"list-api-keys","workspace":"acme","user_id":"` + admin.UserID + `"`: "not-found: user not found in workspace",
		`"revoke-api-key"`:                                                    "invalid-argument: workspace required for revoke-api-key",
		`"revoke-api-key","workspace":"acme"`:                                 "invalid-argument: key_id required",
		`"revoke-api-key","workspace":"acme","key_id":"x"`:                    "not-found: api key not found",
	} {
		w.refuse(`{"operation":`+request+`}`, want)
	}
	first := w.grant(`{"operation":"create-api-key","workspace":"acme","key":{"user_id":"` + bob + `","name":"laptop","expires":"2099-12-31"}}`)
	w.advance(time.Second)
	second := w.grant(`{"operation":"create-api-key","workspace":"acme","key":{"user_id":"` + bob + `","name":"laptop","expires":"2020-01-01T12:34:56.123456Z"}}`)
	if got, want := fmt.Sprintf("%+v", *first.APIKey), `{ID:`+first.APIKey.ID+` UserID:`+bob+` Name:laptop Prefix:`+first.APIKeyPlaintext[:7]+` Expires:2099-12-31T00:00:00+00:00 Created:2026-11-21T17:42:33.752000+00:00 LastUsed:}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if second.APIKey.Expires != "2020-01-01T12:34:56.123000+00:00" {
		t.Errorf("expires %s", second.APIKey.Expires)
	}
	keys := w.grant(`{"operation":"list-api-keys","workspace":"acme","user_id":"` + bob + `"}`).APIKeys
	if len(keys) != 2 || keys[0] != *first.APIKey || keys[1] != *second.APIKey {
		t.Errorf("keys %+v", keys)
	}
	revoke := `{"operation":"revoke-api-key","workspace":"acme","key_id":"` + first.APIKey.ID + `"}`
	w.refuse(strings.Replace(revoke, "acme", "default", 1), "operation-not-permitted: key belongs to a different workspace")
	w.grant(revoke)
	w.refuse(revoke, "not-found: api key not found")
	w.refuse(`{"operation":"resolve-api-key","api_key":"`+first.APIKeyPlaintext+`"}`, "auth-failed: unknown api key")
	w.store.mu.Lock()
	delete(w.store.users, bob)
	w.store.mu.Unlock()
	w.refuse(`{"operation":"revoke-api-key","workspace":"acme","key_id":"`+second.APIKey.ID+`"}`, "operation-not-permitted: key belongs to a different workspace")
	w.checkNoSecrets(first.APIKeyPlaintext, second.APIKeyPlaintext)
}

// TestUnparsableExpiryIsRefused is defect D6.
func TestUnparsableExpiryIsRefused(t *testing.T) {
	w, admin := seeded(t)
	for _, expires := range []string{"never", "1", "4102444800", "2099/01/01", "2099-01", "2099-01-01T24:00:00Z", "2099-01-01T00:00:00z", " 2099-01-01"} {
		w.refuse(`{"operation":"create-api-key","workspace":"default","key":{"user_id":"`+admin.UserID+`","name":"n","expires":"`+expires+`"}}`,
			"invalid-argument: key.expires is not an ISO 8601 date or time")
	}
	if keys, _ := w.store.APIKeys(t.Context(), admin.UserID); len(keys) != 1 {
		t.Errorf("%d keys", len(keys))
	}
}

// TestKeysThatEndBeforeTheyBegin: no date stands for no end, the first instant of
// the calendar included.
func TestKeysThatEndBeforeTheyBegin(t *testing.T) {
	w, admin := seeded(t)
	for expires, want := range map[string]string{
		"2020-01-01":                 "2020-01-01T00:00:00+00:00",
		"0001-01-01":                 "0001-01-01T00:00:00.001000+00:00",
		"0001-01-01T00:00:00.0009Z":  "0001-01-01T00:00:00.001000+00:00",
		"0001-01-01T05:30:00+05:30":  "0001-01-01T00:00:00.001000+00:00",
		"0001-01-01T00:00:00+05:00":  "0000-12-31T19:00:00+00:00",
		"0001-01-01T00:00:00.00100Z": "0001-01-01T00:00:00.001000+00:00",
	} {
		key := w.grant(`{"operation":"create-api-key","workspace":"default","key":{"user_id":"` + admin.UserID + `","name":"n","expires":"` + expires + `"}}`)
		if key.APIKey.Expires != want {
			t.Errorf("%s: expires %q, want %s", expires, key.APIKey.Expires, want)
		}
		w.refuse(`{"operation":"resolve-api-key","api_key":"`+key.APIKeyPlaintext+`"}`, "auth-failed: api key expired")
	}
}
