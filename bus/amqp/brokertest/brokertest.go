// Package brokertest finds a RabbitMQ node for tests. Without one the test fails:
// a skipped test proves nothing.
package brokertest

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

const script = "scripts/rabbitmq"

// URL returns the broker that the tests share. A test on it keeps to names of its
// own and disturbs nobody.
func URL(t testing.TB) string {
	t.Helper()
	url := os.Getenv("SLUICE_TEST_AMQP_URL")
	if url == "" {
		t.Fatalf("no broker: run the tests through %s, as in `%s run -- go test ./...`, or set SLUICE_TEST_AMQP_URL", script, script)
	}
	return url
}

// Node is a broker of one test's own, to be disturbed at will.
type Node struct {
	// URL is where it listens.
	URL string
	ctl string
}

// Private starts a node that ends with the test, or with the process if that
// comes first. It takes some seconds.
func Private(t testing.TB) *Node {
	t.Helper()
	cmd := exec.Command(find(t), "hold")
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
	return &Node{URL: vars["SLUICE_TEST_AMQP_URL"], ctl: vars["SLUICE_TEST_RABBITMQCTL"]}
}

// Ctl runs rabbitmqctl against the node and returns what it prints.
func (n *Node) Ctl(t testing.TB, args ...string) string {
	t.Helper()
	out, err := exec.Command(n.ctl, append([]string{"-q"}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("rabbitmqctl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// variables reads the three assignments that the script prints once the node is up.
func variables(r io.Reader) (map[string]string, error) {
	vars := map[string]string{}
	for s := bufio.NewScanner(r); s.Scan(); {
		name, value, _ := strings.Cut(s.Text(), "=")
		vars[name] = strings.Trim(value, "'")
		if len(vars) == 3 {
			return vars, nil
		}
	}
	return nil, errors.New("it ended early")
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
