package cassandra

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"sluice/iam"
	"sluice/iam/cassandra/nodetest"
)

// TestNodeGoesAndComesBack begins without a node, and loses it in operation.
func TestNodeGoesAndComesBack(t *testing.T) {
	node := nodetest.Start(t)
	node.Pause(t)
	s, err := Open(optionsFor(node, "iam"))
	ok(t, err)
	t.Cleanup(func() { ok(t, s.Close()) })
	awaitFault(t, s, func(err error) bool {
		return errors.Is(err, ErrUnavailable) && strings.Contains(err.Error(), "refused")
	})
	_, err = s.Workspaces(t.Context())
	want(t, err, ErrUnavailable)
	want(t, createAcme(s, ""), ErrUnavailable)

	node.Resume(t)
	awaitReady(t, s)
	seedAnn(t, s)

	node.Pause(t)
	awaitFault(t, s, func(err error) bool { return errors.Is(err, ErrUnavailable) })
	_, err = s.User(t.Context(), "ann")
	want(t, err, ErrUnavailable)
	want(t, s.DisableUser(t.Context(), "ann"), ErrUnavailable)

	node.Resume(t)
	awaitReady(t, s)
	u, err := s.User(t.Context(), "ann")
	if err != nil || !u.Enabled {
		t.Errorf("user %+v, %v", u, err)
	}
	ok(t, s.DisableUser(t.Context(), "ann"))
	checkDisabled(t, s)
}

// awaitFault returns when Ready fails as wanted.
func awaitFault(t *testing.T, s *Store, wanted func(error) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		err := s.Ready(ctx)
		if err != nil && wanted(err) {
			return
		}
		if sleep(ctx, 10*time.Millisecond) != nil {
			t.Fatalf("readiness is %v", err)
		}
	}
}

func TestWrongPassword(t *testing.T) {
	o := optionsFor(nodetest.Shared(t), "iam")
	o.Password = "not the password"
	var logged lockedBuffer
	o.Logger = slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s, err := Open(o)
	ok(t, err)
	var told string
	awaitFault(t, s, func(err error) bool {
		told = err.Error()
		return errors.Is(err, ErrLogin)
	})
	ok(t, s.Close())
	if strings.Count(told, ErrLogin.Error()) != 1 || strings.Contains(told, ErrUnavailable.Error()) || !strings.Contains(told, o.Hosts[0]) {
		t.Errorf("told %s", told)
	}
	if strings.Contains(told+logged.String(), o.Password) || !strings.Contains(logged.String(), "not connected") {
		t.Errorf("told %s, logged %s", told, logged.String())
	}
}

// Asking again does not help who has no login where one is wanted.
func TestNoLogin(t *testing.T) {
	o := optionsFor(nodetest.Shared(t), "iam")
	o.Username, o.Password = "", ""
	s, err := Open(o)
	ok(t, err)
	t.Cleanup(func() { ok(t, s.Close()) })
	awaitFault(t, s, func(err error) bool {
		return errors.Is(err, ErrLogin) && strings.Contains(err.Error(), o.Hosts[0])
	})
}

// lockedBuffer is for loggers that are still in use.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// TestRoleWithoutCreate waits for somebody to make the tables, and for access.
func TestRoleWithoutCreate(t *testing.T) {
	node := nodetest.Shared(t)
	admin, err := administer(node)
	ok(t, err)
	t.Cleanup(admin.Close)
	keyspace, role := newKeyspace(t, node), "role_"+newName()
	run := func(text string) { t.Helper(); ok(t, admin.Query(text).Exec()) }
	run(`CREATE ROLE ` + role + ` WITH PASSWORD = 'p' AND LOGIN = true`)
	t.Cleanup(func() { run(`DROP ROLE ` + role) })

	o := optionsFor(node, keyspace)
	o.Username, o.Password = role, "p"
	s, err := Open(o)
	ok(t, err)
	t.Cleanup(func() { ok(t, s.Close()) })
	awaitFault(t, s, func(err error) bool {
		return errors.Is(err, ErrTables) && strings.Contains(err.Error(), "keyspace "+keyspace+" is missing")
	})
	ok(t, open(t, optionsFor(node, keyspace)).CreateWorkspace(t.Context(), iam.Workspace{ID: "w"}))
	awaitFault(t, s, func(err error) bool { return errors.Is(err, ErrLogin) })
	run(`GRANT SELECT ON KEYSPACE ` + keyspace + ` TO ` + role)
	run(`GRANT MODIFY ON KEYSPACE ` + keyspace + ` TO ` + role)
	awaitReady(t, s)
	_, err = s.Workspace(t.Context(), "w")
	ok(t, err)
	want(t, s.CreateWorkspace(t.Context(), iam.Workspace{ID: "w"}), iam.ErrExists)
}

