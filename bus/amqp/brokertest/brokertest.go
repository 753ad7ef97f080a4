// Package brokertest finds a RabbitMQ node for tests. Without one the test fails:
// a skipped test proves nothing.
package brokertest

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"sluice/scripts/held"
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
	vars := held.Start(t, script).Variables
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
