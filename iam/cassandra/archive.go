package cassandra

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"

	"sluice/iam"
)

// Export implements iam.Archive. The tables are read one after the other: for
// records of one moment nothing may change meanwhile.
func (s *Store) Export(ctx context.Context, each func(record any) error) error {
	err := export(rows(ctx, s, s.quorum, scanUser, `SELECT `+userColumns+` FROM iam_users`), each)
	if err == nil {
		err = export(rows(ctx, s, s.quorum, scanKey, `SELECT `+keyColumns+` FROM iam_api_keys`), each)
	}
	if err == nil {
		err = export(rows(ctx, s, s.quorum, scanSigningKey, `SELECT `+signingKeyColumns+` FROM iam_signing_keys`), each)
	}
	if err == nil {
		err = export(rows(ctx, s, s.quorum, scanWorkspace, `SELECT `+workspaceColumns+` FROM iam_workspaces`), each)
	}
	return err
}

func export[T any](from iter.Seq2[T, error], each func(record any) error) error {
	for v, err := range from {
		if err != nil {
			return err
		}
		if err := each(&v); err != nil {
			return err
		}
	}
	return nil
}

// Import implements iam.Archive. A failure is undone. An import that is cut off,
// with no chance to undo anything, leaves a keyspace that holds something and no
// workspace: it must be dropped before the next attempt.
func (s *Store) Import(ctx context.Context, records iter.Seq2[any, error]) error {
	a, err := gather(records)
	if err != nil {
		return err
	}
	return s.exclusively(ctx, func(ctx context.Context) error {
		if err := s.mustBeEmpty(ctx); err != nil {
			return err
		}
		if err := s.insertAll(ctx, a); err != nil {
			tidy, cancel := detached(ctx)
			defer cancel()
			return errors.Join(err, s.removeAll(tidy, a))
		}
		return nil
	})
}

// mustBeEmpty fails with iam.ErrExists when there is any record.
func (s *Store) mustBeEmpty(ctx context.Context) error {
	for _, query := range []string{
		`SELECT id FROM iam_workspaces LIMIT 1`, `SELECT id FROM iam_users LIMIT 1`,
		`SELECT key_hash FROM iam_api_keys LIMIT 1`, `SELECT kid FROM iam_signing_keys LIMIT 1`,
	} {
		_, err := first(rows(ctx, s, s.quorum, scanText, query))
		if err == nil {
			return iam.ErrExists
		}
		if !errors.Is(err, iam.ErrNotFound) {
			return err
		}
	}
	for workspace, err := range rows(ctx, s, s.quorum, scanText, `SELECT DISTINCT workspace FROM iam_users_by_username`) {
		if err != nil {
			return err
		}
		if workspace != leaseWorkspace {
			return iam.ErrExists
		}
	}
	return nil
}

// cargo is what is to be imported, of every identity the last record.
type cargo struct {
	users       map[string]iam.User
	owners      map[string]iam.User // by name: the first of each
	keys        map[string]iam.APIKey
	signingKeys map[string]iam.SigningKey
	workspaces  map[string]iam.Workspace
}

// gather reads all records before any is written: the last one may be bad.
func gather(records iter.Seq2[any, error]) (*cargo, error) {
	a := &cargo{
		users: map[string]iam.User{}, owners: map[string]iam.User{}, keys: map[string]iam.APIKey{},
		signingKeys: map[string]iam.SigningKey{}, workspaces: map[string]iam.Workspace{},
	}
	for record, err := range records {
		if err != nil {
			return nil, err
		}
		a.add(record)
	}
	return a, nil
}

func (a *cargo) add(record any) {
	switch r := record.(type) {
	case *iam.User:
		a.users[r.ID] = *r
		name := r.Workspace + "\x00" + r.Username
		if _, taken := a.owners[name]; !taken {
			a.owners[name] = *r
		}
	case *iam.APIKey:
		a.keys[r.Hash] = *r
	case *iam.SigningKey:
		a.signingKeys[r.KID] = *r
	case *iam.Workspace:
		a.workspaces[r.ID] = *r
	default:
		panic(fmt.Sprintf("BUG: a record of type %T", record))
	}
}

// insertAll writes workspaces last: they tell a deployment that has begun.
func (s *Store) insertAll(ctx context.Context, a *cargo) error {
	err := parallel(ctx, slices.Collect(maps.Values(a.owners)), func(ctx context.Context, u iam.User) error {
		return s.claim(ctx, &u, 0)
	})
	if err == nil {
		err = insertEach(ctx, a.users, s.insertUser)
	}
	if err == nil {
		err = insertEach(ctx, a.keys, s.insertKey)
	}
	if err == nil {
		err = insertEach(ctx, a.signingKeys, func(ctx context.Context, k *iam.SigningKey) (bool, error) {
			return true, s.insertSigningKey(ctx, k)
		})
	}
	if err == nil {
		err = insertEach(ctx, a.workspaces, s.insertWorkspace)
	}
	return err
}

// insertEach fails with iam.ErrExists when somebody has written such a row.
func insertEach[T any](ctx context.Context, records map[string]T, insert func(context.Context, *T) (bool, error)) error {
	return parallel(ctx, slices.Collect(maps.Values(records)), func(ctx context.Context, v T) error {
		won, err := insert(ctx, &v)
		if err == nil && !won {
			return iam.ErrExists
		}
		return err
	})
}

// removeAll deletes what insertAll may have written. The store was empty, and the
// lease kept others from filling it.
func (s *Store) removeAll(ctx context.Context, a *cargo) error {
	drop := func(table, key string, ids []string) error {
		return parallel(ctx, ids, func(ctx context.Context, id string) error {
			_, _, err := s.cas(ctx, `DELETE FROM `+table+` WHERE `+key+` = ? IF EXISTS`, id)
			return err
		})
	}
	return errors.Join(
		drop("iam_workspaces", "id", slices.Collect(maps.Keys(a.workspaces))),
		drop("iam_signing_keys", "kid", slices.Collect(maps.Keys(a.signingKeys))),
		drop("iam_api_keys", "key_hash", slices.Collect(maps.Keys(a.keys))),
		drop("iam_users", "id", slices.Collect(maps.Keys(a.users))),
		parallel(ctx, slices.Collect(maps.Values(a.owners)), func(ctx context.Context, u iam.User) error { return s.unclaim(ctx, &u) }),
	)
}
