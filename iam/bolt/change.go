package bolt

import (
	"context"
	"errors"

	"go.etcd.io/bbolt"

	"sluice/iam"
)

// changeUser reads a user and runs fn on it in one transaction.
func (s *Store) changeUser(id string, fn func(tx *bbolt.Tx, u *iam.User) error) error {
	return s.write(func(tx *bbolt.Tx) error {
		u, err := get(tx, bucketUsers, "user", id, decodeUser)
		if err != nil {
			return err
		}
		return fn(tx, &u)
	})
}

// UpdateUser implements iam.Store.
func (s *Store) UpdateUser(_ context.Context, id string, c iam.UserChange) (out iam.User, err error) {
	err = s.changeUser(id, func(tx *bbolt.Tx, u *iam.User) error {
		out = c.Apply(*u)
		if !out.Administers() {
			if err := keepWithout(tx, u); err != nil {
				return err
			}
		}
		return putUser(tx, &out)
	})
	if err != nil {
		return iam.User{}, err
	}
	return out, nil
}

// DisableUser implements iam.Store.
func (s *Store) DisableUser(_ context.Context, id string) error {
	return s.changeUser(id, func(tx *bbolt.Tx, u *iam.User) error {
		if err := keepWithout(tx, u); err != nil {
			return err
		}
		return disable(tx, u)
	})
}

func disable(tx *bbolt.Tx, u *iam.User) error {
	u.Enabled = false
	if err := putUser(tx, u); err != nil {
		return err
	}
	return dropKeysOf(tx, u.ID)
}

func dropKeysOf(tx *bbolt.Tx, userID string) error {
	var keys []iam.APIKey
	err := seconds(tx, bucketUserKeys, userID, func(hash string) error {
		k, err := get(tx, bucketKeys, "API key", hash, decodeKey)
		keys = append(keys, k)
		return err
	})
	for i := range keys {
		err = errors.Join(err, dropKey(tx, &keys[i]))
	}
	return err
}

// DeleteUser implements iam.Store.
func (s *Store) DeleteUser(_ context.Context, id string) error {
	return s.changeUser(id, func(tx *bbolt.Tx, u *iam.User) error {
		if err := keepWithout(tx, u); err != nil {
			return err
		}
		if err := dropKeysOf(tx, id); err != nil {
			return err
		}
		names, name := tx.Bucket(bucketNames), pair(u.Workspace, u.Username)
		if string(names.Get(name)) == id {
			if err := names.Delete(name); err != nil {
				return err
			}
		}
		return errors.Join(
			tx.Bucket(bucketMembers).Delete(pair(u.Workspace, id)),
			tx.Bucket(bucketUsers).Delete([]byte(id)),
		)
	})
}

// SetPassword implements iam.Store.
func (s *Store) SetPassword(_ context.Context, userID, was, hash string, mustChange bool) error {
	return s.changeUser(userID, func(tx *bbolt.Tx, u *iam.User) error {
		if was != "" && was != u.PasswordHash {
			return iam.ErrChanged
		}
		u.PasswordHash, u.MustChangePassword = hash, mustChange
		return putUser(tx, u)
	})
}

// UpdateWorkspace implements iam.Store.
func (s *Store) UpdateWorkspace(_ context.Context, id string, c iam.WorkspaceChange) (out iam.Workspace, err error) {
	err = s.write(func(tx *bbolt.Tx) error {
		w, err := get(tx, bucketWorkspaces, "workspace", id, decodeWorkspace)
		if err != nil {
			return err
		}
		out = c.Apply(w)
		if !out.Enabled {
			if err := keepAdmin(tx, isMember(id)); err != nil {
				return err
			}
		}
		return putWorkspace(tx, &out)
	})
	if err != nil {
		return iam.Workspace{}, err
	}
	return out, nil
}

// DisableWorkspace implements iam.Store.
func (s *Store) DisableWorkspace(_ context.Context, id string) error {
	return s.write(func(tx *bbolt.Tx) error {
		w, err := get(tx, bucketWorkspaces, "workspace", id, decodeWorkspace)
		if err != nil {
			return err
		}
		if err := keepAdmin(tx, isMember(id)); err != nil {
			return err
		}
		w.Enabled = false
		if err := putWorkspace(tx, &w); err != nil {
			return err
		}
		users, err := usersOf(tx, id)
		for i := range users {
			err = errors.Join(err, disable(tx, &users[i]))
		}
		return err
	})
}

// keepWithout fails with iam.ErrLastAdmin when u is the only administrator who
// can act.
func keepWithout(tx *bbolt.Tx, u *iam.User) error {
	if !u.Administers() {
		return nil
	}
	return keepAdmin(tx, func(other *iam.User) bool { return other.ID == u.ID })
}

func isMember(workspace string) func(*iam.User) bool {
	return func(u *iam.User) bool { return u.Workspace == workspace }
}

// errFound ends a walk.
var errFound = errors.New("found")

// keepAdmin fails with iam.ErrLastAdmin when all administrators who can act are
// among those that leave. It may read all users, but only where an administrator
// might go.
func keepAdmin(tx *bbolt.Tx, leaves func(*iam.User) bool) error {
	losing := false
	err := walk(tx, bucketUsers, "user", decodeUser, func(u iam.User) error {
		switch {
		case !u.Administers() || !workspaceEnabled(tx, u.Workspace):
		case leaves(&u):
			losing = true
		default:
			return errFound
		}
		return nil
	})
	switch {
	case errors.Is(err, errFound):
		return nil
	case err == nil && losing:
		return iam.ErrLastAdmin
	}
	return err
}

func workspaceEnabled(tx *bbolt.Tx, id string) bool {
	w, err := get(tx, bucketWorkspaces, "workspace", id, decodeWorkspace)
	return err == nil && w.Enabled
}
