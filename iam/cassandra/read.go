package cassandra

import (
	"context"
	"slices"
	"strings"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"sluice/iam"
)

// User implements iam.Store.
func (s *Store) User(ctx context.Context, id string) (iam.User, error) {
	return s.user(ctx, s.quorum, id)
}

// user reads at the level s.quorum, or at s.serial, which sees what became of
// writes whose outcome nobody was told.
func (s *Store) user(ctx context.Context, level gocql.Consistency, id string) (iam.User, error) {
	return lookup(ctx, s, level, scanUser, `SELECT `+userColumns+` FROM iam_users WHERE id = ?`, id)
}

func lookup[T any](ctx context.Context, s *Store, level gocql.Consistency, decode func(scan) (T, error), text, key string) (T, error) {
	if !isKey(key) {
		var none T
		return none, iam.ErrNotFound
	}
	return one(ctx, s, level, decode, text, key)
}

func one[T any](ctx context.Context, s *Store, level gocql.Consistency, decode func(scan) (T, error), text string, args ...any) (T, error) {
	read := func(ctx context.Context) (T, error) { return first(rows(ctx, s, level, decode, text, args...)) }
	if level == s.serial {
		return patiently(ctx, s, read)
	}
	return read(ctx)
}

// Workspace implements iam.Store.
func (s *Store) Workspace(ctx context.Context, id string) (iam.Workspace, error) {
	return s.workspace(ctx, s.quorum, id)
}

func (s *Store) workspace(ctx context.Context, level gocql.Consistency, id string) (iam.Workspace, error) {
	return lookup(ctx, s, level, scanWorkspace, `SELECT `+workspaceColumns+` FROM iam_workspaces WHERE id = ?`, id)
}

// APIKey implements iam.Store.
func (s *Store) APIKey(ctx context.Context, hash string) (iam.APIKey, error) {
	return s.apiKey(ctx, s.quorum, hash)
}

func (s *Store) apiKey(ctx context.Context, level gocql.Consistency, hash string) (iam.APIKey, error) {
	return lookup(ctx, s, level, scanKey, `SELECT `+keyColumns+` FROM iam_api_keys WHERE key_hash = ?`, hash)
}

// APIKeyByID implements iam.Store.
func (s *Store) APIKeyByID(ctx context.Context, id string) (iam.APIKey, error) {
	return lookup(ctx, s, s.quorum, scanKey, `SELECT `+keyColumns+` FROM iam_api_keys WHERE id = ?`, id)
}

// UserID implements iam.Store. A name that leads to nobody is free.
func (s *Store) UserID(ctx context.Context, workspace, username string) (string, error) {
	id, err := s.holder(ctx, s.quorum, workspace, username)
	if err != nil {
		return "", err
	}
	if _, err := s.User(ctx, id); err != nil {
		return "", err
	}
	return id, nil
}

// holder is the user id that a name leads to, whether there is such a user or not.
func (s *Store) holder(ctx context.Context, level gocql.Consistency, workspace, username string) (string, error) {
	if !isKey(workspace) || !isKey(username) {
		return "", iam.ErrNotFound
	}
	return one(ctx, s, level, scanText,
		`SELECT user_id FROM iam_users_by_username WHERE workspace = ? AND username = ?`, workspace, username)
}

// Users implements iam.Store. There is no index: all users are read, as the
// reference does it.
func (s *Store) Users(ctx context.Context, workspace string) ([]iam.User, error) {
	return sorted(rows(ctx, s, s.quorum, scanUser,
		`SELECT `+userColumns+` FROM iam_users WHERE workspace = ? ALLOW FILTERING`, workspace),
		iam.ByUsername)
}

// Workspaces implements iam.Store.
func (s *Store) Workspaces(ctx context.Context) ([]iam.Workspace, error) {
	return sorted(rows(ctx, s, s.quorum, scanWorkspace, `SELECT `+workspaceColumns+` FROM iam_workspaces`),
		func(a, b iam.Workspace) int { return strings.Compare(a.ID, b.ID) })
}

// APIKeys implements iam.Store.
func (s *Store) APIKeys(ctx context.Context, userID string) ([]iam.APIKey, error) {
	if !isKey(userID) {
		return nil, nil
	}
	return sorted(rows(ctx, s, s.quorum, scanKey, `SELECT `+keyColumns+` FROM iam_api_keys WHERE user_id = ?`, userID),
		iam.ByCreation)
}

// SigningKeys implements iam.Store.
func (s *Store) SigningKeys(ctx context.Context) ([]iam.SigningKey, error) {
	return sorted(rows(ctx, s, s.quorum, scanSigningKey, `SELECT `+signingKeyColumns+` FROM iam_signing_keys`), iam.NewestFirst)
}

// sorted puts rows, which come in the order of their keys' hashes, into one that
// callers can rely on.
func sorted[T any](from func(func(T, error) bool), order func(a, b T) int) ([]T, error) {
	out, err := all(from)
	slices.SortFunc(out, order)
	return out, err
}
