// Package held gives a test a server of its own, which a script of this directory
// starts, and holds for as long as somebody listens.
package held

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Server is what the script started.
type Server struct {
	// Variables are what it tells clients.
	Variables map[string]string
	script    string
}

// Start starts a server, which is gone with the test, or with the process if that
// comes first. It takes some seconds. name is the script's below the repository.
func Start(t testing.TB, name string) *Server {
	t.Helper()
	s := &Server{script: find(t, name)}
	cmd := exec.Command(s.script, "hold")
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	t.Cleanup(func() {
		_ = stdin.Close() // the script's word to stop
		_ = cmd.Wait()
	})
	if s.Variables, err = variables(stdout); err != nil {
		t.Fatalf("%s started nothing (it says why above): %v", name, err)
	}
	return s
}

// Tell runs a command of the script.
func (s *Server) Tell(t testing.TB, args ...string) {
	t.Helper()
	if out, err := exec.Command(s.script, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", filepath.Base(s.script), strings.Join(args, " "), err, out)
	}
}

// variables reads the assignments that scripts print once their server is up. The
// last one says where its files are.
func variables(r io.Reader) (map[string]string, error) {
	vars := map[string]string{}
	for s := bufio.NewScanner(r); s.Scan(); {
		name, value, _ := strings.Cut(s.Text(), "=")
		vars[name] = unquote(value)
		if strings.HasSuffix(name, "_DIR") {
			return vars, nil
		}
	}
	return nil, errors.New("it ended early")
}

// unquote reads a word as the scripts write it for a shell.
func unquote(word string) string {
	word = strings.TrimSuffix(strings.TrimPrefix(word, "'"), "'")
	return strings.ReplaceAll(word, `'\''`, "'")
}

// find looks for the script in the directories above the test's.
func find(t testing.TB, name string) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err == nil {
			return path
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatalf("%s is in no directory above this one", name)
		}
		dir = parent
	}
}
