package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

const iamRoute = "/api/v1/iam"

// TestCommands is section 3 of the contract, command by command: what is sent,
// and what each stream gets.
func TestCommands(t *testing.T) {
	const user = `{"user":{"id":"U1","username":"bob","roles":["reader","writer"]}}`
	for _, row := range []struct{ line, path, body, reply, out, err string }{
		{`tg-bootstrap-iam`, "/api/v1/auth/bootstrap", `{}`,
			`{"bootstrap_admin_user_id":"A1","bootstrap_admin_api_key":"tg_k"}`,
			"tg_k\n", "Admin user id: A1\nAdmin API key (shown once, capture now):\n"},
		{`tg-bootstrap-iam`, "/api/v1/auth/bootstrap", `{}`, `{"bootstrap_admin_api_key":"tg_k"}`,
			"tg_k\n", "Admin user id: \nAdmin API key (shown once, capture now):\n"},

		{`tg-login --username bob --password pw`, "/api/v1/auth/login", `{"username":"bob","password":"pw"}`,
			`{"jwt":"J","jwt_expires":"2026"}`, "J\n", "JWT expires: 2026\n"},
		{`tg-login --username bob --password pw -w acme`, "/api/v1/auth/login",
			`{"username":"bob","password":"pw","workspace":"acme"}`, `{"jwt":"J"}`, "J\n", ""},
		{`tg-login --user bob --pass pw -w ''`, "/api/v1/auth/login", `{"username":"bob","password":"pw"}`, `{}`, "\n", ""},

		{`tg-change-password --current a --new b`, "/api/v1/auth/change-password",
			`{"current_password":"a","new_password":"b"}`, `{}`, "Password changed.\n", ""},

		{`tg-create-user --username bob --password pw`, iamRoute,
			`{"operation":"create-user","user":{"username":"bob","password":"pw","roles":["reader"]}}`,
			user, "U1\n", "User id: U1\nUsername: bob\nRoles: reader, writer\n"},
		{`tg-create-user --username bob --password pw --roles writer a,b admin~x --name B --email e --must-change-password -w acme`, iamRoute,
			`{"operation":"create-user","user":{"username":"bob","password":"pw","roles":["writer","a,b","admin x"],"name":"B","email":"e","must_change_password":true},"workspace":"acme"}`,
			user, "U1\n", "User id: U1\nUsername: bob\nRoles: reader, writer\n"},
		{`tg-create-user --username bob --password pw --name '' --email= --roles a --roles b`, iamRoute,
			`{"operation":"create-user","user":{"username":"bob","password":"pw","roles":["b"]}}`,
			`{}`, "\n", "User id: \nUsername: \nRoles: \n"},

		{`tg-list-users`, iamRoute, `{"operation":"list-users"}`, `{}`, "No users.\n", ""},
		{`tg-list-users -w acme`, iamRoute, `{"operation":"list-users","workspace":"acme"}`, `{"users":[]}`, "No users.\n", ""},

		{`tg-disable-user --user-id U1`, iamRoute, `{"operation":"disable-user","user_id":"U1"}`, `{}`, "Disabled user U1\n", ""},
		{`tg-enable-user --user-id U1 -w acme`, iamRoute, `{"operation":"enable-user","user_id":"U1","workspace":"acme"}`,
			`{}`, "Enabled user U1\n", ""},
		{`tg-delete-user --user-id U1 --yes -w acme`, iamRoute, `{"operation":"delete-user","user_id":"U1","workspace":"acme"}`,
			`{}`, "Deleted user U1\n", ""},
		{`tg-reset-password --user-id U1`, iamRoute, `{"operation":"reset-password","user_id":"U1"}`,
			`{"temporary_password":"T"}`, "T\n", "Temporary password (shown once, capture now):\n"},

		{`tg-create-api-key --user-id U1 --name laptop`, iamRoute,
			`{"operation":"create-api-key","key":{"user_id":"U1","name":"laptop"}}`,
			`{"api_key_plaintext":"tg_x","api_key":{"id":"K1","name":"laptop","prefix":"tg_x"}}`,
			"tg_x\n", "Key id: K1\nName: laptop\nPrefix: tg_x\nAPI key (shown once, capture now):\n"},
		{`tg-create-api-key --user-id U1 --name laptop --expires 2099-01-01 -w acme`, iamRoute,
			`{"operation":"create-api-key","key":{"user_id":"U1","name":"laptop","expires":"2099-01-01"},"workspace":"acme"}`,
			`{}`, "\n", "Key id: \nName: \nPrefix: \nAPI key (shown once, capture now):\n"},
		{`tg-list-api-keys --user-id U1 -w acme`, iamRoute, `{"operation":"list-api-keys","user_id":"U1","workspace":"acme"}`,
			`{}`, "No keys.\n", ""},
		{`tg-revoke-api-key --key-id K1`, iamRoute, `{"operation":"revoke-api-key","key_id":"K1"}`, `{}`, "Revoked key K1\n", ""},
		{`tg-revoke-api-key --key K1 -w acme`, iamRoute, `{"operation":"revoke-api-key","key_id":"K1","workspace":"acme"}`,
			`{}`, "Revoked key K1\n", ""},

		{`tg-create-workspace --workspace-id acme --name Acme~Corp`, iamRoute,
			`{"operation":"create-workspace","workspace_record":{"id":"acme","enabled":true,"name":"Acme Corp"}}`,
			`{"workspace":{"id":"ACME"}}`, "Workspace created: ACME\n", ""},
		{`tg-create-workspace --work acme`, iamRoute,
			`{"operation":"create-workspace","workspace_record":{"id":"acme","enabled":true}}`,
			`{}`, "Workspace created: \n", ""},
		{`tg-list-workspaces`, iamRoute, `{"operation":"list-workspaces"}`, `{}`, "No workspaces.\n", ""},

		// Beyond the contract: TrustGraph 2.4.33 has the updates of users and whoami too.
		{`tg-get-user --user-id U1 -w acme --json`, iamRoute, `{"operation":"get-user","user_id":"U1","workspace":"acme"}`,
			`{"user":{}}`, "{}\n", ""},
		{`tg-get-workspace --workspace-id acme --json`, iamRoute,
			`{"operation":"get-workspace","workspace_record":{"id":"acme"}}`, `{}`, "{}\n", ""},
		{`tg-whoami --json`, iamRoute, `{"operation":"whoami"}`, `{}`, "{}\n", ""},
		{`tg-update-user --user-id U1 --name Bob -w acme`, iamRoute,
			`{"operation":"update-user","user_id":"U1","user":{"name":"Bob","enabled":null,"must_change_password":null},"workspace":"acme"}`,
			user, updated("U1", "bob", "reader, writer", "no", "no"), ""},
		{`tg-update-user --user-id U1 --email e --roles a b --enabled ~F --must-change-password Y`, iamRoute,
			`{"operation":"update-user","user_id":"U1","user":{"email":"e","roles":["a","b"],"enabled":false,"must_change_password":true}}`,
			`{"user":{"roles":null,"enabled":true,"must_change_password":true}}`, updated("", "", "", "yes", "yes"), ""},
		{`tg-update-user --user-id U1 --na= --em= --roles=`, iamRoute,
			`{"operation":"update-user","user_id":"U1","user":{"name":"","email":"","roles":[""],"enabled":null,"must_change_password":null}}`,
			`{}`, updated("", "", "", "no", "no"), ""},
		{`tg-update-workspace --workspace-id acme --name A`, iamRoute,
			`{"operation":"update-workspace","workspace_record":{"id":"acme","name":"A","enabled":null}}`,
			`{}`, "Updated workspace acme\n", ""},
		{`tg-enable-workspace --workspace-id acme`, iamRoute,
			`{"operation":"update-workspace","workspace_record":{"id":"acme","enabled":true}}`, `{}`, "Enabled workspace acme\n", ""},
		{`tg-disable-workspace --workspace-id acme`, iamRoute,
			`{"operation":"disable-workspace","workspace_record":{"id":"acme"}}`, `{}`, "Disabled workspace acme\n", ""},
		{`tg-rotate-signing-key`, iamRoute, `{"operation":"rotate-signing-key"}`, `{}`, "Signing key rotated.\n", ""},
		{`tg-list-my-workspaces`, iamRoute, `{"operation":"list-my-workspaces"}`, `{}`, "No workspaces.\n", ""},
	} {
		t.Run(row.line, func(t *testing.T) {
			for _, line := range spellings(row.line) {
				s := newStub(t, ok(row.reply))
				u := at(s)
				u.env["TRUSTGRAPH_TOKEN"] = "tg_secret"
				u.env["TRUSTGRAPH_WORKSPACE"] = "not read"
				got := u.calls(line...)
				if want := (outcome{row.out, row.err, exitOK}); got != want {
					t.Errorf("%q: %+v, want %+v", line, got, want)
				}
				r := s.last(t)
				if r.method != http.MethodPost || r.path != row.path || r.body != row.body || s.count() != 1 {
					t.Errorf("%q sent %d requests, %s %s %s", line, s.count(), r.method, r.path, r.body)
				}
				wantToken := "Bearer tg_secret"
				if row.path == "/api/v1/auth/bootstrap" || row.path == "/api/v1/auth/login" {
					wantToken = ""
				}
				if r.header.Get("Authorization") != wantToken || r.header.Get("Content-Type") != "application/json" {
					t.Errorf("%q: headers %v", line, r.header)
				}
			}
		})
	}
}

