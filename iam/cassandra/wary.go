package cassandra

import (
	"context"
	"errors"
	"sync"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
)

// wary asks a node last that lately did not answer. The driver notices a node that
// is frozen, or cut off without a word, only after a minute or when others tell.
type wary struct {
	gocql.HostSelectionPolicy
	mu    sync.Mutex
	until map[string]time.Time // guarded by mu; by address
}

func newWary(policy gocql.HostSelectionPolicy) *wary {
	return &wary{HostSelectionPolicy: policy, until: make(map[string]time.Time)}
}

// Pick implements gocql.HostSelectionPolicy. In the end everybody comes once more:
// where the driver wants to ask another node too and there is none, it would fail
// at once instead of waiting for the first.
func (w *wary) Pick(statement gocql.ExecutableStatement) gocql.NextHost {
	next := w.HostSelectionPolicy.Pick(statement)
	var silent, everybody []gocql.SelectedHost
	return func() gocql.SelectedHost {
		for next != nil {
			host := next()
			if host == nil {
				next, silent = nil, append(silent, everybody...)
				break
			}
			everybody = append(everybody, host)
			if !w.shuns(host.Info()) {
				return host
			}
			silent = append(silent, host)
		}
		if len(silent) == 0 {
			return nil
		}
		host := silent[0]
		silent = silent[1:]
		return host
	}
}

func (w *wary) shuns(host *gocql.HostInfo) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Before(w.until[host.ConnectAddressAndPort()])
}

// ObserveQuery implements gocql.QueryObserver.
func (w *wary) ObserveQuery(_ context.Context, q gocql.ObservedQuery) {
	node := q.Host.ConnectAddressAndPort()
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case q.Err == nil:
		delete(w.until, node)
	case q.End.Sub(q.Start) >= silence && unanswered(q.Err):
		w.until[node] = q.End.Add(shunned)
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
