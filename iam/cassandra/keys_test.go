package cassandra

import (
	"context"
	"strings"
	"sync"
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
	var first sync.Once // the store may repeat itself
	s.meddle = func(ctx context.Context, query *gocql.Query) (bool, error) {
		if strings.Contains(query.String(), "DELETE FROM") && strings.Contains(query.String(), "iam_users ") {
			first.Do(func() { enableWithKey(t, other) })
		}
		return once(ctx, query)
	}
	ok(t, s.DeleteUser(t.Context(), "ann"))
	checkDeleted(t, s)
}

// enableWithKey enables ann and makes a key.
func enableWithKey(t *testing.T, s *Store) {
	t.Helper()
	_, err := s.UpdateUser(t.Context(), "ann", iam.UserChange{Enabled: new(true)})
	ok(t, err)
	ok(t, s.CreateAPIKey(t.Context(), testKey("late", "ann")))
}

// TestKeyOfWhoIsEnabledAgain lets somebody enable a user, and make a key, between
// the end of disabling and the deletion of its keys: that key stays.
func TestKeyOfWhoIsEnabledAgain(t *testing.T) {
	s := newStore(t)
	seedAnn(t, s)
	other := second(t, s)
	var first sync.Once
	s.meddle = func(ctx context.Context, query *gocql.Query) (bool, error) {
		applied, err := once(ctx, query)
		if strings.Contains(query.String(), "DELETE FROM") {
			first.Do(func() { enableWithKey(t, other) }) // the lease has been given back
		}
		return applied, err
	}
	ok(t, s.DisableUser(t.Context(), "ann"))
	_, err := s.APIKey(t.Context(), "hash-late")
	ok(t, err)
}
