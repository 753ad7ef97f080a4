package cassandra

import (
	"context"
	"sync/atomic"
	"testing"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"sluice/iam"
	"sluice/iam/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) iam.Store { return newStore(t) })
}

// TestLostReplies lets every other write be applied without an answer, as when
// a connection breaks: nothing may be done twice, and nobody must notice.
func TestLostReplies(t *testing.T) {
	storetest.Run(t, func(t *testing.T) iam.Store {
		s := newStore(t)
		var n atomic.Int64
		s.meddle = func(ctx context.Context, query *gocql.Query) (bool, error) {
			applied, err := once(ctx, query)
			if n.Add(1)%2 == 1 {
				return false, failure(gocql.ErrTimeoutNoResponse)
			}
			return applied, err
		}
		return s
	})
}

// TestRacesBetweenProcesses is section 5.15 of the contract between two openings
// of one keyspace.
func TestRacesBetweenProcesses(t *testing.T) {
	s := newStore(t)
	storetest.Races(t, s, second(t, s))
}
