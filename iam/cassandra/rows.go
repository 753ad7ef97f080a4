package cassandra

import (
	"context"
	"errors"
	"iter"
	"strings"
	"time"
	"unicode/utf8"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"sluice/iam"
)

// The columns of each table, in the order that the functions below take them.
const (
	userColumns       = `id, workspace, username, name, email, password_hash, roles, enabled, must_change_password, created`
	workspaceColumns  = `id, name, enabled, created`
	keyColumns        = `key_hash, id, user_id, name, prefix, expires, created, last_used`
	signingKeyColumns = `kid, private_pem, public_pem, created, retired`
)

// scan copies the columns of a row. Null leaves the zero value.
type scan func(columns ...any) error

// scanUser takes a row without a workspace for none: an update of the reference
// that met a deletion leaves such a thing, and so does evict.
func scanUser(row scan) (iam.User, error) {
	var u iam.User
	var workspace *string
	err := row(&u.ID, &workspace, &u.Username, &u.Name, &u.Email, &u.PasswordHash, &u.Roles,
		&u.Enabled, &u.MustChangePassword, &u.Created)
	if err == nil && workspace == nil {
		return iam.User{}, iam.ErrNotFound
	}
	if err == nil {
		u.Workspace = *workspace
	}
	return u, err
}

// scanName takes a row of iam_users_by_username.
func scanName(row scan) (u iam.User, err error) {
	return u, row(&u.Workspace, &u.Username, &u.ID)
}

func userRow(u *iam.User) []any {
	return []any{
		u.ID, u.Workspace, u.Username, u.Name, u.Email, u.PasswordHash, u.Roles,
		u.Enabled, u.MustChangePassword, timestamp(u.Created),
	}
}

func scanWorkspace(row scan) (w iam.Workspace, err error) {
	return w, row(&w.ID, &w.Name, &w.Enabled, &w.Created)
}

func workspaceRow(w *iam.Workspace) []any {
	return []any{w.ID, w.Name, w.Enabled, timestamp(w.Created)}
}

func scanKey(row scan) (k iam.APIKey, err error) {
	var expires *time.Time
	err = row(&k.Hash, &k.ID, &k.UserID, &k.Name, &k.Prefix, &expires, &k.Created, &k.LastUsed)
	if expires != nil { // null is for never
		k.Expires = iam.Expiry(*expires)
	}
	return k, err
}

func keyRow(k *iam.APIKey) []any {
	return []any{
		k.Hash, k.ID, k.UserID, k.Name, k.Prefix,
		timestamp(k.Expires), timestamp(k.Created), timestamp(k.LastUsed),
	}
}

func scanSigningKey(row scan) (k iam.SigningKey, err error) {
	return k, row(&k.KID, &k.PrivatePEM, &k.PublicPEM, &k.Created, &k.Retired)
}

func signingKeyRow(k *iam.SigningKey) []any {
	return []any{k.KID, k.PrivatePEM, k.PublicPEM, timestamp(k.Created), timestamp(k.Retired)}
}

func scanText(row scan) (text string, err error) { return text, row(&text) }

// timestamp is null for the zero time, of which the driver would make an empty
// value that is no null.
func timestamp(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t
}

// maxKeyBytes is what Cassandra allows for a key.
const maxKeyBytes = 65535

// isKey reports whether there can be a row with this key: of others Cassandra
// does not say that there is none, but refuses to look.
func isKey(text string) bool {
	return text != "" && len(text) <= maxKeyBytes && utf8.ValidString(text)
}

// statement makes a query of text, in which names of tables are what begins with
// iam_.
func (s *Store) statement(text string, args ...any) (*gocql.Query, error) {
	session, err := s.use()
	if err != nil {
		return nil, err
	}
	return session.Query(strings.Replace(text, "iam_", `"`+s.o.Keyspace+`".iam_`, 1), args...), nil
}

// What reads may be asked of other nodes too, when the first fails or says nothing.
var (
	readAgain = &gocql.SimpleRetryPolicy{NumRetries: 1}
	readAside = &gocql.SimpleSpeculativeExecution{NumAttempts: 1, TimeoutDelay: silence}
)

// reading makes a query of one that only reads.
func reading(query *gocql.Query) *gocql.Query {
	return query.Idempotent(true).RetryPolicy(readAgain).SetSpeculativeExecutionPolicy(readAside)
}

// rows are the rows of a query, page after page, without those that count as not
// there.
func rows[T any](ctx context.Context, s *Store, level gocql.Consistency, decode func(scan) (T, error), text string, args ...any) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		query, err := s.statement(text, args...)
		if err != nil {
			yield(none, err)
			return
		}
		pages := reading(query).Consistency(level).IterContext(ctx)
		defer func() { _ = pages.Close() }() // what fails is in Err
		for row := pages.Scanner(); ; {
			if !row.Next() {
				if err := row.Err(); err != nil {
					yield(none, failure(err))
				}
				return
			}
			v, err := decode(row.Scan)
			if errors.Is(err, iam.ErrNotFound) {
				continue
			}
			if !yield(v, failure(err)) || err != nil {
				return
			}
		}
	}
}

// first is the first of some rows, else iam.ErrNotFound.
func first[T any](from iter.Seq2[T, error]) (T, error) {
	for v, err := range from {
		return v, err
	}
	var none T
	return none, iam.ErrNotFound
}

func all[T any](from iter.Seq2[T, error]) ([]T, error) {
	var out []T
	for v, err := range from {
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}
