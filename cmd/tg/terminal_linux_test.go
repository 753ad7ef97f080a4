package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// openPTY opens a pseudo-terminal: what is written to one end is typed at the
// other.
func openPTY(t *testing.T) (master, slave *os.File) {
	t.Helper()
	// It does not block, so that reading can be bounded.
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	master = os.NewFile(uintptr(fd), "ptmx")
	t.Cleanup(func() { master.Close() })
	if err := master.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slave.Close() })
	return master, slave
}

// readUntil returns what appears on the terminal, up to and including end.
func readUntil(t *testing.T, master *os.File, end string) string {
	t.Helper()
	var shown bytes.Buffer
	for one := make([]byte, 1); !strings.HasSuffix(shown.String(), end); {
		if _, err := master.Read(one); err != nil {
			t.Fatalf("after %q: %v", shown.String(), err)
		}
		shown.Write(one)
	}
	return shown.String()
}

func echoes(t *testing.T, f *os.File) bool {
	t.Helper()
	state, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return state.Lflag&unix.ECHO != 0
}

// TestPrompts is section 6 on a terminal: asked there and not on any stream, not
// shown, and new passwords twice.
func TestPrompts(t *testing.T) {
	const mismatch = "Exception: the passwords differ; nothing was changed\n"
	for _, row := range []struct {
		line    string
		dialog  []string // a prompt, an answer, …
		body    string
		outcome outcome
	}{
		{"tg-login --username bob", []string{"Password for bob: ", "pw"},
			`{"username":"bob","password":"pw"}`, outcome{"J\n", "", exitOK}},
		{"tg-create-user --username bob", []string{"Password for new user bob: ", "pw", "The same password again: ", "pw"},
			`{"operation":"create-user","user":{"username":"bob","password":"pw","roles":["reader"]}}`,
			outcome{"\n", "User id: \nUsername: \nRoles: \n", exitOK}},
		{"tg-create-user --username bob", []string{"Password for new user bob: ", "pw", "The same password again: ", "PW"},
			"", outcome{"", mismatch, exitFailure}},
		{"tg-change-password", []string{"Current password: ", "a", "New password: ", "b", "New password again: ", "b"},
			`{"current_password":"a","new_password":"b"}`, outcome{"Password changed.\n", "", exitOK}},
		{"tg-change-password --current a", []string{"New password: ", "", "New password again: ", ""},
			`{"current_password":"a","new_password":""}`, outcome{"Password changed.\n", "", exitOK}},
		{"tg-change-password", []string{"Current password: ", "a", "New password: ", "b", "New password again: ", "x"},
			"", outcome{"", mismatch, exitFailure}},
		{"tg-login --username bob", []string{"Password for bob: ", "\x04"}, "", outcome{"", "Exception: \n", exitFailure}},
	} {
		s := newStub(t, ok(`{"jwt":"J"}`))
		master, slave := openPTY(t)
		u := at(s)
		u.stdin = "not read\n"
		u.terminal = func() (*terminal, error) {
			own, err := os.OpenFile(slave.Name(), os.O_RDWR|unix.O_NOCTTY, 0)
			return newTerminal(own, own), err
		}
		done := make(chan outcome, 1)
		go func() { done <- u.calls(words(row.line)...) }()
		for i := 0; i < len(row.dialog); i += 2 {
			shown := readUntil(t, master, row.dialog[i])
			if i > 0 && shown != "\r\n"+row.dialog[i] {
				t.Errorf("%s: %q is shown", row.line, shown)
			}
			if echoes(t, slave) {
				t.Errorf("%s: the terminal echoes at the prompt", row.line)
			}
			answer := row.dialog[i+1]
			if answer != "\x04" {
				answer += "\n"
			}
			if _, err := master.WriteString(answer); err != nil {
				t.Fatal(err)
			}
		}
		select {
		case got := <-done:
			if got != row.outcome {
				t.Errorf("%s: %+v", row.line, got)
			}
		case <-time.After(patience):
			t.Fatalf("%s does not end", row.line)
		}
		if row.body == "" && s.count() > 0 || row.body != "" && s.last(t).body != row.body {
			t.Errorf("%s sent %+v", row.line, s.requests)
		}
		if !echoes(t, slave) {
			t.Errorf("%s: the terminal echoes no longer", row.line)
		}
	}
}

// TestSignalsAtPrompt: with everything redirected the controlling terminal is asked;
// whatever ends the program there gives it its echo back.
func TestSignalsAtPrompt(t *testing.T) {
	for _, row := range []struct {
		typed string         // in the prompt
		sent  syscall.Signal // when nothing is typed
		ended string
	}{
		{typed: "half a password\x03", ended: syscall.SIGINT.String()},
		{typed: "half a password\x1c", ended: "exit status 131"},
		{sent: syscall.SIGTERM, ended: syscall.SIGTERM.String()},
		{sent: syscall.SIGHUP, ended: syscall.SIGHUP.String()},
	} {
		master, slave := openPTY(t)
		cmd := program(t, nil, "tg-login", "--username", "bob")
		var out, errOut bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errOut
		cmd.ExtraFiles = []*os.File{slave}
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 3}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		readUntil(t, master, "Password for bob: ")
		if echoes(t, slave) {
			t.Error("the terminal echoes at the prompt")
		}
		if _, err := master.WriteString(row.typed); err != nil {
			t.Fatal(err)
		}
		if row.typed == "" {
			if err := cmd.Process.Signal(row.sent); err != nil {
				t.Fatal(err)
			}
		}
		if _ = cmd.Wait(); ended(cmd) != row.ended || out.Len()+errOut.Len() > 0 {
			t.Errorf("%+v: %s %q %q", row, ended(cmd), out.String(), errOut.String())
		}
		if !echoes(t, slave) {
			t.Errorf("%+v: the terminal echoes no longer", row)
		}
	}
}
