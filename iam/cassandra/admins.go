package cassandra

import (
	"context"
	"errors"

	"sluice/iam"
)

// What follows runs under the lease, and so does everything that might take an
// administrator away: an administrator that is seen here stays one meanwhile.
// What adds administrators needs no lease.

// expendable returns a user unless it is the only administrator who can act.
func (s *Store) expendable(ctx context.Context, id string) (iam.User, error) {
	u, err := s.user(ctx, s.serial, id)
	if err != nil || !u.Administers() {
		return u, err
	}
	return u, s.keepAdmin(ctx, func(other *iam.User) bool { return other.ID == id })
}

// dispensable fails with iam.ErrNotFound, or with iam.ErrLastAdmin when all
// administrators who can act are in the workspace.
func (s *Store) dispensable(ctx context.Context, workspace string) error {
	if _, err := s.workspace(ctx, s.serial, workspace); err != nil {
		return err
	}
	return s.keepAdmin(ctx, func(u *iam.User) bool { return u.Workspace == workspace })
}

// keepAdmin fails with iam.ErrLastAdmin when all administrators who can act are
// among those that leave. It reads users until it finds one who stays.
func (s *Store) keepAdmin(ctx context.Context, leaves func(*iam.User) bool) error {
	losing := false
	for u, err := range rows(ctx, s, s.quorum, scanUser, `SELECT `+userColumns+` FROM iam_users`) {
		if err != nil {
			return err
		}
		acts, err := s.acts(ctx, &u)
		switch {
		case err != nil:
			return err
		case !acts:
		case !leaves(&u):
			return nil
		default:
			losing = true
		}
	}
	if losing {
		return iam.ErrLastAdmin
	}
	return nil
}

// acts reports whether u is an administrator whom nothing keeps from acting. It
// looks again, because a write that was given up may still be under way in what
// was read first.
func (s *Store) acts(ctx context.Context, u *iam.User) (bool, error) {
	if !u.Administers() {
		return false, nil
	}
	now, err := s.user(ctx, s.serial, u.ID)
	if errors.Is(err, iam.ErrNotFound) {
		return false, nil
	}
	if err != nil || !now.Administers() {
		return false, err
	}
	w, err := s.workspace(ctx, s.serial, now.Workspace)
	if errors.Is(err, iam.ErrNotFound) {
		return false, nil
	}
	return w.Enabled, err
}
