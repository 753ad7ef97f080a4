package bolt

import (
	"bytes"
	"context"
	"encoding/binary"
	"slices"

	"go.etcd.io/bbolt"

	"sluice/iam"
)

// User implements iam.Store.
func (s *Store) User(_ context.Context, id string) (iam.User, error) {
	return read(s, bucketUsers, "user", id, decodeUser)
}

// Workspace implements iam.Store.
func (s *Store) Workspace(_ context.Context, id string) (iam.Workspace, error) {
	return read(s, bucketWorkspaces, "workspace", id, decodeWorkspace)
}

// APIKey implements iam.Store.
func (s *Store) APIKey(_ context.Context, hash string) (iam.APIKey, error) {
	return read(s, bucketKeys, "API key", hash, decodeKey)
}

func read[T any](s *Store, bucket []byte, what, key string, decode func([]byte) (T, error)) (v T, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		v, err = get(tx, bucket, what, key, decode)
		return err
	})
	return v, err
}

func get[T any](tx *bbolt.Tx, bucket []byte, what, key string, decode func([]byte) (T, error)) (T, error) {
	record := tx.Bucket(bucket).Get([]byte(key))
	if record == nil {
		var none T
		return none, iam.ErrNotFound
	}
	return decoding(what, []byte(key), record, decode)
}

// APIKeyByID implements iam.Store.
func (s *Store) APIKeyByID(_ context.Context, id string) (k iam.APIKey, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		hash := tx.Bucket(bucketKeyIDs).Get([]byte(id))
		if hash == nil {
			return iam.ErrNotFound
		}
		k, err = get(tx, bucketKeys, "API key", string(hash), decodeKey)
		return err
	})
	return k, err
}

// UserID implements iam.Store.
func (s *Store) UserID(_ context.Context, workspace, username string) (id string, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		found := tx.Bucket(bucketNames).Get(pair(workspace, username))
		if found == nil {
			return iam.ErrNotFound
		}
		id = string(found)
		return nil
	})
	return id, err
}

// pair is a key of two parts. The length in front keeps ("a", "bc") from
// ("ab", "c"), and all keys with one first part together.
func pair(first, second string) []byte {
	return append(prefix(first), second...)
}

func prefix(first string) []byte {
	key := binary.AppendUvarint(make([]byte, 0, len(first)+64), uint64(len(first)))
	return append(key, first...)
}

// seconds calls each with the second part of every key that has the first one.
// What each changes must not be this bucket.
func seconds(tx *bbolt.Tx, bucket []byte, first string, each func(second string) error) error {
	start := prefix(first)
	c := tx.Bucket(bucket).Cursor()
	for key, _ := c.Seek(start); bytes.HasPrefix(key, start); key, _ = c.Next() {
		if err := each(string(key[len(start):])); err != nil {
			return err
		}
	}
	return nil
}

// Users implements iam.Store.
func (s *Store) Users(_ context.Context, workspace string) (users []iam.User, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		users, err = usersOf(tx, workspace)
		return err
	})
	slices.SortFunc(users, iam.ByUsername)
	return users, err
}

func usersOf(tx *bbolt.Tx, workspace string) (users []iam.User, err error) {
	err = seconds(tx, bucketMembers, workspace, func(id string) error {
		u, err := get(tx, bucketUsers, "user", id, decodeUser)
		users = append(users, u)
		return err
	})
	return users, err
}

// Workspaces implements iam.Store.
func (s *Store) Workspaces(context.Context) (workspaces []iam.Workspace, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		return walk(tx, bucketWorkspaces, "workspace", decodeWorkspace, func(w iam.Workspace) error {
			workspaces = append(workspaces, w) // keys come in order
			return nil
		})
	})
	return workspaces, err
}

// APIKeys implements iam.Store.
func (s *Store) APIKeys(_ context.Context, userID string) (keys []iam.APIKey, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		return seconds(tx, bucketUserKeys, userID, func(hash string) error {
			k, err := get(tx, bucketKeys, "API key", hash, decodeKey)
			keys = append(keys, k)
			return err
		})
	})
	slices.SortFunc(keys, iam.ByCreation)
	return keys, err
}

// SigningKeys implements iam.Store.
func (s *Store) SigningKeys(context.Context) (keys []iam.SigningKey, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		keys, err = signingKeys(tx)
		return err
	})
	return keys, err
}

// signingKeys lists them newest first.
func signingKeys(tx *bbolt.Tx) (keys []iam.SigningKey, err error) {
	err = walk(tx, bucketSigning, "signing key", decodeSigningKey, func(k iam.SigningKey) error {
		keys = append(keys, k)
		return nil
	})
	slices.SortFunc(keys, iam.NewestFirst)
	return keys, err
}
