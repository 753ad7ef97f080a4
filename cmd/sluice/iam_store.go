package main

import (
	"errors"
	"log/slog"

	"sluice/iam"
	"sluice/iam/bolt"
)

// openedStore is the store that a configuration names.
type openedStore struct {
	iam.Store
	file *bolt.Store // nil for one in memory
}

// openStore opens it. mustExist refuses to make a new file.
func openStore(c *Config, log *slog.Logger, mustExist bool) (*openedStore, error) {
	o := &openedStore{Store: iam.NewMemory()}
	if c.Service.Store != storeInMemory {
		file, err := bolt.Open(c.Service.Store, bolt.Options{MustExist: mustExist, Logger: log})
		if err != nil {
			return nil, failure(err)
		}
		o.Store, o.file = file, file
	}
	if c.Service.StoreKey == "" {
		return o, nil
	}
	key, err := iam.ParseStoreKey(c.Service.StoreKey)
	if err == nil {
		o.Store, err = iam.NewSealed(o.Store, key)
	}
	if err != nil {
		return nil, errors.Join(err, o.Close())
	}
	return o, nil
}

// archive is the store as something whose records can be moved.
func (o *openedStore) archive() (iam.Archive, error) {
	a, ok := o.Store.(iam.Archive)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	return a, nil
}

// Close gives the file up.
func (o *openedStore) Close() error {
	if o.file == nil {
		return nil
	}
	return o.file.Close()
}
