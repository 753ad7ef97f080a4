package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"sluice/iam"
	"sluice/iam/bolt"
	"sluice/iam/cassandra"
)

// storePatience bounds what /readyz waits for a store that is elsewhere.
const storePatience = 2 * time.Second

// openedStore is the store that a configuration names.
type openedStore struct {
	iam.Store
	file *bolt.Store // nil unless it is a file
	away remoteStore // nil unless it is elsewhere, and shared
}

// remoteStore is a store that other processes use too, and that may be away: at the
// start, and at any time.
type remoteStore interface {
	// Ready says why nothing can be read, or nil.
	Ready(ctx context.Context) error
	// Name is the same for all who use it.
	Name(ctx context.Context) (string, error)
	Close() error
}

// openStore opens it; one that is elsewhere need not be there yet. mustExist refuses
// to make a new file, or tables.
func openStore(c *Config, log *slog.Logger, mustExist bool) (*openedStore, error) {
	o := &openedStore{}
	var err error
	switch c.Service.Store {
	case storeInMemory:
		o.Store = iam.NewMemory()
	case storeInCassandra:
		err = o.openCassandra(&c.Service.Cassandra, log, mustExist)
	default:
		o.file, err = bolt.Open(c.Service.Store, bolt.Options{MustExist: mustExist, Logger: log})
		o.Store = o.file
	}
	if err != nil {
		return nil, failure(err)
	}
	if err := o.seal(c.Service.StoreKey); err != nil {
		return nil, errors.Join(err, o.Close())
	}
	return o, nil
}

func (o *openedStore) openCassandra(s *CassandraStore, log *slog.Logger, mustExist bool) error {
	options, err := s.options(log)
	if err != nil {
		return err
	}
	options.MustExist = mustExist
	store, err := cassandra.Open(options)
	if err != nil {
		return err
	}
	o.Store, o.away = store, store
	if s.lone != "" {
		log.Warn("nobody logs in to Cassandra: user name and password count only together", "alone", s.lone)
	}
	if s.TLS == tlsUnverified {
		log.Warn("whoever answers as Cassandra is believed: --cassandra-tls=unverified checks no certificate")
	}
	return nil
}

// seal encrypts private keys with the key in text, if there is one.
func (o *openedStore) seal(text string) error {
	if text == "" {
		return nil
	}
	key, err := iam.ParseStoreKey(text)
	if err != nil {
		return err
	}
	o.Store, err = iam.NewSealed(o.Store, key)
	return err
}

// archive is the store as something whose records can be moved, once it is there.
func (o *openedStore) archive(ctx context.Context) (iam.Archive, error) {
	a, ok := o.Store.(iam.Archive)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	var refused error // nobody waits at a prompt until somebody else mends it
	err := awaitReady(ctx, func() error {
		err := o.ready(ctx)
		if errors.Is(err, cassandra.ErrLogin) || errors.Is(err, cassandra.ErrTables) {
			refused = err
			return nil
		}
		return err
	})
	return a, cmp.Or(refused, err)
}

// ready says why the store cannot be used now, or nil. What follows the first colon
// is not for everybody (proxy.Unready).
func (o *openedStore) ready(ctx context.Context) error {
	if o.away == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, storePatience)
	defer cancel()
	err := o.away.Ready(ctx)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, cassandra.ErrLogin):
		return fmt.Errorf("IAM store unavailable (%w): %w", cassandra.ErrLogin, err)
	case errors.Is(err, cassandra.ErrTables):
		return fmt.Errorf("IAM store unavailable (%w): %w", cassandra.ErrTables, err)
	}
	return fmt.Errorf("IAM store unavailable: %w", err)
}

// sharedName is the name under which other processes use the store, "" when none
// does.
func (o *openedStore) sharedName(ctx context.Context) (string, error) {
	if o.away == nil {
		return "", nil
	}
	if err := o.ready(ctx); err != nil {
		return "", err
	}
	return o.away.Name(ctx)
}

// Close gives it up.
func (o *openedStore) Close() error {
	switch {
	case o.file != nil:
		return o.file.Close()
	case o.away != nil:
		return o.away.Close()
	}
	return nil
}

// storeName is the store in messages.
func storeName(c *Config) string {
	switch c.Service.Store {
	case storeInMemory:
		return "memory (gone when the process ends)"
	case storeInCassandra:
		return "cassandra, keyspace " + c.Service.Cassandra.Keyspace
	}
	return strings.TrimSpace(c.Service.Store)
}

// logStore says which store it is, and why; and that a Cassandra host did not
// choose it, where `sluice iam` would have followed it.
func logStore(c *Config, log *slog.Logger) {
	if from := c.origins["cassandra-host"]; c.Service.ChosenBy == "" && from.label != "" {
		log.Warn("a Cassandra host is given and not used: say --iam-store=cassandra to keep users and keys there", "given_by", from.label, "store", storeName(c))
	}
	log.Info("IAM store", "store", storeName(c), "chosen_by", cmp.Or(c.Service.ChosenBy, "default"))
}
