package cassandra

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"sluice/iam"
)

var errDied = errors.New("the process has died")

// dieAt lets a store get no further than its n-th write, which is made or not.
func dieAt(s *Store, n int64, made bool) {
	var writes atomic.Int64
	s.meddle = func(ctx context.Context, query *gocql.Query) (bool, error) {
		write := writes.Add(1)
		if write < n {
			return once(ctx, query)
		}
		if write == n && made {
			if _, err := once(ctx, query); err != nil {
				return false, err
			}
		}
		return false, errDied
	}
}

// live makes the store whole again, as if a new process had come long after.
func live(t *testing.T, s *Store) {
	t.Helper()
	s.meddle = nil
	(behind{t, s}).runOut()
}

// runOut ends a lease that a dead process has left.
func (b behind) runOut() {
	b.exec(`DELETE FROM iam_users_by_username WHERE workspace = ? AND username = ? IF EXISTS`, leaseWorkspace, leaseName)
}

// TestCutOff kills each operation at each of its writes, and tries again.
func TestCutOff(t *testing.T) {
	for _, c := range []struct {
		name    string
		prepare func(t *testing.T, s *Store)
		run     func(s *Store, attempt string) error
		excused error // what a second attempt may say
		check   func(t *testing.T, s *Store)
	}{
		{"seed", nothing, func(s *Store, attempt string) error { return s.Seed(context.Background(), tokenSeed(attempt)) }, iam.ErrExists, checkSeeded},
		{"create workspace", nothing, createAcme, iam.ErrExists, checkAcme},
		{"create user", seedStore, createAnn, iam.ErrExists, checkAnn},
		{"disable user", seedAnn, func(s *Store, _ string) error { return s.DisableUser(context.Background(), "ann") }, nil, checkDisabled},
		{"delete user", seedAnn, func(s *Store, _ string) error { return s.DeleteUser(context.Background(), "ann") }, iam.ErrNotFound, checkDeleted},
		{"disable workspace", seedAnn, func(s *Store, _ string) error { return s.DisableWorkspace(context.Background(), "acme") }, nil, checkDisabled},
		{"rotate", seedStore, rotate, nil, checkOneActive},
		{"ensure", nothing, ensure, nil, checkOneActive},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStore(t)
			s.patience = 0
			deaths := 0
			for n := int64(1); ; n++ {
				for _, made := range []bool{false, true} {
					(behind{t, s}).wipeAll()
					c.prepare(t, s)
					dieAt(s, n, made)
					err := c.run(s, "first")
					live(t, s)
					if err == nil && !made {
						if deaths < 1 {
							t.Error("nothing was cut off")
						}
						c.check(t, s)
						return
					}
					deaths++
					if err := c.run(s, "second"); err != nil && !errors.Is(err, c.excused) {
						t.Errorf("cut off at write %d (made: %v), and then: %v", n, made, err)
					}
					c.check(t, s)
				}
			}
		})
	}
}

func nothing(*testing.T, *Store) {}

func seedStore(t *testing.T, s *Store) {
	t.Helper()
	ok(t, s.Seed(t.Context(), testSeed("root")))
}

// tokenSeed has the same key, but for id and owner, each time.
func tokenSeed(id string) iam.Seed {
	seed := testSeed(id)
	seed.Key.Hash = "hash of the token"
	return seed
}

func checkSeeded(t *testing.T, s *Store) {
	t.Helper()
	users, err := s.Users(t.Context(), "default")
	ok(t, err)
	id, err := s.UserID(t.Context(), "default", "admin")
	ok(t, err)
	key, err := s.APIKey(t.Context(), "hash of the token")
	ok(t, err)
	if len(users) != 1 || users[0].ID != id || key.UserID != id || (behind{t, s}).count("iam_api_keys") != 1 {
		t.Errorf("users %+v, name leads to %s, key %+v", users, id, key)
	}
	if n := (behind{t, s}).count("iam_workspaces"); n != 1 {
		t.Errorf("%d workspaces", n)
	}
	checkOneActive(t, s)
}

func createAcme(s *Store, _ string) error {
	return s.CreateWorkspace(context.Background(), iam.Workspace{ID: "acme", Enabled: true})
}

func checkAcme(t *testing.T, s *Store) {
	t.Helper()
	_, err := s.Workspace(t.Context(), "acme")
	ok(t, err)
}

func createAnn(s *Store, attempt string) error {
	return s.CreateUser(context.Background(), testUser("ann "+attempt, "acme", "ann"))
}

func checkAnn(t *testing.T, s *Store) {
	t.Helper()
	users, err := s.Users(t.Context(), "acme")
	ok(t, err)
	id, err := s.UserID(t.Context(), "acme", "ann")
	ok(t, err)
	if len(users) != 1 || users[0].ID != id {
		t.Errorf("users %+v, name leads to %s", users, id)
	}
}

// seedAnn adds a user with two keys.
func seedAnn(t *testing.T, s *Store) {
	t.Helper()
	seedStore(t, s)
	ok(t, createAcme(s, ""))
	ok(t, s.CreateUser(t.Context(), testUser("ann", "acme", "ann")))
	ok(t, s.CreateAPIKey(t.Context(), testKey("k1", "ann")))
	ok(t, s.CreateAPIKey(t.Context(), testKey("k2", "ann")))
}

func checkDisabled(t *testing.T, s *Store) {
	t.Helper()
	u, err := s.User(t.Context(), "ann")
	ok(t, err)
	if u.Enabled || (behind{t, s}).count("iam_api_keys") != 1 {
		t.Errorf("user %+v", u)
	}
}