// updated is what update-user prints.
func updated(id, username, roles, enabled, mustChange string) string {
	return fmt.Sprintf("id        : %s\nusername  : %s\nname      : \nemail     : \nworkspace : \nroles     : %s\nenabled   : %s\nmust-change-pw: %s\n",
		id, username, roles, enabled, mustChange)
}

// spellings are a command line by link name and as a subcommand.
func spellings(line string) [][]string {
	return [][]string{words(line), words(strings.Replace(line, "tg-", "tg ", 1))}
}

func TestCredentials(t *testing.T) {
	file, padded := secretFile(t, "tg_file\n"), secretFile(t, "tg_file\n\r\n\n")
	for _, row := range []struct {
		line string
		env  map[string]string
		want string
	}{
		{"tg-list-users -t tg_flag", map[string]string{"TRUSTGRAPH_TOKEN": "tg_env"}, "Bearer tg_flag"},
		{"tg-list-users --token=''", map[string]string{"TRUSTGRAPH_TOKEN": "tg_env"}, ""},
		{"tg-list-users -ttg_flag", nil, "Bearer tg_flag"},
		{"tg-list-users", map[string]string{"TRUSTGRAPH_TOKEN": "a.b.c"}, "Bearer a.b.c"},
		{"tg-list-users", map[string]string{"TRUSTGRAPH_TOKEN": ""}, ""},
		{"tg-list-users", nil, ""},
		{"tg-list-users --token-file " + file, map[string]string{"TRUSTGRAPH_TOKEN": "tg_env"}, "Bearer tg_file"},
		{"tg-list-users", map[string]string{"TRUSTGRAPH_TOKEN_FILE": file}, "Bearer tg_file"},
		{"tg-list-users --token-file " + padded, nil, "Bearer tg_file"},
		{"tg-list-users", map[string]string{"TRUSTGRAPH_TOKEN": "tg_env\n\n"}, "Bearer tg_env"},
		{"tg-list-users", map[string]string{"TRUSTGRAPH_TOKEN_FILE": file, "TRUSTGRAPH_TOKEN": "tg_env"}, "Bearer tg_env"},
		{"tg-login --username a --password b", map[string]string{"TRUSTGRAPH_TOKEN_FILE": file}, ""},
	} {
		s := newStub(t, ok(`{}`))
		u := at(s)
		for k, v := range row.env {
			u.env[k] = v
		}
		if got := u.calls(words(row.line)...); got.code != exitOK {
			t.Fatalf("%s: %+v", row.line, got)
		}
		if got := s.last(t).header.Values("Authorization"); strings.Join(got, "|") != row.want {
			t.Errorf("%s %v: sent %q, want %q", row.line, row.env, got, row.want)
		}
	}
}

