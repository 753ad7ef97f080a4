package bolt

import (
	"context"
	"errors"

	"go.etcd.io/bbolt"

	"sluice/iam"
)

// write runs one transaction, which others may share: fn may be called more than
// once, and is undone when it fails.
func (s *Store) write(fn func(tx *bbolt.Tx) error) error { return s.db.Batch(fn) }

// Seed implements iam.Store.
func (s *Store) Seed(_ context.Context, seed iam.Seed) error {
	return s.write(func(tx *bbolt.Tx) error {
		if !isEmpty(tx, bucketWorkspaces) {
			return iam.ErrExists
		}
		if err := addUser(tx, &seed.Admin); err != nil {
			return err
		}
		if err := putKey(tx, &seed.Key); err != nil {
			return err
		}
		if _, err := ensureSigningKey(tx, seed.SigningKey); err != nil {
			return err
		}
		return putWorkspace(tx, &seed.Workspace)
	})
}

func isEmpty(tx *bbolt.Tx, bucket []byte) bool {
	key, _ := tx.Bucket(bucket).Cursor().First()
	return key == nil
}

// CreateWorkspace implements iam.Store.
func (s *Store) CreateWorkspace(_ context.Context, w iam.Workspace) error {
	return s.write(func(tx *bbolt.Tx) error {
		if tx.Bucket(bucketWorkspaces).Get([]byte(w.ID)) != nil {
			return iam.ErrExists
		}
		return putWorkspace(tx, &w)
	})
}

func putWorkspace(tx *bbolt.Tx, w *iam.Workspace) error {
	return tx.Bucket(bucketWorkspaces).Put([]byte(w.ID), encodeWorkspace(w))
}

// CreateUser implements iam.Store.
func (s *Store) CreateUser(_ context.Context, u iam.User) error {
	return s.write(func(tx *bbolt.Tx) error { return addUser(tx, &u) })
}

func addUser(tx *bbolt.Tx, u *iam.User) error {
	claimed, err := claimName(tx, u)
	switch {
	case err != nil:
		return err
	case !claimed:
		return iam.ErrExists
	}
	return putNewUser(tx, u)
}

// claimName gives u its name unless somebody has it.
func claimName(tx *bbolt.Tx, u *iam.User) (bool, error) {
	names, name := tx.Bucket(bucketNames), pair(u.Workspace, u.Username)
	if names.Get(name) != nil {
		return false, nil
	}
	return true, names.Put(name, []byte(u.ID))
}

func putNewUser(tx *bbolt.Tx, u *iam.User) error {
	if err := tx.Bucket(bucketMembers).Put(pair(u.Workspace, u.ID), nil); err != nil {
		return err
	}
	return putUser(tx, u)
}

func putUser(tx *bbolt.Tx, u *iam.User) error {
	return tx.Bucket(bucketUsers).Put([]byte(u.ID), encodeUser(u))
}

// CreateAPIKey implements iam.Store.
func (s *Store) CreateAPIKey(_ context.Context, k iam.APIKey) error {
	return s.write(func(tx *bbolt.Tx) error {
		owner, err := get(tx, bucketUsers, "user", k.UserID, decodeUser)
		switch {
		case err != nil:
			return err
		case !owner.Enabled:
			return iam.ErrDisabled
		}
		return putKey(tx, &k)
	})
}

func putKey(tx *bbolt.Tx, k *iam.APIKey) error {
	if err := tx.Bucket(bucketKeyIDs).Put([]byte(k.ID), []byte(k.Hash)); err != nil {
		return err
	}
	if err := tx.Bucket(bucketUserKeys).Put(pair(k.UserID, k.Hash), nil); err != nil {
		return err
	}
	return tx.Bucket(bucketKeys).Put([]byte(k.Hash), encodeKey(k))
}

// DeleteAPIKey implements iam.Store.
func (s *Store) DeleteAPIKey(_ context.Context, hash string) error {
	return s.write(func(tx *bbolt.Tx) error {
		k, err := get(tx, bucketKeys, "API key", hash, decodeKey)
		if err != nil {
			return err
		}
		return dropKey(tx, &k)
	})
}

func dropKey(tx *bbolt.Tx, k *iam.APIKey) error {
	return errors.Join(
		tx.Bucket(bucketKeyIDs).Delete([]byte(k.ID)),
		tx.Bucket(bucketUserKeys).Delete(pair(k.UserID, k.Hash)),
		tx.Bucket(bucketKeys).Delete([]byte(k.Hash)),
	)
}

// TouchAPIKeys implements iam.Store.
func (s *Store) TouchAPIKeys(_ context.Context, uses []iam.KeyUse) error {
	return s.write(func(tx *bbolt.Tx) error {
		for _, use := range uses {
			k, err := get(tx, bucketKeys, "API key", use.Hash, decodeKey)
			if errors.Is(err, iam.ErrNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			if !use.At.After(k.LastUsed) {
				continue
			}
			k.LastUsed = use.At
			if err := tx.Bucket(bucketKeys).Put([]byte(k.Hash), encodeKey(&k)); err != nil {
				return err
			}
		}
		return nil
	})
}

// EnsureSigningKey implements iam.Store.
func (s *Store) EnsureSigningKey(_ context.Context, k iam.SigningKey) (active iam.SigningKey, err error) {
	err = s.write(func(tx *bbolt.Tx) error {
		active, err = ensureSigningKey(tx, k)
		return err
	})
	return active, err
}

func ensureSigningKey(tx *bbolt.Tx, k iam.SigningKey) (iam.SigningKey, error) {
	keys, err := signingKeys(tx)
	if err != nil {
		return iam.SigningKey{}, err
	}
	for _, other := range keys {
		if other.Retired.IsZero() {
			return other, nil
		}
	}
	return k, putSigningKey(tx, &k)
}

func putSigningKey(tx *bbolt.Tx, k *iam.SigningKey) error {
	return tx.Bucket(bucketSigning).Put([]byte(k.KID), encodeSigningKey(k))
}

// RotateSigningKey implements iam.Store.
func (s *Store) RotateSigningKey(_ context.Context, next iam.SigningKey) error {
	return s.write(func(tx *bbolt.Tx) error {
		keys, err := signingKeys(tx)
		if err != nil {
			return err
		}
		for _, k := range keys {
			if !k.Retired.IsZero() {
				continue
			}
			k.Retired = next.Created
			if err := putSigningKey(tx, &k); err != nil {
				return err
			}
		}
		return putSigningKey(tx, &next)
	})
}