func checkDeleted(t *testing.T, s *Store) {
	t.Helper()
	if n := (behind{t, s}).count("iam_api_keys"); n != 1 {
		t.Errorf("%d keys, want the administrator's", n)
	}
	_, err := s.User(t.Context(), "ann")
	want(t, err, iam.ErrNotFound)
	ok(t, createAnn(s, "again")) // the name is free
	checkAnn(t, s)
}

func rotate(s *Store, attempt string) error {
	return s.RotateSigningKey(context.Background(), testSigningKey("rotated "+attempt, start.Add(time.Second)))
}

func ensure(s *Store, attempt string) error {
	_, err := s.EnsureSigningKey(context.Background(), testSigningKey("ensured "+attempt, start))
	return err
}

func checkOneActive(t *testing.T, s *Store) {
	t.Helper()
	keys, err := s.SigningKeys(t.Context())
	ok(t, err)
	active := 0
	for _, k := range keys {
		if k.Retired.IsZero() {
			active++
		}
	}
	if active != 1 {
		t.Errorf("%d active signing keys", active)
	}
}

// TestFailedImportIsUndone lets each write of an import in turn be refused.
func TestFailedImportIsUndone(t *testing.T) {
	s := newStore(t)
	seedAnn(t, s)
	var archive bytes.Buffer
	records, err := iam.ExportLines(t.Context(), s, &archive)
	ok(t, err)
	for n := int64(1); ; n++ {
		(behind{t, s}).wipeAll()
		var writes atomic.Int64
		s.meddle = func(ctx context.Context, query *gocql.Query) (bool, error) {
			if writes.Add(1) == n {
				return false, errDied
			}
			return once(ctx, query)
		}
		imported, err := iam.ImportLines(t.Context(), s, strings.NewReader(archive.String()))
		live(t, s)
		if err == nil {
			if imported != records || n <= int64(records) {
				t.Errorf("%d of %d records imported at write %d", imported, records, n)
			}
			return
		}
		for _, tab := range tables {
			if rows := (behind{t, s}).count(tab.name); rows != 0 {
				t.Errorf("write %d refused: %d rows left in %s", n, rows, tab.name)
			}
		}
	}
}

// archiveOf is an export of users.
func archiveOf(t *testing.T, users int) string {
	t.Helper()
	var out strings.Builder
	_, err := iam.ExportLines(t.Context(), made(users), &out)
	ok(t, err)
	return out.String()
}

// made is so many users to export, and their workspace.
type made int

func (made) Import(context.Context, iter.Seq2[any, error]) error { panic("BUG: only exports") }

func (n made) Export(_ context.Context, each func(any) error) error {
	for i := range int(n) {
		u := testUser(fmt.Sprint("u", i), "acme", fmt.Sprint("user ", i))
		if err := each(&u); err != nil {
			return err
		}
	}
	return each(&iam.Workspace{ID: "acme", Enabled: true})
}

// TestInterruptedImport ends the caller's patience in the middle: what is under way
// ends, nothing begins, and all of it is removed however long that takes, with the
// lease renewed.
func TestInterruptedImport(t *testing.T) {
	s := newStore(t)
	s.renewal = time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var writes atomic.Int64
	var late sync.Map // without repetitions
	var renewed sync.Once
	s.meddle = func(attempt context.Context, query *gocql.Query) (bool, error) {
		text := query.String()
		switch {
		case strings.Contains(text, "INSERT INTO") && writes.Add(1) == 700:
			cancel()
		case strings.Contains(text, "INSERT INTO") && ctx.Err() != nil:
			late.Store(text, true)
		case strings.Contains(text, "DELETE FROM") && !strings.Contains(text, "user_id"):
			renewed.Do(behind{t, s}.awaitRenewal)
		}
		if attempt.Err() != nil && !strings.Contains(text, "UPDATE") { // a renewal may
			t.Error("a write is given up")
		}
		return once(attempt, query)
	}
	_, err := iam.ImportLines(ctx, s, strings.NewReader(archiveOf(t, 500)))
	if !errors.Is(err, context.Canceled) || errors.Is(err, errLeftovers) {
		t.Errorf("error %v", err)
	}
	begun := 0
	late.Range(func(any, any) bool { begun++; return true })
	if begun > maxParallel {
		t.Errorf("%d writes begun late", begun)
	}
	live(t, s)
	for _, tab := range tables {
		if rows := (behind{t, s}).count(tab.name); rows != 0 {
			t.Errorf("%d rows left in %s", rows, tab.name)
		}
	}
}

// TestImportThatCannotBeUndone fails for good, or in the dark: whoever reads the
// error knows what to do.
func TestImportThatCannotBeUndone(t *testing.T) {
	s := newStore(t)
	for undone, refusal := range map[bool]error{false: errDied, true: failure(gocql.ErrNoConnections)} {
		s.meddle = func(ctx context.Context, query *gocql.Query) (bool, error) {
			switch text := query.String(); {
			case strings.Contains(text, "INSERT INTO") && strings.Contains(text, "iam_workspaces"),
				strings.Contains(text, "DELETE FROM") && !undone:
				return false, refusal
			default:
				return once(ctx, query)
			}
		}
		_, err := iam.ImportLines(t.Context(), s, strings.NewReader(archiveOf(t, 2)))
		want(t, err, refusal)
		want(t, err, errLeftovers)
		(behind{t, s}).wipeAll()
	}
}
