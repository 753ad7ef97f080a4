package main

import (
	"bytes"
	"errors"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// hostile are replies that would command a terminal, what scripts get of them, and
// what a terminal shows.
var hostile = []struct {
	line   string
	reply  answer
	stderr bool // what is printed goes there
	bytes  string
	shown  string
}{
	{"tg-list-workspaces", ok(`{"workspaces":[{"id":"w","name":"\u001b[2J\u009b","enabled":true}]}`), false, `
+----+-------+---------+---------+
| id | name  | enabled | created |
+----+-------+---------+---------+
| w  | ` + "\x1b[2J\u009b" + ` | yes     |         |
+----+-------+---------+---------+
`, `
+----+---------------+---------+---------+
| id | name          | enabled | created |
+----+---------------+---------+---------+
| w  | \x1b[2J\u009b | yes     |         |
+----+---------------+---------+---------+
`},
	{"tg-get-workspace --workspace-id w", ok(`{"workspace":{"id":"\u001b","name":"a\rb\u0008"}}`), false,
		"id       \x1b\nname     a\n         b\b\nenabled  no\ncreated\n",
		`id       \x1b` + "\nname     a\n" + `         b\x08` + "\nenabled  no\ncreated\n"},
	{"tg-create-workspace --workspace-id w", ok(`{"workspace":{"id":"\u001bc"}}`), false,
		"Workspace created: \x1bc\n", `Workspace created: \x1bc` + "\n"},
	{"tg-login --username u --password p", ok(`{"jwt":"\u0007"}`), false, "\x07\n", `\x07` + "\n"},
	{"tg-list-users --json", ok("{\"users\":[{\"name\":\"\\u001b\u009b\x7f\"}]}"), false,
		"[\n  {\n    \"name\": \"\\u001b\u009b\x7f\"\n  }\n]\n", "[\n  {\n    \"name\": \"\\u001b\\u009b\\u007f\"\n  }\n]\n"},
	{"tg-list-users", ok(`{"error":{"type":"t","message":"\u001b]0;x\u0007"}}`), true,
		"Exception: t: \x1b]0;x\x07\n", `Exception: t: \x1b]0;x\x07` + "\n"},
	{"tg-bootstrap-iam", answer{502, "<html>\r\n\x9b31m</html>\r\n"}, true,
		"Exception: HTTP 502: <html>\r\n\x9b31m</html>\r\n\n", "Exception: HTTP 502: <html>\n" + `\x9b31m</html>` + "\n\n"},
}

// TestControlCharacters: an operator's terminal is not commanded by what a server
// says, and scripts get every byte, also while the other stream is a terminal.
func TestControlCharacters(t *testing.T) {
	for _, row := range hostile {
		row.bytes, row.shown = strings.TrimPrefix(row.bytes, "\n"), strings.TrimPrefix(row.shown, "\n")
		s := newStub(t, row.reply)
		run := func() (cmd *exec.Cmd, stream, other *io.Writer) {
			cmd = program(t, []string{"TRUSTGRAPH_URL=" + s.URL}, words(row.line)...)
			if row.stderr {
				return cmd, &cmd.Stderr, &cmd.Stdout
			}
			return cmd, &cmd.Stdout, &cmd.Stderr
		}
		cmd, stream, _ := run()
		if got := onScreen(t, cmd, stream); got != row.shown {
			t.Errorf("%s shows\n%q, want\n%q", row.line, got, row.shown)
		}
		cmd, stream, other := run()
		var written bytes.Buffer
		*stream = &written
		if onScreen(t, cmd, other); written.String() != row.bytes {
			t.Errorf("%s writes\n%q, want\n%q", row.line, written.String(), row.bytes)
		}
	}
}

// onScreen runs a command with one of its streams on a terminal, and returns what
// that showed.
func onScreen(t *testing.T, cmd *exec.Cmd, stream *io.Writer) string {
	t.Helper()
	master, slave := openPTY(t)
	*stream = slave
	_ = cmd.Run() // some fail, as they should
	if cmd.ProcessState == nil {
		t.Fatal("it does not start")
	}
	slave.Close() // or the end would not come
	var shown bytes.Buffer
	if _, err := shown.ReadFrom(master); err != nil && !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	return strings.ReplaceAll(shown.String(), "\r\n", "\n")
}
