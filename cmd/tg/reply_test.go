package main

import (
	"strings"
	"testing"
)

// everyCommand is a command line for each of TrustGraph's and of ours.
var everyCommand = []string{
	"tg-bootstrap-iam",
	"tg-login --username u --password p",
	"tg-change-password --current a --new b",
	"tg-create-user --username u --password p",
	"tg-list-users",
	"tg-disable-user --user-id u",
	"tg-enable-user --user-id u",
	"tg-delete-user --user-id u --yes",
	"tg-reset-password --user-id u",
	"tg-create-api-key --user-id u --name n",
	"tg-list-api-keys --user-id u",
	"tg-revoke-api-key --key-id k",
	"tg-create-workspace --workspace-id w",
	"tg-list-workspaces",
	"tg-whoami",
	"tg-get-user --user-id u",
	"tg-update-user --user-id u --name n",
	"tg-list-my-workspaces",
	"tg-get-workspace --workspace-id w",
	"tg-update-workspace --workspace-id w --name n",
	"tg-disable-workspace --workspace-id w",
	"tg-enable-workspace --workspace-id w",
	"tg-rotate-signing-key",
}

func TestEveryCommandIsListed(t *testing.T) {
	if n := len(nowhere().commands()); n != len(everyCommand) {
		t.Errorf("%d commands, %d lines that call them", n, len(everyCommand))
	}
}

// TestErrors is section 5 of the contract, for every command, with and without
// JSON.
func TestErrors(t *testing.T) {
	for _, row := range []struct {
		status       int
		reply        string
		want, iamOwn string // of bootstrap-iam where it differs
	}{
		{401, `{"error":"auth failure"}`, "HTTP 401: auth failure", `HTTP 401: {"error":"auth failure"}`},
		{401, `{"error": "auth failure"}`, "HTTP 401: auth failure", `HTTP 401: {"error": "auth failure"}`},
		{403, `{"error":"access denied"}`, "HTTP 403: access denied", `HTTP 403: {"error":"access denied"}`},
		{404, `404: Not Found`, "HTTP 404: 404: Not Found", ""},
		{500, `boom`, "HTTP 500: boom", ""},
		{500, ``, "HTTP 500: ", ""},
		{500, `{}`, "HTTP 500: error", "HTTP 500: {}"},
		{500, `[]`, "HTTP 500: []", ""},
		{500, `{"error":{"type":"t","message":"m"}}`, "HTTP 500: t: m", `HTTP 500: {"error":{"type":"t","message":"m"}}`},
		{201, `{}`, "HTTP 201: error", "HTTP 201: {}"},
		{204, ``, "HTTP 204: ", ""},
		{200, `{"error":{"type":"duplicate","message":"workspace already exists"}}`, "duplicate: workspace already exists", "IAM duplicate: workspace already exists"},
		{200, `{"error":{"message":"m"}}`, "m", "IAM m"},
		{200, `{"error":{"type":"","message":"m"}}`, "m", "IAM m"},
		{200, `{"error":{"type":"t"}}`, "t: ", "IAM t: "},
		{200, `{"error":{}}`, "error", "IAM error"},
		{200, `{"error":"text","users":[]}`, "text", "IAM text"},
		{200, `{"error":""}`, "", "IAM "},
		{200, `{"error":null}`, "None", "IAM None"},
		{200, `{"error":false}`, "False", "IAM False"},
		{200, `{"error":true}`, "True", "IAM True"},
		{200, `{"error":5.0}`, "5.0", "IAM 5.0"},
		{200, `<html>`, "the reply is not JSON: is a gateway at --api-url?", ""},
		{200, ``, "the reply is not JSON: is a gateway at --api-url?", ""},
		{200, `[]`, "the reply is JSON, but no object: is a gateway at --api-url?", ""},
		{200, `null`, "the reply is JSON, but no object: is a gateway at --api-url?", ""},
	} {
		s := newStub(t, answer{row.status, row.reply})
		for _, line := range everyCommand {
			want := row.want
			if strings.HasPrefix(line, "tg-bootstrap-iam") && row.iamOwn != "" {
				want = row.iamOwn
			}
			for _, line := range []string{line, line + " --json"} {
				if got := at(s).calls(words(line)...); got != (outcome{"", "Exception: " + want + "\n", exitFailure}) {
					t.Errorf("%d %s: %s: %+v", row.status, row.reply, line, got)
				}
			}
		}
	}
}

