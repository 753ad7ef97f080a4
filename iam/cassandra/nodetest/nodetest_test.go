package nodetest_test

import (
	"crypto/tls"
	"net"
	"testing"

	"sluice/iam/cassandra/nodetest"
)

func TestNodeGoesAndComesBack(t *testing.T) {
	node := nodetest.Start(t)
	handshake(t, node)
	node.Pause(t)
	if conn, err := net.Dial("tcp", node.Addr); err == nil {
		_ = conn.Close()
		t.Fatal("a paused node answers")
	}
	node.Resume(t)
	handshake(t, node)
}

func handshake(t *testing.T, node *nodetest.Node) {
	t.Helper()
	conn, err := tls.Dial("tcp", node.Addr, node.TLS(t))
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
}
