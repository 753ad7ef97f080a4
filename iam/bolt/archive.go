package bolt

import (
	"context"
	"fmt"
	"io"
	"iter"

	"go.etcd.io/bbolt"

	"sluice/iam"
)

// Export implements iam.Archive.
func (s *Store) Export(_ context.Context, each func(record any) error) error {
	return s.db.View(func(tx *bbolt.Tx) error {
		err := walk(tx, bucketUsers, "user", decodeUser, func(u iam.User) error { return each(&u) })
		if err == nil {
			err = walk(tx, bucketKeys, "API key", decodeKey, func(k iam.APIKey) error { return each(&k) })
		}
		if err == nil {
			err = walk(tx, bucketSigning, "signing key", decodeSigningKey, func(k iam.SigningKey) error { return each(&k) })
		}
		if err == nil {
			err = walk(tx, bucketWorkspaces, "workspace", decodeWorkspace, func(w iam.Workspace) error { return each(&w) })
		}
		return err
	})
}

// Import implements iam.Archive.
func (s *Store) Import(_ context.Context, records iter.Seq2[any, error]) error {
	// Not a shared transaction: the records can be read only once.
	return s.db.Update(func(tx *bbolt.Tx) error {
		for _, bucket := range [][]byte{bucketWorkspaces, bucketUsers, bucketKeys, bucketSigning} {
			if !isEmpty(tx, bucket) {
				return iam.ErrExists
			}
		}
		for record, err := range records {
			if err != nil {
				return err
			}
			if err := put(tx, record); err != nil {
				return err
			}
		}
		return nil
	})
}

func put(tx *bbolt.Tx, record any) error {
	switch r := record.(type) {
	case *iam.User:
		if _, err := claimName(tx, r); err != nil {
			return err
		}
		return putNewUser(tx, r)
	case *iam.APIKey:
		return putKey(tx, r)
	case *iam.SigningKey:
		return putSigningKey(tx, r)
	case *iam.Workspace:
		return putWorkspace(tx, r)
	}
	panic(fmt.Sprintf("BUG: a record of type %T", record))
}

// WriteBackup writes a copy of the store, as of this moment, to w. The store can
// be used meanwhile, but grows as long as w is slow.
func (s *Store) WriteBackup(w io.Writer) error {
	return s.db.View(func(tx *bbolt.Tx) error {
		_, err := tx.WriteTo(w)
		return err
	})
}