// TestForeignTables refuses tables of another shape, and says why.
func TestForeignTables(t *testing.T) {
	node := nodetest.Shared(t)
	admin, err := administer(node)
	ok(t, err)
	t.Cleanup(admin.Close)
	for wanted, create := range map[string]string{
		"TrustGraph 2.8":                    `iam_users_by_username (username text PRIMARY KEY, user_id text)`,
		"iam_workspaces has no column name": `iam_workspaces (id text PRIMARY KEY, enabled boolean, created timestamp)`,
		"iam_users has no column id":        `iam_users (id uuid PRIMARY KEY, workspace text)`,
	} {
		keyspace := newKeyspace(t, node)
		ok(t, admin.Query(`CREATE KEYSPACE `+keyspace+` WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}`).Exec())
		ok(t, admin.Query(`CREATE TABLE `+keyspace+`.`+create).Exec())
		s, err := Open(optionsFor(node, keyspace))
		ok(t, err)
		awaitFault(t, s, func(err error) bool { return errors.Is(err, ErrTables) && strings.Contains(err.Error(), wanted) })
		ok(t, s.Close())
	}
}

// TestKeyspaceIsMadeAsTold looks at replication, of a keyspace that is made and of
// one that was there.
func TestKeyspaceIsMadeAsTold(t *testing.T) {
	node := nodetest.Shared(t)
	o := optionsFor(node, newKeyspace(t, node))
	o.Replication = map[string]int{"datacenter1": 1}
	s := open(t, o)
	replication := func() map[string]string {
		query, err := s.statement(`SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = ?`, o.Keyspace)
		ok(t, err)
		var out map[string]string
		ok(t, query.Scan(&out))
		return out
	}
	wanted := map[string]string{"class": "org.apache.cassandra.locator.NetworkTopologyStrategy", "datacenter1": "1"}
	same(t, replication(), wanted, nil)
	o.Replication, o.ReplicationFactor = nil, 1
	open(t, o)
	same(t, replication(), wanted, nil)
}

// TestName has stores that are the same and one that only has the same names.
func TestName(t *testing.T) {
	node := nodetest.Shared(t)
	o := optionsFor(node, newKeyspace(t, node))
	name := func() string {
		name, err := open(t, o).Name(t.Context())
		ok(t, err)
		return name
	}
	first := name()
	same(t, name(), first, nil)
	if !strings.Contains(first, "/"+o.Keyspace+"/") {
		t.Errorf("name %q", first)
	}
	ok(t, dropKeyspaces(node, o.Keyspace))
	if again := name(); again == first {
		t.Errorf("another store is %q too", again)
	}
}

func TestWhatMustExistIsNotMade(t *testing.T) {
	node := nodetest.Shared(t)
	o := optionsFor(node, newKeyspace(t, node))
	o.MustExist = true
	s, err := Open(o)
	ok(t, err)
	t.Cleanup(func() { ok(t, s.Close()) })
	awaitFault(t, s, func(err error) bool {
		return errors.Is(err, ErrTables) && strings.Contains(err.Error(), "keyspace "+o.Keyspace+" is missing")
	})
	o.MustExist = false
	open(t, o)
	awaitReady(t, s)
}

