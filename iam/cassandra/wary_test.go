package cassandra

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
)

// nodes are picked in this order.
type nodes []*gocql.HostInfo

func threeNodes(t *testing.T) nodes {
	t.Helper()
	var out nodes
	for _, address := range []string{"192.0.2.1", "192.0.2.2", "192.0.2.3"} {
		host, err := gocql.NewHostInfoFromAddrPort(net.ParseIP(address), defaultPort)
		ok(t, err)
		out = append(out, host)
	}
	return out
}

type picked struct{ host *gocql.HostInfo }

func (p picked) Info() *gocql.HostInfo { return p.host }
func (picked) Mark(error)              {}

// inOrder is a policy that always begins with the first.
type inOrder struct {
	gocql.HostSelectionPolicy
	nodes nodes
}

func (p inOrder) Pick(gocql.ExecutableStatement) gocql.NextHost {
	left := p.nodes
	return func() gocql.SelectedHost {
		if len(left) == 0 {
			return nil
		}
		host := left[0]
		left = left[1:]
		return picked{host}
	}
}

// TestSilentNodesComeLast: they are asked when nobody else is there, and as before
// once they have answered.
func TestSilentNodesComeLast(t *testing.T) {
	hosts := threeNodes(t)
	w := newWary(inOrder{nodes: hosts})
	order := func() string {
		var out strings.Builder
		next := w.Pick(nil)
		for host := next(); host != nil; host = next() {
			out.WriteString(strings.TrimPrefix(host.Info().ConnectAddress().String(), "192.0.2."))
		}
		return out.String()
	}
	told := func(node int, took time.Duration, err error) {
		now := time.Now()
		w.ObserveQuery(t.Context(), gocql.ObservedQuery{Host: hosts[node-1], Start: now.Add(-took), End: now, Err: err})
	}
	for _, c := range []struct {
		node   int
		took   time.Duration
		err    error
		wanted string
	}{
		{1, time.Hour, nil, "123"},
		{1, 0, context.Canceled, "123"},
		{1, silence, &gocql.RequestErrReadTimeout{}, "123"},
		{1, silence, context.Canceled, "231"},
		{2, silence, context.DeadlineExceeded, "312"},
		{3, silence, gocql.ErrTimeoutNoResponse, "123"},
		{2, 0, nil, "213"},
	} {
		told(c.node, c.took, c.err)
		if got := order(); got != c.wanted+"123" { // and everybody once more
			t.Errorf("after %v of node %d: %s, want %s", c.err, c.node, got, c.wanted)
		}
	}
}

// TestOnlyNodeIsSlow asks another node too at once, where there is only one.
func TestOnlyNodeIsSlow(t *testing.T) {
	s := newStore(t)
	for range 20 {
		query, err := s.statement(`SELECT id FROM iam_users`)
		ok(t, err)
		impatient := &gocql.SimpleSpeculativeExecution{NumAttempts: 1, TimeoutDelay: 1}
		ok(t, reading(query).SetSpeculativeExecutionPolicy(impatient).Iter().Close())
	}
}

// TestNodeLog is told the same again and again, as the driver does.
func TestNodeLog(t *testing.T) {
	var out bytes.Buffer
	log := &nodeLog{log: slog.New(slog.NewTextHandler(&out, nil)), up: make(map[string]bool)}
	hosts := threeNodes(t)
	for range 3 {
		log.OnHostDown(gocql.HostDownEvent{Host: hosts[0]})
		log.OnHostDown(gocql.HostDownEvent{Host: hosts[1]})
	}
	for range 3 {
		log.OnHostUp(gocql.HostUpEvent{Host: hosts[0]})
	}
	log.OnHostDown(gocql.HostDownEvent{Host: hosts[0]})
	if n := strings.Count(out.String(), "\n"); n != 4 {
		t.Errorf("%d lines:\n%s", n, out.String())
	}
}

// TestConnectWatch: of what several nodes say, in any order, one thing is told.
func TestConnectWatch(t *testing.T) {
	hosts := threeNodes(t)
	seen := []gocql.ObservedConnect{
		{Host: hosts[0], Err: context.DeadlineExceeded},
		{Host: hosts[1], Err: &gocql.RequestErrUnavailable{}},
		{Host: hosts[2], Err: loginWanted{}},
		{Host: hosts[1]},
	}
	for first := range seen {
		var watch connectWatch
		for i := range seen {
			watch.ObserveConnect(seen[(first+i)%len(seen)])
		}
		want(t, watch.worst(), ErrLogin)
		if text := watch.worst().Error(); !strings.Contains(text, "192.0.2.3:9042") {
			t.Errorf("told %s", text)
		}
	}
}

// loginWanted is what the driver says without a type.
type loginWanted struct{}

func (loginWanted) Error() string { return `authentication required (using "Password")` }
