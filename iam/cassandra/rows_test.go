package cassandra

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/iam"
)

// TestReadsTheReferencesRows has rows as the reference writes them, nulls and all
// (iam.md section 3.2).
func TestReadsTheReferencesRows(t *testing.T) {
	s := newStore(t)
	b, v := behind{t, s}, readVectors(t)
	hash, key, pair := v.PasswordHash[0].Stored, v.APIKey[0], v.SigningKeys[0]
	b.exec(`INSERT INTO iam_workspaces (id, name, enabled, created) VALUES ('acme', 'Acme', null, '2026-11-21 17:42:33.752+0000')`)
	b.exec(`INSERT INTO iam_users (id, workspace, username, name, email, password_hash, roles, enabled, must_change_password, created)
		VALUES ('u1', 'acme', 'ann', 'Ann', '', ?, {'writer', 'admin'}, true, null, '2026-11-21 17:42:33.752+0000')`, hash)
	b.exec(`INSERT INTO iam_users (id, workspace, username, name, email, password_hash, roles, enabled, must_change_password, created)
		VALUES ('u2', 'acme', 'bob', null, null, null, {}, null, null, null)`)
	b.exec(`INSERT INTO iam_users_by_username (workspace, username, user_id) VALUES ('acme', 'ann', 'u1')`)
	b.exec(`INSERT INTO iam_api_keys (key_hash, id, user_id, name, prefix, expires, created, last_used)
		VALUES (?, 'k', 'u1', 'laptop', ?, null, '2026-11-21 17:42:33.752+0000', null)`, key.Hash, key.Prefix)
	b.exec(`INSERT INTO iam_signing_keys (kid, private_pem, public_pem, created, retired) VALUES (?, ?, ?, '2026-11-21 17:42:33.752+0000', null)`,
		pair.KID, pair.PrivatePEM, pair.PublicPEM)

	w, err := s.Workspace(t.Context(), "acme")
	same(t, w, iam.Workspace{ID: "acme", Name: "Acme", Created: start}, err)
	users, err := s.Users(t.Context(), "acme")
	ann := iam.User{
		ID: "u1", Workspace: "acme", Username: "ann", Name: "Ann", PasswordHash: hash,
		Roles: []string{"admin", "writer"}, Enabled: true, Created: start,
	}
	same(t, users, []iam.User{ann, {ID: "u2", Workspace: "acme", Username: "bob"}}, err)
	id, err := s.UserID(t.Context(), "acme", "ann")
	same(t, id, "u1", err)
	laptop, err := s.APIKeyByID(t.Context(), "k")
	same(t, laptop, iam.APIKey{Hash: key.Hash, ID: "k", UserID: "u1", Name: "laptop", Prefix: key.Prefix, Created: start}, err)
	b.exec(`INSERT INTO iam_api_keys (key_hash, id, user_id, expires) VALUES ('past', 'p', 'u1', '0001-01-01')`)
	past, err := s.APIKey(t.Context(), "past")
	if err != nil || past.Expires.IsZero() || past.Expires.After(start) {
		t.Errorf("a key that expired in the year 1: %+v, %v", past, err)
	}
	signing, err := s.EnsureSigningKey(t.Context(), testSigningKey("new", start.Add(time.Hour)))
	same(t, signing, iam.SigningKey{KID: pair.KID, PrivatePEM: pair.PrivatePEM, PublicPEM: pair.PublicPEM, Created: start}, err)

	// And they can be changed as if they were ours.
	ok(t, s.TouchAPIKeys(t.Context(), []iam.KeyUse{{Hash: key.Hash, At: start}}))
	laptop, err = s.APIKey(t.Context(), key.Hash)
	same(t, laptop.LastUsed, start, err)
	w, err = s.UpdateWorkspace(t.Context(), "acme", iam.WorkspaceChange{Enabled: new(true)})
	same(t, w.Enabled, true, err)
	ok(t, s.SetPassword(t.Context(), "u2", "", "hash", true))
	ok(t, s.DeleteUser(t.Context(), "u2"))
}

