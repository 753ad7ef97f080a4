package cassandra

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"sluice/iam"
	"sluice/iam/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) iam.Store { return newStore(t) })
}

// unreliable lets writes in turn be lost on their way, be applied without an
// answer, as when a connection breaks, and go through.
func unreliable(s *Store) *Store {
	var n atomic.Int64
	s.meddle = func(ctx context.Context, query *gocql.Query) (bool, error) {
		turn := n.Add(1) % 3
		if turn == 1 {
			return false, failure(&gocql.RequestErrWriteTimeout{WriteType: "CAS"})
		}
		applied, err := once(ctx, query)
		if turn == 2 {
			return false, failure(gocql.ErrTimeoutNoResponse)
		}
		return applied, err
	}
	return s
}

// TestLostReplies is the suite once more: nothing may be done twice, or by halves,
// and nobody must notice.
func TestLostReplies(t *testing.T) {
	storetest.Run(t, func(t *testing.T) iam.Store { return unreliable(newStore(t)) })
}

// TestRacesBetweenProcesses is section 5.15 of the contract between openings of
// one keyspace.
func TestRacesBetweenProcesses(t *testing.T) {
	t.Run("reliable", func(t *testing.T) {
		s := newStore(t)
		storetest.Races(t, s, second(t, s))
	})
	t.Run("unreliable", func(t *testing.T) {
		s := newStore(t)
		storetest.Races(t, unreliable(s), unreliable(second(t, s)))
	})
}

// A key that is rotated in by a clock that is behind is the newest all the same.
func TestRotationDoesNotTrustClocks(t *testing.T) {
	s := newStore(t)
	_, err := s.EnsureSigningKey(t.Context(), testSigningKey("ahead", start.Add(time.Hour)))
	ok(t, err)
	ok(t, s.RotateSigningKey(t.Context(), testSigningKey("behind", start)))
	keys, err := s.SigningKeys(t.Context())
	next, old := testSigningKey("behind", start.Add(time.Hour+time.Millisecond)), testSigningKey("ahead", start.Add(time.Hour))
	old.Retired = next.Created
	same(t, keys, []iam.SigningKey{next, old}, err)
}

// Of several active keys, which a process leaves that dies between adding one and
// retiring another, the newest counts, and the next who needs one tidies up.
func TestSeveralActiveSigningKeys(t *testing.T) {
	s := newStore(t)
	for i, kid := range []string{"b", "c", "a"} {
		k := testSigningKey(kid, start.Add(time.Duration(min(i, 1))*time.Second))
		ok(t, s.insertSigningKey(t.Context(), &k))
	}
	active, err := s.EnsureSigningKey(t.Context(), testSigningKey("new", start.Add(time.Hour)))
	same(t, active, testSigningKey("a", start.Add(time.Second)), err)
	checkOneActive(t, s)
}
