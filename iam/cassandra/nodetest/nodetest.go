// Package nodetest finds a Cassandra node for tests. Without one the test fails:
// a skipped test proves nothing.
package nodetest

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const script = "scripts/cassandra"

// Node is where a node listens and how to get in.
type Node struct {
	// Addr is host:port. TLS and plain connections are both welcome there.
	Addr string
	// Username and Password are a superuser's.
	Username, Password string
	// CA names the PEM file of the authority that signed the node's certificate.
	CA     string
	dir    string
	script string
}

// Shared returns the node that the tests share. A test on it keeps to keyspaces and
// roles of its own and disturbs nobody.
func Shared(t testing.TB) *Node {
	t.Helper()
	if os.Getenv("SLUICE_TEST_CASSANDRA") == "" {
		t.Fatalf("no Cassandra node: run the tests through %s, as in `%s run -- go test ./...`, or set SLUICE_TEST_CASSANDRA and its companions", script, script)
	}
	return named(os.Getenv)
}

// Start starts a node of one test's own, to be disturbed at will. It ends with the
// test, or with the process if that comes first. It takes some seconds.
func Start(t testing.TB) *Node {
	t.Helper()
	path := find(t)
	cmd := exec.Command(path, "hold")
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
		t.Fatalf("%s: %v", script, err)
	}
	t.Cleanup(func() {
		_ = stdin.Close() // the script's word to stop
		_ = cmd.Wait()
	})
	vars, err := variables(stdout)
	if err != nil {
		t.Fatalf("%s started no private node (it says why above): %v", script, err)
	}
	n := named(func(name string) string { return vars[name] })
	n.script = path
	return n
}

// Pause ends the node's process in good order. Its data, its address and its
// certificate are there again after Resume. Only for a node that Start returned.
func (n *Node) Pause(t testing.TB) {
	t.Helper()
	n.tell(t, "pause")
}

// Resume starts a paused node and returns when it lets clients in.
func (n *Node) Resume(t testing.TB) {
	t.Helper()
	n.tell(t, "resume")
}

// TLS trusts the authority that signed the node's certificate, and nobody else.
// The certificate is for 127.0.0.1 and localhost.
func (n *Node) TLS(t testing.TB) *tls.Config {
	t.Helper()
	pem, err := os.ReadFile(n.CA)
	if err != nil {
		t.Fatalf("the node's authority: %v", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		t.Fatalf("%s holds no certificate", n.CA)
	}
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
}

func (n *Node) tell(t testing.TB, command string) {
	t.Helper()
	if n.script == "" {
		t.Fatalf("%s: the tests share this node; only one that Start returned may be disturbed", command)
	}
	if out, err := exec.Command(n.script, command, n.dir).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", script, command, err, out)
	}
}

func named(get func(string) string) *Node {
	return &Node{
		Addr:     get("SLUICE_TEST_CASSANDRA"),
		Username: get("SLUICE_TEST_CASSANDRA_USERNAME"),
		Password: get("SLUICE_TEST_CASSANDRA_PASSWORD"),
		CA:       get("SLUICE_TEST_CASSANDRA_CA"),
		dir:      get("SLUICE_TEST_CASSANDRA_DIR"),
	}
}

// variables reads the five assignments that the script prints once the node is up.
func variables(r io.Reader) (map[string]string, error) {
	vars := map[string]string{}
	for s := bufio.NewScanner(r); s.Scan(); {
		name, value, _ := strings.Cut(s.Text(), "=")
		vars[name] = unquote(value)
		if len(vars) == 5 {
			return vars, nil
		}
	}
	return nil, errors.New("it ended early")
}

// unquote reads a word as the script writes it for a shell.
func unquote(word string) string {
	word = strings.TrimSuffix(strings.TrimPrefix(word, "'"), "'")
	return strings.ReplaceAll(word, `'\''`, "'")
}

// find looks for the script in the directories above the test's.
func find(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		path := filepath.Join(dir, script)
		if _, err := os.Stat(path); err == nil {
			return path
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatalf("%s is in no directory above this one", script)
		}
		dir = parent
	}
}
