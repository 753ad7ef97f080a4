package cassandra

import (
	"context"
	"errors"

	"sluice/iam"
)

// CreateWorkspace implements iam.Store. Two rows of one name may be equal in every
// column: only the lease tells whose a row is when the insert's reply was lost.
func (s *Store) CreateWorkspace(ctx context.Context, w iam.Workspace) error {
	return s.exclusively(ctx, func(ctx context.Context) error {
		_, err := s.workspace(ctx, s.serial, w.ID)
		if err == nil {
			return iam.ErrExists
		}
		if !errors.Is(err, iam.ErrNotFound) {
			return err
		}
		won, err := s.insertWorkspace(ctx, &w)
		if err == nil && !won {
			return iam.ErrExists
		}
		return err
	})
}

// insertWorkspace is for holders of the lease who have seen that there is none.
func (s *Store) insertWorkspace(ctx context.Context, w *iam.Workspace) (bool, error) {
	return s.won(ctx, func() (bool, error) {
		stored, err := s.workspace(ctx, s.serial, w.ID)
		if errors.Is(err, iam.ErrNotFound) {
			return false, nil
		}
		return err == nil && stored == *w, err
	}, `INSERT INTO iam_workspaces (`+workspaceColumns+`) VALUES (?, ?, ?, ?) IF NOT EXISTS`, workspaceRow(w)...)
}

// UpdateWorkspace implements iam.Store.
func (s *Store) UpdateWorkspace(ctx context.Context, id string, c iam.WorkspaceChange) (iam.Workspace, error) {
	if c.Enabled == nil || *c.Enabled {
		return s.writeWorkspace(ctx, id, c)
	}
	var out iam.Workspace
	err := s.exclusively(ctx, func(ctx context.Context) error {
		err := s.dispensable(ctx, id)
		if err == nil {
			out, err = s.writeWorkspace(ctx, id, c)
		}
		return err
	})
	return out, err
}

func (s *Store) writeWorkspace(ctx context.Context, id string, c iam.WorkspaceChange) (iam.Workspace, error) {
	set := columns(assign("name", c.Name), assign("enabled", c.Enabled))
	if err := s.update(ctx, "iam_workspaces", id, isWorkspace, set); err != nil {
		return iam.Workspace{}, err
	}
	return s.workspace(ctx, s.serial, id)
}

// DisableWorkspace implements iam.Store. The workspace comes first: from then on
// nobody in it can act. Cut off, it can be repeated.
func (s *Store) DisableWorkspace(ctx context.Context, id string) error {
	return s.exclusively(ctx, func(ctx context.Context) error {
		if err := s.dispensable(ctx, id); err != nil {
			return err
		}
		if err := s.update(ctx, "iam_workspaces", id, isWorkspace, []assignment{{"enabled", false}}); err != nil {
			return err
		}
		users, err := s.Users(ctx, id)
		if err != nil {
			return err
		}
		return parallel(ctx, users, func(ctx context.Context, u iam.User) error {
			err := s.disable(ctx, u.ID)
			if errors.Is(err, iam.ErrNotFound) {
				return nil // the reference deleted it
			}
			if err != nil {
				return err
			}
			return s.dropKeys(ctx, u.ID)
		})
	})
}
