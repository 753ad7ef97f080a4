package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// program is tg in a process of its own, called by a name.
func program(t *testing.T, env []string, line ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// The race detector would have every program wait a second at its end.
	own := []string{asProgram + "=1", "GOCOVERDIR=" + t.TempDir(), "GORACE=atexit_sleep_ms=0"}
	return &exec.Cmd{Path: exe, Args: line, Env: append(own, env...)}
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
}

// TestInterrupt: Ctrl-C ends a command that waits for its input, in silence.
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
	err = cmd.Wait()
	if cmd.ProcessState.ExitCode() != exitInterrupted || errOut.Len() > 0 {
		t.Errorf("%v %q", err, errOut.String())
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
		if err != nil || !strings.Contains(string(page), ".SH SYNOPSIS") || strings.Contains(string(page), "private") {
			t.Errorf("%s: %v", name, err)
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
	for _, line := range everyCommand {
		name := strings.Fields(line)[0]
		if got := (&user{}).calls(name, "-h"); got.code != exitOK || got.err != "" || !strings.Contains(got.out, "Usage:\n  "+name) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