// vectors are values that the reference has made.
type vectors struct {
	PasswordHash []struct{ Stored string } `json:"password_hash"`
	APIKey       []struct {
		Hash   string `json:"key_hash"`
		Prefix string
	} `json:"api_key"`
	SigningKeys []struct {
		KID        string
		PrivatePEM string `json:"private_pem"`
		PublicPEM  string `json:"public_pem"`
	} `json:"signing_keys"`
}

func readVectors(t *testing.T) (v vectors) {
	t.Helper()
	text, err := os.ReadFile("../testdata/iam-crypto.json")
	ok(t, err)
	ok(t, json.Unmarshal(text, &v))
	return v
}

func same(t *testing.T, got, wanted any, err error) {
	t.Helper()
	if err != nil || !reflect.DeepEqual(got, wanted) {
		t.Errorf("got\n%+v, %v\nwant\n%+v", got, err, wanted)
	}
}

// TestWritesTheReferencesRows shows what the reference will find.
func TestWritesTheReferencesRows(t *testing.T) {
	s := newStore(t)
	seedStore(t, s)
	ok(t, s.CreateUser(t.Context(), iam.User{ID: "u", Workspace: "default", Username: "u", Created: start}))
	key := testKey("k", "root")
	key.Expires, key.LastUsed = start.Add(time.Hour), start
	ok(t, s.CreateAPIKey(t.Context(), key))
	ok(t, s.RotateSigningKey(t.Context(), testSigningKey("next", start.Add(time.Second))))
	for query, wanted := range map[string]string{
		`SELECT JSON * FROM iam_workspaces`:                                                   `{"id": "default", "created": "2026-11-21 17:42:33.752Z", "enabled": true, "name": "Default"}`,
		`SELECT JSON * FROM iam_users WHERE id = 'root'`:                                      `{"id": "root", "created": "2026-11-21 17:42:33.752Z", "email": "", "enabled": true, "must_change_password": true, "name": "", "password_hash": "hash of root", "roles": ["admin"], "username": "admin", "workspace": "default"}`,
		`SELECT JSON * FROM iam_users WHERE id = 'u'`:                                         `{"id": "u", "created": "2026-11-21 17:42:33.752Z", "email": "", "enabled": false, "must_change_password": false, "name": "", "password_hash": "", "roles": null, "username": "u", "workspace": "default"}`,
		`SELECT JSON * FROM iam_users_by_username WHERE workspace = 'default'`:                `{"workspace": "default", "username": "admin", "user_id": "root"} {"workspace": "default", "username": "u", "user_id": "u"}`,
		`SELECT JSON * FROM iam_api_keys WHERE key_hash = 'hash-key of root'`:                 `{"key_hash": "hash-key of root", "created": "2026-11-21 17:42:33.752Z", "expires": null, "id": "key of root", "last_used": null, "name": "n", "prefix": "tg_abcd", "user_id": "root"}`,
		`SELECT JSON * FROM iam_api_keys WHERE key_hash = 'hash-k'`:                           `{"key_hash": "hash-k", "created": "2026-11-21 17:42:33.752Z", "expires": "2026-11-21 18:42:33.752Z", "id": "k", "last_used": "2026-11-21 17:42:33.752Z", "name": "n", "prefix": "tg_abcd", "user_id": "root"}`,
		`SELECT JSON * FROM iam_signing_keys WHERE kid = 'next'`:                              `{"kid": "next", "created": "2026-11-21 17:42:34.752Z", "private_pem": "private next", "public_pem": "public next", "retired": null}`,
		`SELECT JSON kid, retired FROM iam_signing_keys WHERE kid = 'kid of root'`:            `{"kid": "kid of root", "retired": "2026-11-21 17:42:34.752Z"}`,
		`SELECT JSON * FROM iam_users_by_username WHERE workspace = '` + leaseWorkspace + `'`: ``,
	} {
		var got []string
		for _, row := range (behind{t, s}).rows(query) {
			got = append(got, row["[json]"].(string))
		}
		if text := strings.Join(got, " "); text != wanted {
			t.Errorf("%s:\n%s, want\n%s", query, text, wanted)
		}
	}
}

