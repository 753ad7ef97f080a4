// Package nodetest finds a Cassandra node for tests. Without one the test fails:
// a skipped test proves nothing.
package nodetest

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"testing"

	"sluice/scripts/held"
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
	server *held.Server // nil for the shared node
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
	server := held.Start(t, script)
	n := named(func(name string) string { return server.Variables[name] })
	n.server = server
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
	if n.server == nil {
		t.Fatalf("%s: the tests share this node; only one that Start returned may be disturbed", command)
	}
	n.server.Tell(t, command, n.dir)
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
