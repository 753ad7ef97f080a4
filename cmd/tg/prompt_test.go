package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// secretFile writes a file with a secret in it.
func secretFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const echoed = "Warning: Password input may be echoed.\n"

// TestPromptsWithoutTerminal is section 6 where only pipes are: the prompt goes to
// standard error, and a line of standard input is the answer.
func TestPromptsWithoutTerminal(t *testing.T) {
	for _, row := range []struct{ line, stdin, body, err string }{
		{"tg-login --username bob", "pw\n", `{"username":"bob","password":"pw"}`, echoed + "Password for bob: \n"},
		{"tg-login --username bob --password ''", "pw", `{"username":"bob","password":"pw"}`, echoed + "Password for bob: \n"},
		{"tg-login --username bob", " p w \r\nmore\n", `{"username":"bob","password":" p w "}`, echoed + "Password for bob: \n"},
		{"tg-login --username bob", "\n", `{"username":"bob","password":""}`, echoed + "Password for bob: \n"},
		{"tg-create-user --username bob", "pw\n",
			`{"operation":"create-user","user":{"username":"bob","password":"pw","roles":["reader"]}}`,
			echoed + "Password for new user bob: \nUser id: \nUsername: \nRoles: \n"},
		{"tg-change-password", "a\nb\n", `{"current_password":"a","new_password":"b"}`,
			echoed + "Current password: \n" + echoed + "New password: \n"},
		{"tg-change-password --current a", "b\n", `{"current_password":"a","new_password":"b"}`, echoed + "New password: \n"},
		{"tg-change-password --new b", "a\n", `{"current_password":"a","new_password":"b"}`, echoed + "Current password: \n"},
	} {
		s := newStub(t, ok(`{}`))
		u := at(s)
		u.stdin = row.stdin
		if got := u.calls(words(row.line)...); got.code != exitOK || got.err != row.err {
			t.Errorf("%s: %+v", row.line, got)
		} else if s.last(t).body != row.body {
			t.Errorf("%s sent %s", row.line, s.last(t).body)
		}
	}
}

func TestPromptAtEndOfInput(t *testing.T) {
	for line, prompts := range map[string]string{
		"tg-login --username bob":       "Password for bob: ",
		"tg-create-user --username bob": "Password for new user bob: ",
		"tg-change-password":            "Current password: ",
	} {
		s := newStub(t, ok(`{}`))
		if got := at(s).calls(words(line)...); got != (outcome{"", echoed + prompts + "Exception: \n", exitFailure}) || s.count() != 0 {
			t.Errorf("%s: %+v", line, got)
		}
	}
}

// TestSecretsWithoutArguments: passwords from files and standard input, unasked.
func TestSecretsWithoutArguments(t *testing.T) {
	file, other := secretFile(t, "from file\n"), secretFile(t, " two\nlines\r\n")
	for _, row := range []struct{ line, stdin, body string }{
		{"tg-login --username bob --password-stdin", "pw\n", `{"username":"bob","password":"pw"}`},
		{"tg-login --username bob --password-file " + file, "", `{"username":"bob","password":"from file"}`},
		{"tg-login --username bob --password-file=" + other, "", `{"username":"bob","password":" two\u000alines"}`},
		{"tg-change-password --password-stdin", "a\nb\n", `{"current_password":"a","new_password":"b"}`},
		{"tg-change-password --password-stdin --current-file " + file, "b", ``},
		{"tg-change-password --current-file " + file + " --new-file " + other, "",
			`{"current_password":"from file","new_password":" two\u000alines"}`},
	} {
		s := newStub(t, ok(`{}`))
		u := at(s)
		u.stdin = row.stdin
		got := u.calls(words(row.line)...)
		if row.body == "" {
			if got.code != exitUsage {
				t.Errorf("%s: %+v", row.line, got)
			}
			continue
		}
		if got.code != exitOK || got.err != "" || s.last(t).body != row.body {
			t.Errorf("%s: %+v", row.line, got)
		}
	}
}

func TestSecretsThatCannotBeRead(t *testing.T) {
	large := secretFile(t, strings.Repeat("x", maxSecretBytes+1))
	for line, want := range map[string]string{
		"tg-login --username bob --password-stdin":         "Exception: no password on standard input\n",
		"tg-login --username bob --password-file /none":    "Exception: open /none: no such file or directory\n",
		"tg-login --username bob --password-file " + large: "Exception: " + large + " is too large to be a password or token\n",
		"tg-list-users --token-file /none":                 "Exception: open /none: no such file or directory\n",
	} {
		s := newStub(t, ok(`{}`))
		if got := at(s).calls(words(line)...); got != (outcome{"", want, exitFailure}) || s.count() != 0 {
			t.Errorf("%s: %+v", line, got)
		}
	}
}

func TestDeleteUserAsks(t *testing.T) {
	const question = "Delete user U1?  This is irreversible. [type 'yes' to confirm]: "
	for stdin, want := range map[string]struct {
		outcome
		calls int
	}{
		"yes\n":       {outcome{question + "Deleted user U1\n", "", exitOK}, 1},
		" \tyes \r\n": {outcome{question + "Deleted user U1\n", "", exitOK}, 1},
		"yes":         {outcome{question + "Deleted user U1\n", "", exitOK}, 1},
		"YES\n":       {outcome{question + "Aborted.\n", "", exitOK}, 0},
		"y\n":         {outcome{question + "Aborted.\n", "", exitOK}, 0},
		"\n":          {outcome{question + "Aborted.\n", "", exitOK}, 0},
		"":            {outcome{question, "Exception: EOF when reading a line\n", exitFailure}, 0},
	} {
		s := newStub(t, ok(`{}`))
		u := at(s)
		u.stdin = stdin
		if got := u.calls(words("tg-delete-user --user-id U1")...); got != want.outcome || s.count() != want.calls {
			t.Errorf("%q: %+v, %d calls", stdin, got, s.count())
		}
	}
	u := at(newStub(t, ok(`{}`)))
	u.stdin = "no\n"
	if got := u.calls(words("tg-delete-user --user-id U1 --json")...); got != (outcome{"", question + "Aborted.\n", exitOK}) {
		t.Errorf("JSON: %+v", got)
	}
}
