package cassandra

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
)

// wary asks a node last that lately did not answer. The driver notices a node that
// is frozen, or cut off without a word, only after a minute or when others tell.
type wary struct {
	gocql.HostSelectionPolicy
	mu    sync.Mutex
	until map[netip.AddrPort]time.Time // guarded by mu
}

func newWary(policy gocql.HostSelectionPolicy) *wary {
	return &wary{HostSelectionPolicy: policy, until: make(map[netip.AddrPort]time.Time)}
}

// Pick implements gocql.HostSelectionPolicy. In the end everybody comes once more:
// where the driver wants to ask another node too and there is none, it would fail
// at once instead of waiting for the first.
func (w *wary) Pick(statement gocql.ExecutableStatement) gocql.NextHost {
	p := &picking{wary: w, statement: statement, next: w.HostSelectionPolicy.Pick(statement)}
	return p.host
}

// picking is one statement's way through the nodes.
type picking struct {
	wary      *wary
	statement gocql.ExecutableStatement
	next      gocql.NextHost
	silent    []gocql.SelectedHost // put off
	again     bool
}

func (p *picking) host() gocql.SelectedHost {
	for {
		host := p.next()
		switch {
		case host != nil && !p.again && p.wary.shuns(host.Info()):
			p.silent = append(p.silent, host)
		case host != nil || p.again:
			return host
		case len(p.silent) > 0:
			host, p.silent = p.silent[0], p.silent[1:]
			return host
		default:
			p.again, p.next = true, p.wary.HostSelectionPolicy.Pick(p.statement)
		}
	}
}

func (w *wary) shuns(host *gocql.HostInfo) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	until, known := w.until[node(host)]
	return known && time.Now().Before(until)
}

// node identifies a host as ConnectAddressAndPort does, but costs nothing.
func node(host *gocql.HostInfo) netip.AddrPort {
	address, _ := netip.AddrFromSlice(host.ConnectAddress())
	return netip.AddrPortFrom(address.Unmap(), uint16(host.Port())) //nolint:gosec // a port
}

// ObserveQuery implements gocql.QueryObserver.
func (w *wary) ObserveQuery(_ context.Context, q gocql.ObservedQuery) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case q.Err == nil:
		delete(w.until, node(q.Host))
	case q.End.Sub(q.Start) >= silence && unanswered(q.Err):
		w.until[node(q.Host)] = q.End.Add(shunned)
	}
}

// unanswered reports whether a request ended without a word of the node.
func unanswered(err error) bool {
	for _, known := range []error{context.Canceled, context.DeadlineExceeded, gocql.ErrTimeoutNoResponse, gocql.ErrConnectionClosed} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}
