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

// A name that leads to nobody is free: at once for who asks, and for who wants it
// after some patience (defect D11).
func TestNameLeftBehind(t *testing.T) {
	s := newStore(t)
	s.patience = 10 * time.Millisecond
	b := behind{t, s}
	b.exec(`INSERT INTO iam_users_by_username (workspace, username, user_id) VALUES ('acme', 'ann', 'nobody')`)
	b.exec(`INSERT INTO iam_users_by_username (workspace, username) VALUES ('acme', 'bob')`)
	for _, name := range []string{"ann", "bob"} {
		_, err := s.UserID(t.Context(), "acme", name)
		want(t, err, iam.ErrNotFound)
		ok(t, s.CreateUser(t.Context(), testUser("id of "+name, "acme", name)))
		id, err := s.UserID(t.Context(), "acme", name)
		if err != nil || id != "id of "+name {
			t.Errorf("%s is %q, %v", name, id, err)
		}
	}
}

// heldUp makes a store wait before it writes a user: it says so on the first
// channel, and goes on when the second is closed.
func heldUp(s *Store) (waiting, proceed chan struct{}) {
	waiting, proceed = make(chan struct{}), make(chan struct{})
	var first sync.Once // the store may repeat itself
	s.meddle = func(ctx context.Context, query *gocql.Query) (bool, error) {
		if strings.Contains(query.String(), "password_hash") {
			first.Do(func() { close(waiting) })
			<-proceed
		}
		return once(ctx, query)
	}
	return waiting, proceed
}

// TestNameBeingTaken lets somebody else come while a user has its name and no row
// yet: patience is rewarded with the truth.
func TestNameBeingTaken(t *testing.T) {
	slow := newStore(t)
	other := second(t, slow)
	other.patience = time.Hour
	waiting, proceed := heldUp(slow)
	first, late := make(chan error, 1), make(chan error, 1)
	go func() { first <- createAnn(slow, "first") }()
	<-waiting
	asked := make(chan struct{}, 2)
	other.meddle = func(ctx context.Context, query *gocql.Query) (bool, error) {
		applied, err := once(ctx, query)
		select {
		case asked <- struct{}{}:
		default: // nobody waits for more
		}
		return applied, err
	}
	go func() { late <- createAnn(other, "late") }()
	<-asked
	<-asked // it has seen that there is no such user, and asks again
	close(proceed)
	ok(t, <-first)
	want(t, <-late, iam.ErrExists)
	checkAnn(t, slow)
}

// TestEvictedOwner lets an owner that counted as dead go on: it does not get its
// user, and the name stays with who took it.
func TestEvictedOwner(t *testing.T) {
	slow := newStore(t)
	other := second(t, slow)
	other.patience = 0
	waiting, proceed := heldUp(slow)
	first := make(chan error, 1)
	go func() { first <- createAnn(slow, "first") }()
	<-waiting
	ok(t, createAnn(other, "second"))
	close(proceed)
	want(t, <-first, iam.ErrExists)
	checkAnn(t, other)
	_, err := other.User(t.Context(), "ann first")
	want(t, err, iam.ErrNotFound)
	if id, err := other.UserID(t.Context(), "acme", "ann"); err != nil || id != "ann second" {
		t.Errorf("the name leads to %q, %v", id, err)
	}
}

// TestGhosts puts rows there as the reference leaves them when an update meets a
// deletion (defect D25): they are nobody, and no administrator either.
func TestGhosts(t *testing.T) {
	s := newStore(t)
	seedStore(t, s)
	(behind{t, s}).exec(`UPDATE iam_users SET enabled = true, roles = {'admin'}, name = 'G' WHERE id = 'ghost'`)
	_, err := s.User(t.Context(), "ghost")
	want(t, err, iam.ErrNotFound)
	_, err = s.UpdateUser(t.Context(), "ghost", iam.UserChange{Name: new("H")})
	want(t, err, iam.ErrNotFound)
	want(t, s.SetPassword(t.Context(), "ghost", "", "x", false), iam.ErrNotFound)
	want(t, s.DisableUser(t.Context(), "ghost"), iam.ErrNotFound)
	want(t, s.DeleteUser(t.Context(), "ghost"), iam.ErrNotFound)
	want(t, s.CreateAPIKey(t.Context(), testKey("k", "ghost")), iam.ErrNotFound)
	want(t, s.DisableUser(t.Context(), "root"), iam.ErrLastAdmin)
	exported := 0
	ok(t, s.Export(t.Context(), func(any) error { exported++; return nil }))
	if exported != 4 {
		t.Errorf("%d records exported", exported)
	}
}

// A store without workspaces is no seeding that was cut off unless it says so:
// they were lost, or are still to come, as with later releases of the reference.
func TestSeedSparesUsers(t *testing.T) {
	s := newStore(t)
	seedStore(t, s)
	(behind{t, s}).exec(`DELETE FROM iam_workspaces WHERE id = 'default' IF EXISTS`)
	want(t, s.Seed(t.Context(), testSeed("another")), iam.ErrExists)
	u, err := s.User(t.Context(), "root")
	ok(t, err)
	if _, err := s.APIKey(t.Context(), "hash-key of root"); err != nil || !u.Enabled {
		t.Errorf("administrator %+v, key: %v", u, err)
	}
}

// TestSeedOverLeftOvers finds what a seeding left whose writes came through after
// it had given up: the key without its owner, and the owner where no list shows it.
func TestSeedOverLeftOvers(t *testing.T) {
	s := newStore(t)
	b := behind{t, s}
	b.exec(`INSERT INTO iam_api_keys (key_hash, id, user_id) VALUES ('hash of the token', 'old', 'gone')`)
	b.exec(`INSERT INTO iam_users_by_username (workspace, username, user_id) VALUES ('default', 'admin', 'old')`)
	b.exec(`INSERT INTO iam_users_by_username (workspace, username, user_id) VALUES ('_lock', 'seeding', 'old')`)
	b.exec(`INSERT INTO iam_users (id, workspace, username, must_change_password) VALUES ('old', 'unlisted', 'admin', true)`)
	ok(t, s.Seed(t.Context(), tokenSeed("new")))
	checkSeeded(t, s)
	_, err := s.User(t.Context(), "old")
	want(t, err, iam.ErrNotFound)
}