// TestManyRows is defect D19: lists do not end with the first page, and neither
// does what works through them.
func TestManyRows(t *testing.T) {
	s := newStore(t)
	seedStore(t, s)
	ok(t, createAcme(s, ""))
	const users = 5001
	fill(t, s, users)
	list, err := s.Users(t.Context(), "acme")
	ok(t, err)
	if len(list) != users || list[users-1].Username != fmt.Sprintf("user %04d", users-1) {
		t.Errorf("%d users listed, the last is %+v", len(list), list[len(list)-1])
	}
	ok(t, s.DisableWorkspace(t.Context(), "acme"))
	left, err := s.Users(t.Context(), "acme")
	ok(t, err)
	for _, u := range left {
		if u.Enabled {
			t.Fatalf("%s is still enabled", u.Username)
		}
	}
	if n := (behind{t, s}).count("iam_api_keys"); n != 1 || len(left) != users {
		t.Errorf("%d users and %d keys left", len(left), n)
	}
}

// fill adds users to acme as the reference would, one in a hundred with a key.
func fill(t *testing.T, s *Store, users int) {
	t.Helper()
	next := make(chan int)
	var running sync.WaitGroup
	for range 16 {
		running.Go(func() {
			for i := range next {
				(behind{t, s}).exec(`INSERT INTO iam_users (id, workspace, username, enabled) VALUES (?, 'acme', ?, true)`, fmt.Sprint("u", i), fmt.Sprintf("user %04d", i))
				if i%100 == 0 {
					(behind{t, s}).exec(`INSERT INTO iam_api_keys (key_hash, id, user_id) VALUES (?, ?, ?)`, fmt.Sprint("h", i), fmt.Sprint("k", i), fmt.Sprint("u", i))
				}
			}
		})
	}
	for i := range users {
		next <- i
	}
	close(next)
	running.Wait()
}

// TestNamesakes moves users of one name, which the reference allows: the name goes
// on leading to whom it led.
func TestNamesakes(t *testing.T) {
	for _, owner := range []string{"a", "b", "c"} {
		s := newStore(t)
		b := behind{t, s}
		for _, id := range []string{"a", "b", "c"} {
			b.exec(`INSERT INTO iam_users (id, workspace, username) VALUES (?, 'acme', 'ann')`, id)
		}
		b.exec(`INSERT INTO iam_users_by_username (workspace, username, user_id) VALUES ('acme', 'ann', ?)`, owner)
		var archive bytes.Buffer
		n, err := iam.ExportLines(t.Context(), s, &archive)
		same(t, n, 3, err)
		to := newStore(t)
		_, err = iam.ImportLines(t.Context(), to, &archive)
		ok(t, err)
		id, err := to.UserID(t.Context(), "acme", "ann")
		same(t, id, owner, err)
	}
}

// Cassandra refuses to look for some keys; nobody can be there.
func TestImpossibleKeys(t *testing.T) {
	s := newStore(t)
	for _, key := range []string{"", strings.Repeat("x", 1<<16), "\xff"} {
		_, err := s.User(t.Context(), key)
		want(t, err, iam.ErrNotFound)
		_, err = s.UserID(t.Context(), "acme", key)
		want(t, err, iam.ErrNotFound)
		_, err = s.APIKeyByID(t.Context(), key)
		want(t, err, iam.ErrNotFound)
		want(t, s.SetPassword(t.Context(), key, "", "h", false), iam.ErrNotFound)
		want(t, s.DeleteUser(t.Context(), key), iam.ErrNotFound)
		want(t, s.DeleteAPIKey(t.Context(), key), iam.ErrNotFound)
		ok(t, s.TouchAPIKeys(t.Context(), []iam.KeyUse{{Hash: key, At: start}}))
	}
}
