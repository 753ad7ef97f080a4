package cassandra

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"sluice/iam"
	"sluice/iam/cassandra/nodetest"
)

// start is when everything here was created; times have milliseconds.
var start = time.Date(2026, 11, 21, 17, 42, 33, 752_000_000, time.UTC)

// optionsFor are those of a store on a node.
func optionsFor(node *nodetest.Node, keyspace string) Options {
	return Options{
		Hosts: []string{node.Addr}, Username: node.Username, Password: node.Password, Keyspace: keyspace,
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
}

// administer opens a session for what tests do behind a store's back.
func administer(node *nodetest.Node) (*gocql.Session, error) {
	config := gocql.NewCluster(node.Addr)
	config.ProtoVersion, config.Timeout, config.ConnectTimeout = protocol, time.Minute, time.Minute
	config.Authenticator = gocql.PasswordAuthenticator{Username: node.Username, Password: node.Password}
	return config.CreateSession()
}

// open opens a store for the length of a test and waits for it.
func open(t testing.TB, o Options) *Store {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	s.seeking = time.Minute // for slow machines: what is lost is looked for longer
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	awaitReady(t, s)
	return s
}

// awaitReady returns when the store can be used. A minute is for slow machines.
func awaitReady(t testing.TB, s *Store) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		err := s.Ready(ctx)
		if err == nil {
			return
		}
		if sleep(ctx, 10*time.Millisecond) != nil {
			t.Fatalf("not ready: %v", err)
		}
	}
}

// newStore is an empty store on the shared node.
func newStore(t testing.TB) *Store {
	t.Helper()
	node := nodetest.Shared(t)
	s := open(t, optionsFor(node, spare.borrow(t, node)))
	t.Cleanup(func() {
		s.meddle = nil
		spare.giveBack(t, s)
	})
	return s
}

// second opens the same store once more, as another process would.
func second(t testing.TB, s *Store) *Store {
	t.Helper()
	return open(t, s.o)
}

// behind is the session of a store, to look at its tables and write into them as
// the reference would.
type behind struct {
	t testing.TB
	s *Store
}

func (b behind) exec(text string, args ...any) {
	b.t.Helper()
	if err := b.insist(func(query *gocql.Query) error { return query.Exec() }, text, args...); err != nil {
		b.t.Error(err) // not Fatal: this may be any goroutine
	}
}

// insist runs a statement, which must bear repetition, until a busy node has time
// for it.
func (b behind) insist(run func(*gocql.Query) error, text string, args ...any) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		query, err := b.s.statement(text, args...)
		if err == nil {
			err = failure(run(query))
		}
		if !errors.Is(err, ErrUnavailable) || sleep(ctx, 10*time.Millisecond) != nil {
			return err
		}
	}
}

// rows are the rows of a query, by column.
func (b behind) rows(text string, args ...any) (out []map[string]any) {
	b.t.Helper()
	ok(b.t, b.insist(func(query *gocql.Query) (err error) {
		out, err = query.Iter().SliceMap()
		return err
	}, text, args...))
	return out
}

func (b behind) wipeAll() {
	b.t.Helper()
	for _, tab := range tables {
		b.wipe(tab)
	}
}

// wipe deletes the rows of a table.
func (b behind) wipe(tab table) {
	b.t.Helper()
	var key []string
	for _, col := range tab.columns {
		if col.kind != regular {
			key = append(key, col.name)
		}
	}
	for _, row := range b.rows(`SELECT ` + strings.Join(key, ", ") + ` FROM ` + tab.name) {
		var values []any
		for _, name := range key {
			values = append(values, row[name])
		}
		b.exec(`DELETE FROM `+tab.name+` WHERE `+strings.Join(key, " = ? AND ")+` = ? IF EXISTS`, values...)
	}
}

// count is how many rows a table has.
func (b behind) count(table string) (n int) {
	b.t.Helper()
	ok(b.t, b.insist(func(query *gocql.Query) error { return query.Scan(&n) }, `SELECT COUNT(*) FROM `+table))
	return n
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func want(t testing.TB, got, wanted error) {
	t.Helper()
	if !errors.Is(got, wanted) {
		t.Errorf("error %v, want %v", got, wanted)
	}
}

func testUser(id, workspace, username string, roles ...string) iam.User {
	return iam.User{
		ID: id, Workspace: workspace, Username: username, PasswordHash: "hash of " + id, Roles: roles,
		Enabled: true, MustChangePassword: true, Created: start,
	}
}

func testKey(id, userID string) iam.APIKey {
	return iam.APIKey{Hash: "hash-" + id, ID: id, UserID: userID, Name: "n", Prefix: "tg_abcd", Created: start}
}

func testSigningKey(kid string, created time.Time) iam.SigningKey {
	return iam.SigningKey{KID: kid, PrivatePEM: "private " + kid, PublicPEM: "public " + kid, Created: created}
}

// testSeed is one with an administrator of that id.
func testSeed(id string) iam.Seed {
	return iam.Seed{
		Workspace: iam.Workspace{ID: "default", Name: "Default", Enabled: true, Created: start},
		Admin:     testUser(id, "default", "admin", iam.RoleAdmin),
		Key:       testKey("key of "+id, id), SigningKey: testSigningKey("kid of "+id, start),
	}
}