// The two replies that are useless without their secret.
func TestMissingSecrets(t *testing.T) {
	for line, want := range map[string]string{
		"tg-bootstrap-iam":              "Exception: IAM response did not contain a bootstrap token — the service may already be bootstrapped, or may be running in token mode.\n",
		"tg-reset-password --user-id u": "Exception: IAM returned no temporary password — unexpected\n",
	} {
		for _, reply := range []string{`{}`, `{"bootstrap_admin_api_key":"","temporary_password":""}`, `{"bootstrap_admin_api_key":null,"temporary_password":null}`} {
			s := newStub(t, ok(reply))
			if got := at(s).calls(words(line)...); got != (outcome{"", want, exitFailure}) {
				t.Errorf("%s: %+v", line, got)
			}
		}
	}
}

// TestJSON: one document with the server's records, numbers and order untouched,
// and nothing on standard error.
func TestJSON(t *testing.T) {
	for _, row := range []struct{ line, reply, want string }{
		{"tg list-users --json", `{"users":[{"z":1.50,"id":"é\u0041"}]}`, "[\n  {\n    \"z\": 1.50,\n    \"id\": \"é\\u0041\"\n  }\n]\n"},
		{"tg list-users --output json", `{}`, "[]\n"},
		{"tg list-workspaces --json", `{"workspaces":null}`, "[]\n"},
		{"tg list-api-keys --user-id u --json", `{"api_keys":[]}`, "[]\n"},
		{"tg create-user --username u --password p --json", `{"user":{"id":"U"}}`, "{\n  \"id\": \"U\"\n}\n"},
		{"tg create-workspace --workspace-id w --json", `{"workspace":{"id":"w"}}`, "{\n  \"id\": \"w\"\n}\n"},
		{"tg whoami --json", `{"user":{"id":"U"}}`, "{\n  \"id\": \"U\"\n}\n"},
		{"tg get-workspace --workspace-id w --json", `{}`, "{}\n"},
		{"tg create-api-key --user-id u --name n --json", `{"api_key_plaintext":"k","api_key":{}}`, "{\n  \"api_key_plaintext\": \"k\",\n  \"api_key\": {}\n}\n"},
		{"tg login --username u --password p --json", `{"jwt":"J","jwt_expires":"E"}`, "{\n  \"jwt\": \"J\",\n  \"jwt_expires\": \"E\"\n}\n"},
		{"tg bootstrap-iam --json", `{"bootstrap_admin_api_key":"k"}`, "{\n  \"bootstrap_admin_api_key\": \"k\"\n}\n"},
		{"tg reset-password --user-id u --json", `{"temporary_password":"T"}`, "{\n  \"temporary_password\": \"T\"\n}\n"},
		{"tg disable-user --user-id u --json", `{}`, "{}\n"},
		{"tg list-users --json --output text", `{}`, "[]\n"},
		{"tg list-users --output text", `{}`, "No users.\n"},
	} {
		if got := at(newStub(t, ok(row.reply))).calls(words(row.line)...); got != (outcome{row.want, "", exitOK}) {
			t.Errorf("%s: %+v", row.line, got)
		}
	}
}

// A list is one of records, or empty, which Python's falsehoods are too.
func TestListsThatAreNone(t *testing.T) {
	for _, list := range []string{"5", `{"a":1}`, `[{"id":"1"},5]`, "[null]", `[[]]`, `"x"`, "true"} {
		s := newStub(t, ok(`{"users":`+list+`}`))
		for _, line := range []string{"tg-list-users", "tg-list-users --json"} {
			want := outcome{"", "Exception: users of the reply is not a list of records: is a gateway at --api-url?\n", exitFailure}
			if got := at(s).calls(words(line)...); got != want {
				t.Errorf("%s of %s: %+v", line, list, got)
			}
		}
	}
	for _, list := range []string{"[]", "[ ]", "null", "{ }", "0", `""`, "false"} {
		if got := at(newStub(t, ok(`{"users":`+list+`}`))).calls("tg-list-users"); got != (outcome{"No users.\n", "", exitOK}) {
			t.Errorf("%s: %+v", list, got)
		}
	}
}

func TestBodiesAreASCII(t *testing.T) {
	s := newStub(t, ok(`{}`))
	at(s).calls("tg-login", "--username", "é\"\\\n\t\x7f€😀\xff", "--password", "p")
	want := `{"username":"\u00e9\"\\\u000a\u0009\u007f\u20ac\ud83d\ude00\udcff","password":"p"}`
	if got := s.last(t).body; got != want {
		t.Errorf("sent %s, want %s", got, want)
	}
}
