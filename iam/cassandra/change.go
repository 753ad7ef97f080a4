package cassandra

import (
	"context"
	"slices"
	"strings"

	"sluice/iam"
)

// UpdateUser implements iam.Store.
func (s *Store) UpdateUser(ctx context.Context, id string, c iam.UserChange) (iam.User, error) {
	disables := c.Enabled != nil && !*c.Enabled
	demotes := c.Roles != nil && !slices.Contains(c.Roles, iam.RoleAdmin)
	if !disables && !demotes {
		return s.writeUser(ctx, id, c)
	}
	var out iam.User
	err := s.exclusively(ctx, func(ctx context.Context) error {
		_, err := s.expendable(ctx, id)
		if err == nil {
			out, err = s.writeUser(ctx, id, c)
		}
		return err
	})
	return out, err
}

// writeUser changes columns of a row that is there, and returns the whole.
func (s *Store) writeUser(ctx context.Context, id string, c iam.UserChange) (iam.User, error) {
	set := columns(
		assign("name", c.Name), assign("email", c.Email), assign("enabled", c.Enabled),
		assign("must_change_password", c.MustChangePassword),
	)
	if c.Roles != nil {
		set = append(set, assignment{"roles", c.Roles})
	}
	if err := s.update(ctx, "iam_users", id, isUser, set); err != nil {
		return iam.User{}, err
	}
	return s.user(ctx, s.serial, id)
}

// assignment is what a column is to become.
type assignment struct {
	column string
	value  any
}

func assign[T any](column string, value *T) assignment {
	if value == nil {
		return assignment{}
	}
	return assignment{column, *value}
}

// columns are the assignments that say something.
func columns(all ...assignment) []assignment {
	return slices.DeleteFunc(all, func(a assignment) bool { return a.column == "" })
}

// What tells a row that is there; of users also from one that counts as none.
const (
	isUser      = `workspace != null`
	isWorkspace = `EXISTS`
)

// update changes columns of a row that is there. An ordinary update would make one
// of nothing.
func (s *Store) update(ctx context.Context, table, id, condition string, set []assignment) error {
	if !isKey(id) {
		return iam.ErrNotFound
	}
	if len(set) == 0 {
		return nil
	}
	var names []string
	var args []any
	for _, a := range set {
		names, args = append(names, a.column+" = ?"), append(args, a.value)
	}
	applied, _, err := s.cas(ctx, `UPDATE `+table+` SET `+strings.Join(names, ", ")+` WHERE id = ? IF `+condition, append(args, id)...)
	if err == nil && !applied {
		return iam.ErrNotFound
	}
	return err
}

// DisableUser implements iam.Store. Keys that are made meanwhile are taken back
// by who makes them, because that looks at the owner again; those of a user who is
// enabled again meanwhile stay.
func (s *Store) DisableUser(ctx context.Context, id string) error {
	err := s.exclusively(ctx, func(ctx context.Context) error {
		if _, err := s.expendable(ctx, id); err != nil {
			return err
		}
		return s.disable(ctx, id)
	})
	if err != nil {
		return err
	}
	return s.dropKeys(ctx, id)
}

func (s *Store) disable(ctx context.Context, id string) error {
	return s.update(ctx, "iam_users", id, isUser, []assignment{{"enabled", false}})
}

// DeleteUser implements iam.Store. Cut off, it leaves a disabled user, which can
// be deleted again, or a name that leads to nobody, which is free.
func (s *Store) DeleteUser(ctx context.Context, id string) error {
	return s.exclusively(ctx, func(ctx context.Context) error {
		u, err := s.expendable(ctx, id)
		if err != nil {
			return err
		}
		return s.remove(ctx, &u)
	})
}

// remove deletes a user under the lease, and all that is its own.
func (s *Store) remove(ctx context.Context, u *iam.User) error {
	if err := s.disable(ctx, u.ID); err != nil {
		return err
	}
	if err := s.dropKeys(ctx, u.ID); err != nil {
		return err
	}
	// Nobody else deletes users now: a doubtful deletion was ours.
	applied, doubtful, err := s.cas(ctx, `DELETE FROM iam_users WHERE id = ? IF `+isUser, u.ID)
	switch {
	case err != nil:
		return err
	case !applied && !doubtful:
		return iam.ErrNotFound
	}
	if err := s.unclaim(ctx, u); err != nil {
		return err
	}
	// A key may have been made while the user was enabled once more in between.
	return s.dropKeys(ctx, u.ID)
}