// A token that cannot be sent is not shown either.
func TestTokenNeverInErrors(t *testing.T) {
	s := newStub(t, ok(`{}`))
	u := at(s)
	u.env["TRUSTGRAPH_TOKEN"] = "tg_very\nsecret"
	got := u.calls("tg-list-users")
	if got.code != exitFailure || strings.Contains(got.err, "secret") || s.count() != 0 {
		t.Errorf("%+v", got)
	}
	if want := "Exception: the token in TRUSTGRAPH_TOKEN is more than a line, or has control characters\n"; got.err != want {
		t.Errorf("%q, want %q", got.err, want)
	}
	file := secretFile(t, "tg_very\nsecret\n")
	got = u.calls("tg-list-users", "--token-file", file)
	if want := "Exception: the token in " + file + " is more than a line, or has control characters\n"; got.err != want {
		t.Errorf("%q, want %q", got.err, want)
	}
	u.env["TRUSTGRAPH_TOKEN"] = "tg_secret"
	s.Close()
	if got := u.calls("tg-list-users"); got.code != exitFailure || strings.Contains(got.err, "secret") || got.out != "" {
		t.Errorf("%+v", got)
	}
	if got := u.calls("tg-list-users", "--help"); strings.Contains(got.out, "secret") {
		t.Errorf("help shows the token: %s", got.out)
	}
}

