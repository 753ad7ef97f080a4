package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// program is tg in a process of its own, called by a name. It heeds signals although
// the tests may have been started to ignore them.
func program(t *testing.T, env []string, line ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// The race detector would have every program wait a second at its end.
	own := []string{asProgram + "=1", "GOCOVERDIR=" + t.TempDir(), "GORACE=atexit_sleep_ms=0"}
	heard := make(chan os.Signal, 1)
	signal.Notify(heard, deadly...) // what is heard is not ignored, nor by a child
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(func() {
		cancel()
		signal.Stop(heard)
	})
	cmd := exec.CommandContext(ctx, exe)
	cmd.Args, cmd.Env, cmd.WaitDelay = line, append(own, env...), time.Second
	return cmd
}

var deadly = []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT}

// ended is how a process ended: by a signal, or with an exit code.
func ended(cmd *exec.Cmd) string {
	if status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signaled() {
		return status.Signal().String()
	}
	return cmd.ProcessState.String()
}

// TestProgram: names that it is called by, streams, exit codes.
func TestProgram(t *testing.T) {
	s := newStub(t, ok(`{"jwt":"J","jwt_expires":"E"}`))
	for _, line := range [][]string{
		{"/usr/local/bin/tg-login", "--username", "u", "--password", "p"},
		{"tg", "login", "--username", "u", "--password", "p"},
		{"./anything", "login", "--username", "u", "--password", "p"},
	} {
		var errOut bytes.Buffer
		cmd := program(t, []string{"TRUSTGRAPH_URL=" + s.URL}, line...)
		cmd.Stderr = &errOut
		out, err := cmd.Output()
		if err != nil || string(out) != "J\n" || errOut.String() != "JWT expires: E\n" {
			t.Errorf("%q: %q %q %v", line, out, errOut.String(), err)
		}
	}
	cmd := program(t, nil, "tg-list-users", "-u", "nonsense")
	if err := cmd.Run(); err == nil || cmd.ProcessState.ExitCode() != exitFailure {
		t.Errorf("a failure: %v", err)
	}
	cmd = program(t, nil, "tg-login")
	if err := cmd.Run(); err == nil || cmd.ProcessState.ExitCode() != exitUsage {
		t.Errorf("wrong usage: %v", err)
	}
}

// TestProxy: requests go where the environment says.
func TestProxy(t *testing.T) {
	proxy := newStub(t, ok(`{}`))
	out, err := program(t, []string{"HTTP_PROXY=" + proxy.URL}, "tg-list-users", "-u", "http://gateway.invalid/").Output()
	if err != nil || string(out) != "No users.\n" || proxy.last(t).path != iamRoute {
		t.Errorf("%q %v", out, err)
	}
	out, err = program(t, []string{"HTTP_PROXY=" + proxy.URL, "NO_PROXY=.invalid"}, "tg-list-users", "-u", "http://gateway.invalid/").Output()
	if err == nil || proxy.count() != 1 {
		t.Errorf("past the proxy: %q %v", out, err)
	}
	// ALL_PROXY is for the schemes that have none of their own.
	other := newStub(t, ok(`{}`))
	for env, want := range map[string]*stub{
		"ALL_PROXY=" + proxy.URL:                              proxy,
		"all_proxy=" + proxy.URL:                              proxy,
		"http_proxy= ALL_PROXY=" + proxy.URL:                  proxy,
		"ALL_PROXY=" + proxy.URL + " HTTP_PROXY=" + other.URL: other,
		"ALL_PROXY=" + proxy.URL + " http_proxy=" + other.URL: other,
	} {
		before := want.count()
		out, err := program(t, strings.Fields(env), "tg-list-users", "-u", "http://gateway.invalid/").Output()
		if err != nil || want.count() != before+1 {
			t.Errorf("%s: %q %v", env, out, err)
		}
	}
}

