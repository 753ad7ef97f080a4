package cassandra

import (
	"context"
	"errors"

	"sluice/iam"
)

// seedingName is the name, of nobody's like the lease, that leads to the
// administrator of a seeding under way.
const seedingName = "seeding"

// Seed implements iam.Store. The lease lets one process at a time try; the
// workspace, written last, is the commit mark, and decides even if a process slept
// through its lease. What a seeding left that was cut off before is removed first,
// and nothing else is: users without a workspace may be another service's, which
// gets its workspaces later (v2.8.md section 15.1).
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
		if err != nil {
			return err
		}
		if !won {
			if err := s.remove(ctx, &seed.Admin); err != nil {
				return err
			}
			err = iam.ErrExists
		}
		// A mark that stays is of no effect beside a workspace.
		if left := s.unclaim(ctx, seedingBy(seed.Admin.ID)); left != nil {
			s.log.Warn("Cassandra store: the mark of a seeding stays", "error", left)
		}
		return err
	})
}

func seedingBy(id string) *iam.User {
	return &iam.User{Workspace: leaseWorkspace, Username: seedingName, ID: id}
}

// mustBeUnseeded fails with iam.ErrExists when there is a workspace. The commit
// mark of a seeding that ended without an answer may have to be looked for.
func (s *Store) mustBeUnseeded(ctx context.Context, id string) error {
	_, err := s.workspace(ctx, s.serial, id)
	if errors.Is(err, iam.ErrNotFound) {
		_, err = first(rows(ctx, s, s.quorum, scanText, `SELECT id FROM iam_workspaces LIMIT 1`))
	}
	return absent(err)
}

func (s *Store) prepareSeed(ctx context.Context, seed *iam.Seed) error {
	// No patience: under the lease, a name that leads to nobody was left behind.
	if err := s.claim(ctx, seedingBy(seed.Admin.ID), 0); err != nil {
		return err
	}
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

// clear removes what an earlier seeding left: its administrator, and in token mode
// the key with that hash, which has no other owner where there are no users.
func (s *Store) clear(ctx context.Context, seed *iam.Seed) error {
	id, err := s.holder(ctx, s.serial, leaseWorkspace, seedingName)
	if err == nil {
		err = s.clearUser(ctx, id)
	}
	if err != nil && !errors.Is(err, iam.ErrNotFound) {
		return err
	}
	if err := s.mustHaveNoUsers(ctx); err != nil {
		return err
	}
	_, _, err = s.cas(ctx, `DELETE FROM iam_api_keys WHERE key_hash = ? IF EXISTS`, seed.Key.Hash)
	return err
}

// clearUser removes a user, and then the mark by which it was found.
func (s *Store) clearUser(ctx context.Context, id string) error {
	u, err := s.user(ctx, s.serial, id)
	if err == nil {
		err = s.remove(ctx, &u)
	}
	if err != nil && !errors.Is(err, iam.ErrNotFound) {
		return err
	}
	return s.unclaim(ctx, seedingBy(id))
}

func (s *Store) mustHaveNoUsers(ctx context.Context) error {
	_, err := first(rows(ctx, s, s.quorum, scanUser, `SELECT `+userColumns+` FROM iam_users`))
	if err == nil {
		s.log.Warn("Cassandra store not seeded: it has users, though no workspace", "keyspace", s.o.Keyspace)
	}
	return absent(err)
}
