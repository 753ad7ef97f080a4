package cassandra

import (
	"crypto/rand"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"sluice/iam/cassandra/nodetest"
)

// Making and dropping a keyspace takes more than a second, so tests hand theirs on
// when they have emptied it.
var spare keyspaces

type keyspaces struct {
	mu   sync.Mutex
	free []string // guarded by mu
	all  []string // guarded by mu
	drop func(names []string) error
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(suite{m}) }

// suite drops the keyspaces before leaks are looked for.
type suite struct{ *testing.M }

func (s suite) Run() int {
	code := s.M.Run()
	if spare.drop != nil {
		if err := spare.drop(spare.all); err != nil {
			println("keyspaces not dropped:", err.Error())
			return 1
		}
	}
	return code
}

// borrow returns a keyspace on the shared node that has no rows, and whose tables
// may not be there yet.
func (k *keyspaces) borrow(t testing.TB, node *nodetest.Node) string {
	t.Helper()
	k.mu.Lock()
	defer k.mu.Unlock()
	if n := len(k.free); n > 0 {
		name := k.free[n-1]
		k.free = k.free[:n-1]
		return name
	}
	name := "t_" + newName()
	k.all = append(k.all, name)
	k.drop = func(names []string) error { return dropKeyspaces(node, names...) }
	return name
}

// newName is one that nobody uses.
func newName() string { return strings.ToLower(rand.Text()) }

// newKeyspace is for tests whose keyspace is not handed on: it is dropped.
func newKeyspace(t testing.TB, node *nodetest.Node) string {
	t.Helper()
	name := "t_" + newName()
	t.Cleanup(func() { ok(t, dropKeyspaces(node, name)) })
	return name
}

func dropKeyspaces(node *nodetest.Node, names ...string) error {
	session, err := administer(node)
	if err != nil {
		return err
	}
	defer session.Close()
	for _, name := range names {
		if err := session.Query(`DROP KEYSPACE IF EXISTS ` + name).Exec(); err != nil {
			return err
		}
	}
	return nil
}

// giveBack empties a store's keyspace for the next test.
func (k *keyspaces) giveBack(t testing.TB, s *Store) {
	t.Helper()
	(behind{t, s}).wipeAll()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.free = append(k.free, s.o.Keyspace)
}
