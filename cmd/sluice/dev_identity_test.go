package main

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
)

// TestDevIdentities: users, tokens and keys through the front door, the gateway's
// questions about them and the service's answers included.
func TestDevIdentities(t *testing.T) {
	text := startDev(t, func(c *Config) { c.EnforcePasswordChange = true })
	base, admin := checkCommands(t, text), keyLine.FindStringSubmatch(text)[1]
	iam := func(key, body string) map[string]any {
		t.Helper()
		status, reply := post(t, base+"/api/v1/iam", key, body)
		if status != http.StatusOK || reply["error"] != nil {
			t.Fatalf("%s: %d %v", body, status, reply)
		}
		return reply
	}
	login := func(password string) (int, string) {
		t.Helper()
		status, reply := post(t, base+"/api/v1/auth/login", "", fmt.Sprintf(`{"username":"al","password":%q}`, password))
		token, _ := reply["jwt"].(string)
		return status, token
	}
	user := func(reply map[string]any) map[string]any {
		t.Helper()
		u, ok := reply["user"].(map[string]any)
		if !ok {
			t.Fatalf("no user in %v", reply)
		}
		return u
	}
	id := user(iam(admin, `{"operation":"create-user","user":{"username":"al","name":"Al","password":"a long passphrase","roles":["reader"]}}`))["id"]
	about := fmt.Sprintf(`"user_id":%q`, id)
	adminID := user(iam(admin, `{"operation":"whoami"}`))["id"]

	status, token := login("a long passphrase")
	if status != http.StatusOK {
		t.Fatalf("login: %d", status)
	}
	me := user(iam(token, `{"operation":"whoami"}`))
	if me["id"] != id || me["username"] != "al" || me["name"] != "Al" || !slices.Equal(me["roles"].([]any), []any{"reader"}) {
		t.Errorf("whoami: %v", me)
	}
	if status, _ := post(t, base+"/api/v1/config", token, `{"operation":"config"}`); status != http.StatusOK {
		t.Errorf("a reader reads: %d", status)
	}

	// Until the password is changed, nothing else (D14); then everything at once.
	temporary, _ := iam(admin, `{"operation":"reset-password",`+about+`}`)["temporary_password"].(string)
	iam(admin, `{"operation":"disable-user",`+about+`}`)
	iam(admin, `{"operation":"update-user",`+about+`,"user":{"name":"Alan"}}`)
	if got := user(iam(admin, `{"operation":"get-user",`+about+`}`)); got["enabled"] != false || got["must_change_password"] != true || got["name"] != "Alan" {
		t.Errorf("an update of the name changed flags: %v", got) // D12
	}
	iam(admin, `{"operation":"enable-user",`+about+`}`)
	status, other := login(temporary)
	if status != http.StatusOK {
		t.Fatalf("login with the temporary password: %d", status)
	}
	// The same user may still be remembered from before; another one is not.
	iam(admin, `{"operation":"create-user","user":{"username":"new","password":"a first password","roles":["reader"],"must_change_password":true}}`)
	_, reply := post(t, base+"/api/v1/auth/login", "", `{"username":"new","password":"a first password"}`)
	fresh, _ := reply["jwt"].(string)
	if status, _ := post(t, base+"/api/v1/config", fresh, `{"operation":"config"}`); status != http.StatusForbidden {
		t.Errorf("before the change: %d", status)
	}
	if got := user(iam(fresh, `{"operation":"whoami"}`)); got["must_change_password"] != true {
		t.Errorf("whoami: %v", got)
	}
	if status, reply := post(t, base+"/api/v1/auth/change-password", fresh, `{"current_password":"a first password","new_password":"a second password"}`); status != http.StatusOK {
		t.Errorf("change: %d %v", status, reply)
	}
	if status, _ := post(t, base+"/api/v1/config", fresh, `{"operation":"config"}`); status != http.StatusOK {
		t.Errorf("after the change: %d", status)
	}
	if status, reply := post(t, base+"/api/v1/auth/change-password", other, fmt.Sprintf(`{"current_password":%q,"new_password":"another passphrase"}`, temporary)); status != http.StatusOK {
		t.Errorf("change of the temporary password: %d %v", status, reply)
	}

	// Own keys.
	made := iam(other, fmt.Sprintf(`{"operation":"create-api-key","key":{"user_id":%q,"name":"laptop"}}`, id))
	key, _ := made["api_key_plaintext"].(string)
	for _, ask := range []string{`{"operation":"whoami"}`, fmt.Sprintf(`{"operation":"whoami","workspace":"elsewhere","actor":"x","user_id":%q}`, adminID)} {
		if got := user(iam(key, ask)); got["id"] != id || got["username"] != "al" || got["name"] != "Alan" || got["created"] == nil {
			t.Errorf("whoami by key: %v", got)
		}
	}
	record, _ := made["api_key"].(map[string]any)
	iam(other, fmt.Sprintf(`{"operation":"revoke-api-key","key_id":%q}`, record["id"]))

	// Who is deleted gets no new answer.
	iam(admin, `{"operation":"create-user","user":{"username":"gone","password":"a first password","roles":["reader"]}}`)
	_, reply = post(t, base+"/api/v1/auth/login", "", `{"username":"gone","password":"a first password"}`)
	lost, _ := reply["jwt"].(string)
	for _, u := range iam(admin, `{"operation":"list-users"}`)["users"].([]any) {
		if u := u.(map[string]any); u["username"] == "gone" {
			iam(admin, fmt.Sprintf(`{"operation":"delete-user","user_id":%q}`, u["id"]))
		}
	}
	if status, _ := post(t, base+"/api/v1/config", lost, `{"operation":"config"}`); status != http.StatusUnauthorized {
		t.Errorf("a deleted user's token: %d", status)
	}
}