// TestNobodyReadsTheExplanations: a secret goes to standard output although nobody
// reads standard error any more; without a reader of its own the program is ended.
func TestNobodyReadsTheExplanations(t *testing.T) {
	for line, reply := range map[string]string{
		"tg-bootstrap-iam":                                `{"bootstrap_admin_api_key":"S"}`,
		"tg-create-api-key --user-id u --name n":          `{"api_key_plaintext":"S"}`,
		"tg-reset-password --user-id u":                   `{"temporary_password":"S"}`,
		"tg-create-user --username u --password p":        `{"user":{"id":"S"}}`,
		"tg-login --username u --password-file /dev/null": `{"jwt":"S","jwt_expires":"E"}`,
	} {
		s := newStub(t, ok(reply))
		cmd := program(t, []string{"TRUSTGRAPH_URL=" + s.URL}, words(line)...)
		cmd.Stderr = unread(t)
		if out, err := cmd.Output(); err != nil || string(out) != "S\n" {
			t.Errorf("%s: %q %v", line, out, err)
		}
		cmd = program(t, []string{"TRUSTGRAPH_URL=" + s.URL}, words(line)...)
		cmd.Stdout = unread(t)
		if _ = cmd.Run(); ended(cmd) != syscall.SIGPIPE.String() {
			t.Errorf("%s: it ended with %s", line, ended(cmd))
		}
	}
}

// unread is a pipe that nobody reads from.
func unread(t *testing.T) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	t.Cleanup(func() { w.Close() })
	return w
}

// TestInterrupt: Ctrl-C ends a command that waits for its input, in silence and by
// the signal, so that a script ends too.
func TestInterrupt(t *testing.T) {
	cmd := program(t, nil, "tg-delete-user", "--user-id", "u")
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// The question is there: whoever asks has its signals set up.
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if _ = cmd.Wait(); ended(cmd) != syscall.SIGINT.String() || errOut.Len() > 0 {
		t.Errorf("%s %q", ended(cmd), errOut.String())
	}
}

// TestInstallation: manual pages and links for every command, completion for
// both ways of calling it.
func TestInstallation(t *testing.T) {
	dir := t.TempDir()
	u := &user{env: map[string]string{"TRUSTGRAPH_URL": "http://private/"}}
	if got := u.calls("tg", "man", dir); got != (outcome{}) {
		t.Fatalf("%+v", got)
	}
	links := strings.Fields(u.calls("tg", "links").out)
	if len(links) != len(everyCommand) {
		t.Errorf("links: %q", links)
	}
	for _, name := range append(links, "tg") {
		page, err := os.ReadFile(filepath.Join(dir, name+".1"))
		text := strings.ReplaceAll(string(page), `\-`, "-")
		if err != nil || strings.Contains(text, "private") || !strings.HasPrefix(text, fmt.Sprintf(".TH %q 1 \"\" Sluice\n", strings.ToUpper(name))) {
			t.Errorf("%s: %v %s", name, err, text)
		}
		if word, isLink := strings.CutPrefix(name, "tg-"); isLink &&
			(!strings.Contains(text, "\n.SH SYNOPSIS\ntg "+word) || !strings.Contains(text, "\n.br\n"+name) ||
				!strings.Contains(text, "\n.SH BEYOND TRUSTGRAPH'S OWN TOOL\n.TP\n")) {
			t.Errorf("%s: %s", name, text)
		}
	}
	for name, want := range map[string]string{
		"tg":            "\n.nf\n  export TRUSTGRAPH_URL=http://localhost:8088/\n  export",
		"tg-completion": "\n.nf\n  bash   source <(tg completion bash)\n",
		"tg-login":      "\n.TP\n\\fB-w\\fR, \\fB--workspace\\fR \\fIworkspace\\fR\nworkspace of the user (default: ",
		"tg-list-users": "\n.TP\n\\fB--timeout\\fR \\fItime\\fR\ngive up after this time (seconds, or with a unit); 0 means never (default 2m10s)\n",
	} {
		if page, err := os.ReadFile(filepath.Join(dir, name+".1")); err != nil || !strings.Contains(strings.ReplaceAll(string(page), `\-`, "-"), want) {
			t.Errorf("%s: %v lacks %s", name, err, want)
		}
	}
	for shell, want := range map[string]string{
		"bash": "\ncomplete -o default -o nospace tg-login -F __start_tg\n",
		"zsh":  "\ncompdef _tg tg-login\n",
		"fish": "\ncomplete -k -c tg-login -n '__tg_requires_order_preservation && __tg_prepare_completions' -f -a '$__tg_comp_results'\n" +
			"complete -c tg-change-password -n '__tg_clear_perform_completion_once_result'\n" +
			"complete -c tg-change-password -n 'not __tg_requires_order_preservation && __tg_prepare_completions' -f -a '$__tg_comp_results'\n",
	} {
		got := u.calls("tg", "completion", shell)
		if got.code != exitOK || got.err != "" || !strings.Contains(got.out, want) {
			t.Errorf("%s: %d %s, or the links are missing", shell, got.code, got.err)
		}
	}
	if got := u.calls("tg", "man", "/none/such"); got.code != exitFailure {
		t.Errorf("%+v", got)
	}
	for _, line := range []string{"tg __complete login --pass", "tg-login __complete --pass"} {
		got := u.calls(words(line)...)
		if !slices.Contains(strings.Split(got.out, "\n"), "--password-stdin\tread passwords from standard input, a line each, without asking") {
			t.Errorf("%s: %+v", line, got)
		}
	}
}

