// Package cassandra is the IAM service's shared store: the reference's own tables
// in a Cassandra cluster, which any number of processes may use at once. Rows are
// as the reference writes and reads them, so that a deployment can move either
// way; the reference must not write at the same time, for it decides nothing
// atomically.
//
// Every write is a lightweight transaction, and what needs several is so ordered
// that a crash between any two leaves nothing half-made that anybody can see, or
// that trying again does not mend.
package cassandra

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"sluice/iam"
)

const (
	// readyFor is how long an answer of Ready holds.
	readyFor = time.Second
	// probed is the workspace that Ready looks for, whether it is there or not.
	probed = "default"
)

var errNotConnected = fmt.Errorf("%w: not connected yet", ErrUnavailable)

// Store is an iam.Store in a Cassandra cluster. Its errors are those of iam, and
// ErrUnavailable, ErrTables and ErrLogin.
type Store struct {
	// set once
	o              Options
	log            *slog.Logger
	quorum, serial gocql.Consistency
	life           context.Context
	end            context.CancelFunc
	connected      chan struct{} // closed when connect has ended
	patience       time.Duration // claimPatience, but for tests
	renewal        time.Duration // leaseRenewal, but for tests
	seeking        time.Duration // casPatience, but for tests
	// meddle, in tests, stands between the store and its conditional statements.
	meddle func(context.Context, *gocql.Query) (bool, error)

	leasing chan struct{} // held by the one operation here that may have the lease

	checking chan struct{} // held by who may write the next two
	checked  time.Time
	verdict  error

	mu      sync.Mutex
	session *gocql.Session // guarded by mu; nil until it can be used
	fault   error          // guarded by mu; why it cannot
}

var (
	_ iam.Store   = (*Store)(nil)
	_ iam.Archive = (*Store)(nil)
)

// Open returns a store that connects in the background, and keeps trying until
// Close. It fails only when o is not valid.
func Open(o Options) (*Store, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o.Hosts, o.Replication = slices.Clone(o.Hosts), maps.Clone(o.Replication)
	o.Keyspace = cmp.Or(o.Keyspace, DefaultKeyspace)
	life, end := context.WithCancel(context.Background())
	s := &Store{
		o: o, log: cmp.Or(o.Logger, slog.Default()), quorum: gocql.Quorum, serial: gocql.Serial,
		life: life, end: end, connected: make(chan struct{}), checking: make(chan struct{}, 1),
		leasing: make(chan struct{}, 1), patience: claimPatience, renewal: leaseRenewal, seeking: casPatience,
	}
	if o.LocalQuorum {
		s.quorum, s.serial = gocql.LocalQuorum, gocql.LocalSerial
	}
	go s.connect()
	return s, nil
}

// Close ends all connections. Whatever still uses the store fails.
func (s *Store) Close() error {
	s.end()
	<-s.connected
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.session != nil {
		s.session.Close()
	}
	return nil
}

func (s *Store) publish(session *gocql.Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.session = session
	s.log.Info("Cassandra store connected", "keyspace", s.o.Keyspace)
}

// note keeps why there is no session, and logs it when it is news.
func (s *Store) note(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fault == nil || err.Error() != s.fault.Error() {
		s.log.Warn("Cassandra store not connected", "keyspace", s.o.Keyspace, "error", err)
	}
	s.fault = err
}

// use returns the session, or why there is none. Whatever that is may pass.
func (s *Store) use() (*gocql.Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.session != nil:
		return s.session, nil
	case errors.Is(s.fault, ErrLogin), errors.Is(s.fault, ErrTables):
		return nil, s.fault
	case s.fault != nil:
		return nil, fmt.Errorf("%w: %w", errNotConnected, s.fault)
	}
	return nil, errNotConnected
}

// Ready is nil when the store can be read. The answer may be a second old.
func (s *Store) Ready(ctx context.Context) error {
	select {
	case s.checking <- struct{}{}:
		defer func() { <-s.checking }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if _, err := s.use(); err != nil {
		return err
	}
	if !s.checked.IsZero() && time.Since(s.checked) < readyFor {
		return s.verdict
	}
	// One row: of a scan, nodes do not ask another replica when one is silent.
	_, err := s.Workspace(ctx, probed)
	if errors.Is(err, iam.ErrNotFound) {
		err = nil
	}
	if ctx.Err() == nil {
		s.checked, s.verdict = time.Now(), err
	}
	return err
}

// Name identifies what is stored, whoever has it open: cluster, keyspace, and the
// id that the users' table got when it was made, for the others may have the same
// names elsewhere.
func (s *Store) Name(ctx context.Context) (string, error) {
	session, err := s.use()
	if err != nil {
		return "", err
	}
	var cluster string
	var users gocql.UUID
	err = reading(session.Query(`SELECT cluster_name FROM system.local`)).ScanContext(ctx, &cluster)
	if err == nil {
		err = reading(session.Query(`SELECT id FROM system_schema.tables WHERE keyspace_name = ? AND table_name = 'iam_users'`,
			s.o.Keyspace)).ScanContext(ctx, &users)
	}
	return fmt.Sprintf("%s/%s/%s", cluster, s.o.Keyspace, users), failure(err)
}
