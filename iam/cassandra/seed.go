package cassandra

import (
	"context"
	"errors"

	"sluice/iam"
)

// Seed implements iam.Store. The lease lets one process at a time try; the
// workspace, written last, is the commit mark, and decides even if a process slept
// through its lease. What a seeding left that was cut off before is removed first.
func (s *Store) Seed(ctx context.Context, seed iam.Seed) error {
	return s.exclusively(ctx, func(ctx context.Context) error {
		if err := s.mustBeUnseeded(ctx, seed.Workspace.ID); err != nil {
			return err
		}
		if err := s.clear(ctx, &seed); err != nil {
			return err
		}
		if err := s.prepareSeed(ctx, &seed); err != nil {
			return err
		}
		won, err := s.insertWorkspace(ctx, &seed.Workspace)
		if err != nil || won {
			return err
		}
		if err := s.remove(ctx, &seed.Admin); err != nil {
			return err
		}
		return iam.ErrExists
	})
}

// mustBeUnseeded fails with iam.ErrExists when there is a workspace. The commit
// mark of a seeding that ended without an answer may have to be looked for.
func (s *Store) mustBeUnseeded(ctx context.Context, id string) error {
	_, err := s.workspace(ctx, s.serial, id)
	if errors.Is(err, iam.ErrNotFound) {
		_, err = first(rows(ctx, s, s.quorum, scanText, `SELECT id FROM iam_workspaces LIMIT 1`))
	}
	switch {
	case err == nil:
		return iam.ErrExists
	case errors.Is(err, iam.ErrNotFound):
		return nil
	}
	return err
}

func (s *Store) prepareSeed(ctx context.Context, seed *iam.Seed) error {
	// No patience: under the lease, a name that leads to nobody was left behind.
	if err := s.createUser(ctx, seed.Admin, 0); err != nil {
		return err
	}
	won, err := s.insertKey(ctx, &seed.Key)
	if err == nil && !won {
		err = iam.ErrExists
	}
	if err != nil {
		return err
	}
	_, err = s.EnsureSigningKey(ctx, seed.SigningKey)
	return err
}

// clear removes what an earlier seeding left: administrators of that name, and in
// token mode the key with that hash.
func (s *Store) clear(ctx context.Context, seed *iam.Seed) error {
	users, err := s.Users(ctx, seed.Admin.Workspace)
	if err != nil {
		return err
	}
	for _, u := range users {
		if u.Username == seed.Admin.Username {
			err = s.clearUser(ctx, &u, seed)
		}
		if err != nil {
			return err
		}
	}
	if err := s.clearHolder(ctx, seed); err != nil {
		return err
	}
	_, _, err = s.cas(ctx, `DELETE FROM iam_api_keys WHERE key_hash = ? IF EXISTS`, seed.Key.Hash)
	return err
}

// clearHolder removes the user that the name leads to: its row may have been
// written without an answer, and not be in the list yet.
func (s *Store) clearHolder(ctx context.Context, seed *iam.Seed) error {
	id, err := s.holder(ctx, s.serial, seed.Admin.Workspace, seed.Admin.Username)
	var u iam.User
	if err == nil {
		u, err = s.user(ctx, s.serial, id)
	}
	if errors.Is(err, iam.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.clearUser(ctx, &u, seed)
}

// clearUser removes an administrator whom nobody has used. One who has a password
// of its own is no left-over: then it is the workspaces that were lost.
func (s *Store) clearUser(ctx context.Context, u *iam.User, seed *iam.Seed) error {
	if !u.MustChangePassword && seed.Admin.MustChangePassword {
		return iam.ErrExists
	}
	err := s.remove(ctx, u)
	if errors.Is(err, iam.ErrNotFound) {
		return nil
	}
	return err
}