func TestDatacentre(t *testing.T) {
	node := nodetest.Shared(t)
	o := optionsFor(node, newKeyspace(t, node))
	o.Datacentre, o.LocalQuorum = "datacenter1", true
	s := open(t, o)
	ok(t, createAcme(s, ""))
	want(t, createAcme(s, ""), iam.ErrExists)
	o.Datacentre = "elsewhere"
	other, err := Open(o)
	ok(t, err)
	awaitFault(t, other, func(err error) bool { return strings.Contains(err.Error(), "filtered") })
	ok(t, other.Close())
}

func TestTLS(t *testing.T) {
	node := nodetest.Shared(t)
	keyspace := newKeyspace(t, node)
	_, port, err := net.SplitHostPort(node.Addr)
	ok(t, err)
	for _, host := range []string{node.Addr, "localhost:" + port} {
		o := optionsFor(node, keyspace)
		o.Hosts, o.TLS = []string{host}, node.TLS(t)
		_, err := open(t, o).Workspaces(t.Context())
		ok(t, err)
	}
	var authority x509.UnknownAuthorityError
	refused(t, node, &tls.Config{RootCAs: x509.NewCertPool()}, &authority)
	elsewhere := node.TLS(t)
	elsewhere.ServerName = "elsewhere.example"
	var name x509.HostnameError
	refused(t, node, elsewhere, &name)
}

// refused expects a connection to fail for a reason like target.
func refused(t *testing.T, node *nodetest.Node, config *tls.Config, target any) {
	t.Helper()
	o := optionsFor(node, "iam")
	o.TLS = config
	s, err := Open(o)
	ok(t, err)
	awaitFault(t, s, func(err error) bool {
		return errors.As(err, target) && errors.Is(err, ErrUnavailable) && strings.Contains(err.Error(), node.Addr)
	})
	ok(t, s.Close())
}

// Certificates are for names, and the driver knows only addresses.
func TestCertificateNames(t *testing.T) {
	d := &dialer{tls: &tls.Config{}, hosts: []string{"127.0.0.1:1", "localhost:2"}}
	for address, wanted := range map[string]string{"127.0.0.1": "localhost", "192.0.2.7": "192.0.2.7"} {
		if got := d.tlsFor(t.Context(), net.ParseIP(address)).ServerName; got != wanted {
			t.Errorf("%s is checked as %s, want %s", address, got, wanted)
		}
	}
	d.tls.ServerName = "fixed"
	if got := d.tlsFor(t.Context(), net.ParseIP("127.0.0.1")).ServerName; got != "fixed" {
		t.Errorf("checked as %s", got)
	}
}

// TestCloseWhileConnecting has a host that accepts connections and says nothing.
func TestCloseWhileConnecting(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ok(t, err)
	t.Cleanup(func() { _ = l.Close() })
	s, err := Open(Options{Hosts: []string{l.Addr().String()}})
	ok(t, err)
	conn, err := l.Accept()
	ok(t, err)
	ok(t, s.Close())
	_ = conn.Close()
	_, err = s.User(t.Context(), "x")
	want(t, err, ErrUnavailable)
	if err := s.Ready(t.Context()); !errors.Is(err, ErrUnavailable) {
		t.Errorf("error %v", err)
	}
}

func TestFailures(t *testing.T) {
	for _, c := range []struct{ err, wanted error }{
		{nil, nil},
		{context.Canceled, context.Canceled},
		{context.DeadlineExceeded, ErrUnavailable},
		{gocql.ErrNoConnections, ErrUnavailable},
		{&gocql.RequestErrWriteTimeout{WriteType: "CAS"}, ErrUnavailable},
		{&gocql.RequestErrUnavailable{}, ErrUnavailable},
		{gocql.UnmarshalError("x"), ErrTables},
		{iam.ErrNotFound, iam.ErrNotFound},
	} {
		got := failure(c.err)
		if !errors.Is(got, c.wanted) || !errors.Is(c.wanted, ErrTables) && !errors.Is(got, c.err) {
			t.Errorf("%v: %v, want %v", c.err, got, c.wanted)
		}
	}
}
