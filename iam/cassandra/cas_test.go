package cassandra

import (
	"context"
	"testing"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"sluice/iam"
)

// A serial read that loses a contest is repeated; what cannot work, or has an
// answer, is not.
func TestPatience(t *testing.T) {
	s := &Store{life: t.Context(), seeking: time.Minute}
	timeout := &gocql.RequestErrReadTimeout{}
	for _, c := range []struct {
		results []error
		wanted  error
	}{
		{[]error{nil}, nil},
		{[]error{timeout, gocql.ErrConnectionClosed, nil}, nil},
		{[]error{timeout, iam.ErrNotFound}, iam.ErrNotFound},
		{[]error{gocql.ErrNoConnections}, gocql.ErrNoConnections},
		{[]error{&gocql.RequestErrUnavailable{}}, ErrUnavailable},
	} {
		asked := 0
		_, err := patiently(t.Context(), s, func(context.Context) (int, error) {
			asked++
			return 0, failure(c.results[asked-1])
		})
		want(t, err, c.wanted)
		if asked != len(c.results) {
			t.Errorf("%v: asked %d times", c.results, asked)
		}
	}
}

// TestQuickRefusals is for writes that nobody can have begun: they fail at once,
// unless an earlier attempt is still in doubt.
func TestQuickRefusals(t *testing.T) {
	s := newStore(t)
	for _, refusal := range []error{gocql.ErrNoConnections, &gocql.RequestErrUnavailable{}} {
		attempts := 0
		s.meddle = func(context.Context, *gocql.Query) (bool, error) {
			attempts++
			return false, failure(refusal)
		}
		want(t, createAcme(s, ""), ErrUnavailable)
		if attempts != 2 { // the lease, and its release
			t.Errorf("%d attempts", attempts)
		}
	}
	answers := []error{gocql.ErrTimeoutNoResponse, gocql.ErrNoConnections, nil}
	s.meddle = func(context.Context, *gocql.Query) (bool, error) {
		err := answers[0]
		answers = answers[1:]
		return true, failure(err)
	}
	applied, doubtful, err := s.cas(t.Context(), `UPDATE iam_users SET name = 'x' WHERE id = 'x' IF EXISTS`)
	if !applied || !doubtful || err != nil {
		t.Errorf("applied %v, doubtful %v, %v", applied, doubtful, err)
	}
}