// TestCompletion: files only where one is meant, and the words that a flag takes.
func TestCompletion(t *testing.T) {
	const files, noFiles = ":0\n", ":4\n"
	for line, want := range map[string]string{
		"list-users --output ''":                       "text\njson\n" + noFiles,
		"list-users ''":                                noFiles,
		"update-user --enabled ''":                     "yes\nno\n" + noFiles,
		"create-user --roles ''":                       "reader\nwriter\nadmin\n" + noFiles,
		"get-user --user-id ''":                        noFiles,
		"get-user --token-file ''":                     files,
		"login --password-file ''":                     files,
		"get-user --cacert ''":                         files,
		"help list-user":                               "list-users\tList the users of a workspace\n" + noFiles,
		"create-user --username u --password-stdin ''": noFiles,
	} {
		lines := [][]string{append([]string{"tg", "__complete"}, words(line)...)}
		if name, rest, _ := strings.Cut(line, " "); name != "help" {
			lines = append(lines, append([]string{"tg-" + name, "__complete"}, words(rest)...))
		}
		for _, line := range lines {
			if got := (&user{}).calls(line...); got.out != want {
				t.Errorf("%q: %+v, want %q", line, got, want)
			}
		}
	}
}

func TestBuiltIns(t *testing.T) {
	if got := (&user{}).calls("tg", "version"); got.code != exitOK || !strings.HasPrefix(got.out, "tg ") {
		t.Errorf("%+v", got)
	}
	for _, line := range []string{"tg", "tg --help", "tg help"} {
		got := (&user{}).calls(words(line)...)
		for _, name := range strings.Fields((&user{}).calls("tg", "links").out) {
			if got.code != exitOK || !strings.Contains(got.out, "\n  "+strings.TrimPrefix(name, "tg-")+" ") {
				t.Errorf("%s: %+v lacks %s", line, got, name)
			}
		}
	}
	if got := (&user{}).calls("tg", "help", "login"); got.code != exitOK || !strings.Contains(got.out, "\n  tg login --username NAME [flags]\n") {
		t.Errorf("%+v", got)
	}
	if got := (&user{}).calls("tg", "--help"); !strings.Contains(got.out, "\n  tg COMMAND [flags]\n") {
		t.Errorf("%+v", got)
	}
	for _, line := range everyCommand {
		name := strings.Fields(line)[0]
		if got := (&user{}).calls(name, "-h"); got.code != exitOK || got.err != "" || !strings.Contains(got.out, "Usage:\n  "+name) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
