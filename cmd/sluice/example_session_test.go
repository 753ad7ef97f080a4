package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/fasthttp/websocket"

	"sluice/iam/cassandra/nodetest"
)

// TestExampleSessionEndToEnd is the session of iam.md section 12 through the front
// door of a gateway with an embedded IAM, over REST and the socket. The step at
// which the reference fails for want of the right signing key (D3) succeeds.
func TestExampleSessionEndToEnd(t *testing.T) {
	for store, more := range map[string]func() []string{
		"file":      func() []string { return nil },
		"Cassandra": func() []string { return append(onCassandra(nodetest.Shared(t)), "--iam-store=cassandra") },
	} {
		t.Run(store, func(t *testing.T) {
			c := embedded(t, slices.Concat(onBroker(t), more(), []string{"--bootstrap-mode=bootstrap"})...)
			base, _ := serveGateway(t, c)
			exampleSession(t, base)
		})
	}
}

func exampleSession(t *testing.T, base string) {
	ask := func(what string, want int, url, key, body string) map[string]any {
		t.Helper()
		status, reply := post(t, base+"/api/v1/"+url, key, body)
		if status != want {
			t.Fatalf("%s: %d %v, want %d", what, status, reply, want)
		}
		return reply
	}
	refused := func(what string, reply map[string]any, typ, message string) {
		t.Helper()
		e, _ := reply["error"].(map[string]any)
		if e["type"] != typ || e["message"] != message {
			t.Errorf("%s: %v", what, reply)
		}
	}
	text := func(v any) string { s, _ := v.(string); return s }

	var first map[string]any
	until(t, "bootstrap", func() bool {
		var status int
		status, first = post(t, base+"/api/v1/auth/bootstrap", "", ``)
		return status == http.StatusOK
	})
	admin, adminID := text(first["bootstrap_admin_api_key"]), text(first["bootstrap_admin_user_id"])
	ask("a second bootstrap", 401, "auth/bootstrap", "", ``)
	reset := ask("reset", 200, "iam", admin, fmt.Sprintf(`{"operation":"reset-password","user_id":%q}`, adminID))
	temporary := text(reset["temporary_password"])
	login := func(want int, body string) string {
		t.Helper()
		return text(ask("login", want, "auth/login", "", body)["jwt"])
	}
	jwt := login(200, fmt.Sprintf(`{"username":"admin","password":%q}`, temporary))
	ask("the step at which the reference fails", 200, "iam", jwt, `{"operation":"list-workspaces"}`)
	ask("change-password", 200, "auth/change-password", jwt, fmt.Sprintf(`{"current_password":%q,"new_password":"long admin passphrase"}`, temporary))
	ask("create-workspace", 200, "iam", jwt, `{"operation":"create-workspace","workspace_record":{"id":"acme","name":"Acme"}}`)
	made := ask("create-user", 200, "iam", jwt, `{"operation":"create-user","workspace":"acme","user":{"username":"alice","password":"s3cret","roles":["writer"],"email":"alice@example.com"}}`)
	alice, _ := made["user"].(map[string]any)
	if alice["workspace"] != "acme" || alice["name"] != "alice" || alice["enabled"] != true {
		t.Fatalf("alice: %v", made)
	}
	login(401, `{"username":"alice","password":"s3cret"}`)
	login(200, `{"username":"alice","password":"s3cret","workspace":"acme"}`)
	key := fmt.Sprintf(`"key":{"user_id":%q,"name":"laptop","expires":"2099-12-31"}`, alice["id"])
	refused("a key in the wrong workspace", ask("create-api-key", 200, "iam", jwt, `{"operation":"create-api-key",`+key+`}`),
		"operation-not-permitted", "target user is in a different workspace")
	minted := ask("create-api-key", 200, "iam", jwt, `{"operation":"create-api-key","workspace":"acme",`+key+`}`)
	record, _ := minted["api_key"].(map[string]any)
	if record["expires"] != "2099-12-31T00:00:00+00:00" || record["last_used"] != "" {
		t.Errorf("the key: %v", record)
	}
	laptop := text(minted["api_key_plaintext"])

	ws, resp, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(base, "http")+"/api/v1/socket", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	defer ws.Close()
	say := func(frame, want string) {
		t.Helper()
		if err := ws.WriteMessage(websocket.TextMessage, []byte(frame)); err != nil {
			t.Fatal(err)
		}
		_, got, err := ws.ReadMessage()
		if err != nil || string(got) != want {
			t.Errorf("%s was answered %s %v", frame, got, err)
		}
	}
	say(`{"type":"auth","token":"`+laptop+`"}`, `{"type":"auth-ok","workspace":"acme"}`)
	say(`{"id":1,"service":"iam","request":{"operation":"list-users"}}`, `{"id":1,"error":{"message":"access denied","type":"access-denied"},"complete":true}`)
	say(`{"id":2,"service":"iam","request":{"operation":"whoami","user_id":"x","workspace":"default"}}`, fmt.Sprintf(
		`{"id":2,"response":{"user":{"id":%q,"workspace":"acme","username":"alice","name":"alice","email":"alice@example.com","roles":["writer"],"enabled":true,"must_change_password":false,"created":%q}},"complete":true}`,
		alice["id"], alice["created"]))
	ask("list-users with alice's key", 403, "iam", laptop, `{"operation":"list-users"}`)
	revoke := fmt.Sprintf(`{"operation":"revoke-api-key","workspace":"acme","key_id":%q}`, record["id"])
	if reply := ask("revoke", 200, "iam", jwt, revoke); len(reply) != 0 {
		t.Errorf("revoke: %v", reply)
	}
	refused("revoking twice", ask("revoke", 200, "iam", jwt, revoke), "not-found", "api key not found")
}
