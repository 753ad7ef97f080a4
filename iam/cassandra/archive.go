package cassandra

import (
	"cmp"
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
	err := s.exportUsers(ctx, each)
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

// exportUsers begins with those to whom their names lead: of several users of one
// name, which the reference allows, an import gives it to the first.
func (s *Store) exportUsers(ctx context.Context, each func(record any) error) error {
	owners := make(map[userName]string)
	for u, err := range rows(ctx, s, s.quorum, scanName, `SELECT workspace, username, user_id FROM iam_users_by_username`) {
		if err != nil {
			return err
		}
		owners[nameOf(&u)] = u.ID
	}
	var others []iam.User
	for u, err := range rows(ctx, s, s.quorum, scanUser, `SELECT `+userColumns+` FROM iam_users`) {
		if err != nil {
			return err
		}
		if owners[nameOf(&u)] != u.ID {
			others = append(others, u)
			continue
		}
		if err := each(&u); err != nil {
			return err
		}
	}
	for _, u := range others {
		if err := each(&u); err != nil {
			return err
		}
	}
	return nil
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

// errLeftovers is joined to the failure of an import that could not be undone.
var errLeftovers = errors.New("records of this import may remain: drop the keyspace before the next attempt")

// Import implements iam.Archive. A failure, or the end of ctx, is undone; where
// that fails too, the error says what to do. An import that is cut off, with no
// chance to undo anything, leaves a keyspace that holds something and no workspace:
// it must be dropped before the next attempt.
func (s *Store) Import(ctx context.Context, records iter.Seq2[any, error]) error {
	a, err := gather(records)
	if err != nil {
		return err
	}
	var left error
	// The end of ctx is for between two records: a write that is given up may come
	// through after it was undone.
	err = s.leased(ctx, context.WithoutCancel(ctx), func(work context.Context) error {
		if err := s.mustBeEmpty(work); err != nil {
			return err
		}
		err := s.insertAll(ctx, work, a)
		if err != nil {
			left = s.undo(work, a, err)
		}
		return err
	})
	if left != nil {
		return fmt.Errorf("%w; %w", err, left)
	}
	return err
}

// undo removes what an import wrote that failed with err. It takes the time that
// it takes: each statement has its limit, and all end when the lease is lost.
func (s *Store) undo(ctx context.Context, a *cargo, err error) error {
	if left := s.removeAll(ctx, a); left != nil {
		return fmt.Errorf("%w (%w)", errLeftovers, left)
	}
	if errors.Is(err, ErrUnavailable) {
		return errLeftovers // a write may still be under way in the cluster
	}
	return nil
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

// userName is what a user logs in with. It leads to one user only.
type userName struct{ workspace, username string }

func nameOf(u *iam.User) userName { return userName{u.Workspace, u.Username} }

// cargo is what is to be imported, of every identity the last record.
type cargo struct {
	users       map[string]iam.User
	owners      map[userName]iam.User // the first of each
	keys        map[string]iam.APIKey
	signingKeys map[string]iam.SigningKey
	workspaces  map[string]iam.Workspace
}

// gather reads all records before any is written: the last one may be bad.
func gather(records iter.Seq2[any, error]) (*cargo, error) {
	a := &cargo{
		users: map[string]iam.User{}, owners: map[userName]iam.User{}, keys: map[string]iam.APIKey{},
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
		if _, taken := a.owners[nameOf(r)]; !taken {
			a.owners[nameOf(r)] = *r
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

// insertAll writes workspaces last: they tell a deployment that has begun. It
// begins nothing after the end of ctx; work is for what has begun.
func (s *Store) insertAll(ctx, work context.Context, a *cargo) error {
	err := parallel(ctx, slices.Collect(maps.Values(a.owners)), func(_ context.Context, u iam.User) error {
		return s.claim(work, &u, 0)
	})
	if err == nil {
		err = insertEach(ctx, work, a.users, s.insertUser)
	}
	if err == nil {
		err = insertEach(ctx, work, a.keys, s.insertKey)
	}
	if err == nil {
		err = insertEach(ctx, work, a.signingKeys, func(ctx context.Context, k *iam.SigningKey) (bool, error) {
			return true, s.insertSigningKey(ctx, k)
		})
	}
	if err == nil {
		err = insertEach(ctx, work, a.workspaces, s.insertWorkspace)
	}
	return err
}

// insertEach fails with iam.ErrExists when somebody has written such a row.
func insertEach[T any](ctx, work context.Context, records map[string]T, insert func(context.Context, *T) (bool, error)) error {
	return parallel(ctx, slices.Collect(maps.Values(records)), func(_ context.Context, v T) error {
		won, err := insert(work, &v)
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
	return cmp.Or( // after all of them
		drop("iam_workspaces", "id", slices.Collect(maps.Keys(a.workspaces))),
		drop("iam_signing_keys", "kid", slices.Collect(maps.Keys(a.signingKeys))),
		drop("iam_api_keys", "key_hash", slices.Collect(maps.Keys(a.keys))),
		drop("iam_users", "id", slices.Collect(maps.Keys(a.users))),
		parallel(ctx, slices.Collect(maps.Values(a.owners)), func(ctx context.Context, u iam.User) error { return s.unclaim(ctx, &u) }),
	)
}
