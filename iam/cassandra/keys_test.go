package cassandra

import (
	"context"
	"strings"
	"testing"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"sluice/iam"
)

// TestKeyOfWhoIsLeaving disables and deletes the owner of a key between the look
// at the owner and the key (defect D24).
func TestKeyOfWhoIsLeaving(t *testing.T) {
	for _, c := range []struct {
		name   string
		leave  func(s *Store) error
		wanted error
	}{
		{"disabled", func(s *Store) error { return s.DisableUser(context.Background(), "ann") }, iam.ErrDisabled},
		{"deleted", func(s *Store) error { return s.DeleteUser(context.Background(), "ann") }, iam.ErrNotFound},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStore(t)
			seedAnn(t, s)
			other := second(t, s)
			s.meddle = func(ctx context.Context, query *gocql.Query) (bool, error) {
				if strings.Contains(query.String(), "INSERT INTO") {
					s.meddle = nil
					ok(t, c.leave(other))
				}
				return once(ctx, query)
			}
			want(t, s.CreateAPIKey(t.Context(), testKey("late", "ann")), c.wanted)
			if s.meddle != nil || (behind{t, s}).count("iam_api_keys") != 1 {
				t.Error("a key is left, or nobody came in between")
			}
		})
	}
}

// TestUsesRace notes a use between another's look at the key and its note, which
// must not go back in time.
func TestUsesRace(t *testing.T) {
	s := newStore(t)
	seedAnn(t, s)
	other := second(t, s)
	use := func(s *Store, after time.Duration) error {
		return s.TouchAPIKeys(t.Context(), []iam.KeyUse{{Hash: "hash-k1", At: start.Add(after)}})
	}
	s.meddle = func(ctx context.Context, query *gocql.Query) (bool, error) {
		ok(t, use(other, time.Hour))
		return once(ctx, query)
	}
	ok(t, use(s, time.Minute))
	k, err := s.APIKey(t.Context(), "hash-k1")
	same(t, k.LastUsed, start.Add(time.Hour), err)
}

// TestKeyOfWhoIsEnabledOnTheWay lets somebody enable a user who is being deleted,
// and make a key, just before the user goes.
func TestKeyOfWhoIsEnabledOnTheWay(t *testing.T) {
	s := newStore(t)
	seedAnn(t, s)
	other := second(t, s)
	s.meddle = func(ctx context.Context, query *gocql.Query) (bool, error) {
		if strings.Contains(query.String(), "DELETE FROM") && strings.Contains(query.String(), "iam_users ") {
			_, err := other.UpdateUser(t.Context(), "ann", iam.UserChange{Enabled: new(true)})
			ok(t, err)
			ok(t, other.CreateAPIKey(t.Context(), testKey("late", "ann")))
		}
		return once(ctx, query)
	}
	ok(t, s.DeleteUser(t.Context(), "ann"))
	checkDeleted(t, s)
}