func TestOwnKeys(t *testing.T) {
	who := ok(`{"user":{"id":"ME"}}`)
	keys := ok(`{"api_keys":[{"id":"K1"}]}`)
	s := newStub(t, who, ok(`{}`))
	if got := at(s).calls(words("tg create-api-key --self --name n -w acme")...); got.code != exitOK {
		t.Fatalf("%+v", got)
	}
	if s.requests[0].body != `{"operation":"whoami"}` ||
		s.requests[1].body != `{"operation":"create-api-key","key":{"user_id":"ME","name":"n"},"workspace":"acme"}` {
		t.Errorf("sent %+v", s.requests)
	}

	s = newStub(t, who, keys)
	if got := at(s).calls(words("tg list-api-keys --self")...); !strings.Contains(got.out, "K1") {
		t.Errorf("%+v", got)
	}
	if s.last(t).body != `{"operation":"list-api-keys","user_id":"ME"}` {
		t.Errorf("sent %s", s.last(t).body)
	}

	s = newStub(t, who, keys, ok(`{}`))
	if got := at(s).calls(words("tg revoke-api-key --self --key-id K1")...); got.out != "Revoked key K1\n" {
		t.Errorf("%+v", got)
	}
	s = newStub(t, who, keys)
	got := at(s).calls(words("tg revoke-api-key --self --key-id K2")...)
	if got != (outcome{"", "Exception: key K2 is not one of your own\n", exitFailure}) || s.count() != 2 {
		t.Errorf("%+v after %d requests", got, s.count())
	}
	for _, line := range []string{"tg create-api-key --self --name n", "tg revoke-api-key --self --key-id K"} {
		if got := at(newStub(t, ok(`{}`))).calls(words(line)...); got.err != "Exception: the gateway does not say whose token this is\n" {
			t.Errorf("%s: %+v", line, got)
		}
	}
}
