package clients

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// tool is one of the two command lines: TrustGraph's own, or ours by its link names.
type tool struct {
	name string
	bin  string // the directory of tg-login and its siblings
}

// tools are both, TrustGraph's first.
func tools(t *testing.T) []tool {
	t.Helper()
	return []tool{
		{"upstream", filepath.Dir(client(t, "SLUICE_TEST_PYTHON"))},
		{"ours", installed(t) + "/bin"},
	}
}

// outcome is what a shell script sees of a command.
type outcome struct {
	stdout, stderr string
	exit           int
}

// run runs a command without a terminal, in an environment of nothing but env.
func (l tool) run(t *testing.T, env []string, stdin string, args ...string) outcome {
	t.Helper()
	return execute(t, env, stdin, append([]string{filepath.Join(l.bin, "tg-"+args[0])}, args[1:]...)...)
}

// onTerminal runs a command on a terminal, of which nothing but its standard output
// and error is elsewhere. The dialogue is of prompts and answers, as in on_tty.py;
// shown is what was on the terminal.
func (l tool) onTerminal(t *testing.T, env, dialogue []string, args ...string) (o outcome, shown string) {
	t.Helper()
	transcript := filepath.Join(t.TempDir(), "shown")
	command := slices.Concat([]string{client(t, "SLUICE_TEST_PYTHON"), "on_tty.py", transcript}, dialogue,
		[]string{"--", filepath.Join(l.bin, "tg-"+args[0])}, args[1:])
	o = execute(t, env, "", command...)
	text, err := os.ReadFile(transcript)
	if err != nil {
		t.Fatalf("%v, %+v", err, o)
	}
	return o, strings.ReplaceAll(string(text), "\r\n", "\n")
}

func execute(t *testing.T, env []string, stdin string, command ...string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "LANG=C.UTF-8", "PYTHONDONTWRITEBYTECODE=1"}, env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // or they ask at the terminal of whoever runs the tests
	cmd.Stdin = strings.NewReader(stdin)
	cmd.WaitDelay = 10 * time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", command[0], err)
	}
	return outcome{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

var kept = regexp.MustCompile(`,"(?:enabled|must_change_password)":null|"(?:enabled|must_change_password)":null,`)

// asks is what a tool's requests ask for. Ours says of a flag that it is to stay as
// it is, because TrustGraph's gateway sets one that is left out (D12 of iam.md).
func (l tool) asks(requests string) string {
	if l.name == "ours" {
		return kept.ReplaceAllString(requests, "")
	}
	return requests
}

// memory holds what a session has seen that differs from run to run, by the names
// that its steps use: $BOB is the id that an earlier step printed.
type memory struct{ names, values []string }

// keep remembers a value. What an API key starts with is shown in tables.
func (m *memory) keep(name, value string) {
	m.names, m.values = append(m.names, "$"+name), append(m.values, value)
	if strings.HasPrefix(value, "tg_") {
		m.names, m.values = append(m.names, "$PREFIX_"+name), append(m.values, value[:7])
	}
}

// expand puts values where names stand. A later name may begin with an earlier one.
func (m *memory) expand(s string) string {
	for i := len(m.names) - 1; i >= 0; i-- {
		s = strings.ReplaceAll(s, m.names[i], m.values[i])
	}
	return s
}

var (
	instant = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?\+00:00`)
	row     = regexp.MustCompile(`(?m)^[|+].*$`)
	padding = regexp.MustCompile(`-+|  +`)
)

// mask puts names where values stand, and makes instants alike, except those of
// 2099, which the session chose itself. The width of a column depends on an
// instant's fractions, so that of tables goes too; tables to the letter are in
// TestCommandLineReplies.
func (m *memory) mask(s string) string {
	for i, value := range m.values {
		s = strings.ReplaceAll(s, value, m.names[i])
	}
	s = instant.ReplaceAllStringFunc(s, func(at string) string {
		if strings.HasPrefix(at, "2099-") {
			return at
		}
		return "<instant>"
	})
	return row.ReplaceAllStringFunc(s, func(line string) string {
		return padding.ReplaceAllStringFunc(line, func(pad string) string { return pad[:1] })
	})
}
