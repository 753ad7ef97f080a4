// Package storetest is the suite that every iam.Store must pass.
package storetest

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"time"

	"sluice/iam"
)

// Run runs the suite. open returns an empty store that lives as long as the
// test it is given.
func Run(t *testing.T, open func(t *testing.T) iam.Store) {
	for _, c := range []struct {
		name string
		run  func(t *testing.T, s iam.Store)
	}{
		{"empty", testEmpty},
		{"seed", testSeed},
		{"workspaces", testWorkspaces},
		{"users", testUsers},
		{"names", testNames},
		{"update user", testUpdateUser},
		{"passwords", testPasswords},
		{"disable user", testDisableUser},
		{"delete user", testDeleteUser},
		{"disable workspace", testDisableWorkspace},
		{"last administrator", testLastAdmin},
		{"keys", testKeys},
		{"touch", testTouch},
		{"signing keys", testSigningKeys},
		{"records are the caller's", testOwnership},
		{"races", func(t *testing.T, s iam.Store) { Races(t, s) }},
		{"archive", func(t *testing.T, s iam.Store) { testArchive(t, s, open(t)) }},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, open(t)) })
	}
}

// start is when everything here was created; times have milliseconds.
var start = time.Date(2026, 11, 21, 17, 42, 33, 752_000_000, time.UTC)

func ctx() context.Context { return context.Background() }

func want(t *testing.T, got error, wanted error) {
	t.Helper()
	if !errors.Is(got, wanted) {
		t.Errorf("error %v, want %v", got, wanted)
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func same(t *testing.T, got, wanted any) {
	t.Helper()
	if !reflect.DeepEqual(got, wanted) {
		t.Errorf("got\n%+v\nwant\n%+v", got, wanted)
	}
}

func workspace(id string) iam.Workspace {
	return iam.Workspace{ID: id, Name: "Name of " + id, Enabled: true, Created: start}
}

func user(id, workspace, username string, roles ...string) iam.User {
	return iam.User{
		ID: id, Workspace: workspace, Username: username, Name: "N", Email: "e@x", PasswordHash: "hash of " + id,
		Roles: roles, Enabled: true, MustChangePassword: true, Created: start,
	}
}

func key(id, userID string) iam.APIKey {
	return iam.APIKey{Hash: "hash-" + id, ID: id, UserID: userID, Name: "n", Prefix: "tg_abcd", Created: start}
}

func signing(kid string, created time.Time) iam.SigningKey {
	return iam.SigningKey{KID: kid, PrivatePEM: "private " + kid, PublicPEM: "public " + kid, Created: created}
}

// seed fills s: an administrator `root` with key `k0` in `default`, and in `acme`
// the writers `ann` with the keys `k1` and `k2`, and `bob`.
func seed(t *testing.T, s iam.Store) {
	t.Helper()
	ok(t, s.Seed(ctx(), iam.Seed{
		Workspace: workspace("default"), Admin: user("root", "default", "admin", iam.RoleAdmin),
		Key: key("k0", "root"), SigningKey: signing("s0", start),
	}))
	ok(t, s.CreateWorkspace(ctx(), workspace("acme")))
	ok(t, s.CreateUser(ctx(), user("ann", "acme", "ann", "writer")))
	ok(t, s.CreateUser(ctx(), user("bob", "acme", "bob", "writer")))
	ok(t, s.CreateAPIKey(ctx(), key("k1", "ann")))
	ok(t, s.CreateAPIKey(ctx(), key("k2", "ann")))
}

func testEmpty(t *testing.T, s iam.Store) {
	for _, id := range []string{"", "x", "x\x00y", "ü/ "} {
		_, err := s.User(ctx(), id)
		want(t, err, iam.ErrNotFound)
		_, err = s.Workspace(ctx(), id)
		want(t, err, iam.ErrNotFound)
		_, err = s.APIKey(ctx(), id)
		want(t, err, iam.ErrNotFound)
		_, err = s.APIKeyByID(ctx(), id)
		want(t, err, iam.ErrNotFound)
		_, err = s.UserID(ctx(), id, id)
		want(t, err, iam.ErrNotFound)
		_, err = s.UpdateUser(ctx(), id, iam.UserChange{Name: new("x")})
		want(t, err, iam.ErrNotFound)
		_, err = s.UpdateWorkspace(ctx(), id, iam.WorkspaceChange{Name: new("x")})
		want(t, err, iam.ErrNotFound)
		want(t, s.DisableUser(ctx(), id), iam.ErrNotFound)
		want(t, s.DeleteUser(ctx(), id), iam.ErrNotFound)
		want(t, s.DisableWorkspace(ctx(), id), iam.ErrNotFound)
		want(t, s.SetPassword(ctx(), id, "", "h", false), iam.ErrNotFound)
		want(t, s.DeleteAPIKey(ctx(), id), iam.ErrNotFound)
		want(t, s.CreateAPIKey(ctx(), key("k", id)), iam.ErrNotFound)
	}
	checkCounts(t, s, 0, 0, 0, 0)
}

// checkCounts compares how many workspaces, users of `acme`, keys of `ann` and
// signing keys there are.
func checkCounts(t *testing.T, s iam.Store, workspaces, users, keys, signingKeys int) {
	t.Helper()
	w, err := s.Workspaces(ctx())
	ok(t, err)
	u, err := s.Users(ctx(), "acme")
	ok(t, err)
	k, err := s.APIKeys(ctx(), "ann")
	ok(t, err)
	g, err := s.SigningKeys(ctx())
	ok(t, err)
	same(t, []int{len(w), len(u), len(k), len(g)}, []int{workspaces, users, keys, signingKeys})
}

func testSeed(t *testing.T, s iam.Store) {
	seed(t, s)
	u, err := s.User(ctx(), "root")
	ok(t, err)
	same(t, u, user("root", "default", "admin", iam.RoleAdmin))
	k, err := s.APIKey(ctx(), "hash-k0")
	ok(t, err)
	same(t, k, key("k0", "root"))
	id, err := s.UserID(ctx(), "default", "admin")
	ok(t, err)
	same(t, id, "root")
	want(t, s.Seed(ctx(), iam.Seed{
		Workspace: workspace("other"), Admin: user("r2", "other", "admin"), Key: key("x", "r2"), SigningKey: signing("s1", start),
	}), iam.ErrExists)
	_, err = s.User(ctx(), "r2")
	want(t, err, iam.ErrNotFound)
	checkCounts(t, s, 2, 2, 2, 1)
}

func testWorkspaces(t *testing.T, s iam.Store) {
	for _, id := range []string{"b", "a", "ä", "a/b", ""} {
		if id != "" {
			ok(t, s.CreateWorkspace(ctx(), workspace(id)))
		}
	}
	want(t, s.CreateWorkspace(ctx(), workspace("a")), iam.ErrExists)
	list, err := s.Workspaces(ctx())
	ok(t, err)
	same(t, list, []iam.Workspace{workspace("a"), workspace("a/b"), workspace("b"), workspace("ä")})
	w, err := s.UpdateWorkspace(ctx(), "b", iam.WorkspaceChange{Enabled: new(false)})
	ok(t, err)
	changed := workspace("b")
	changed.Enabled = false
	same(t, w, changed)
	w, err = s.UpdateWorkspace(ctx(), "b", iam.WorkspaceChange{Name: new("B")})
	ok(t, err)
	changed.Name = "B"
	same(t, w, changed)
	w, err = s.Workspace(ctx(), "b")
	ok(t, err)
	same(t, w, changed)
}

func testUsers(t *testing.T, s iam.Store) {
	seed(t, s)
	ok(t, s.CreateUser(ctx(), user("zed", "acme", "aaa")))
	ok(t, s.CreateUser(ctx(), user("other", "acm", "eann")))
	list, err := s.Users(ctx(), "acme")
	ok(t, err)
	names := make([]string, len(list))
	for i, u := range list {
		names[i] = u.Username
	}
	same(t, names, []string{"aaa", "ann", "bob"})
	u, err := s.User(ctx(), "zed")
	ok(t, err)
	if len(u.Roles) != 0 || u.Username != "aaa" {
		t.Errorf("user %+v", u)
	}
	minimal := iam.User{ID: "m", Workspace: "acme", Username: "m"}
	ok(t, s.CreateUser(ctx(), minimal))
	u, err = s.User(ctx(), "m")
	ok(t, err)
	same(t, u, minimal)
}

// testNames is defect D11's part of a store: a name is claimed once, and given
// back only by its owner.
func testNames(t *testing.T, s iam.Store) {
	seed(t, s)
	want(t, s.CreateUser(ctx(), user("x", "acme", "ann")), iam.ErrExists)
	_, err := s.User(ctx(), "x")
	want(t, err, iam.ErrNotFound)
	ok(t, s.CreateUser(ctx(), user("x", "acm", "eann")))
	ok(t, s.CreateUser(ctx(), user("y", "acme", "Ann")))
	ok(t, s.DeleteUser(ctx(), "ann"))
	ok(t, s.CreateUser(ctx(), user("ann2", "acme", "ann")))
	id, err := s.UserID(ctx(), "acme", "ann")
	ok(t, err)
	same(t, id, "ann2")
}

func testUpdateUser(t *testing.T, s iam.Store) {
	seed(t, s)
	expected := user("ann", "acme", "ann", "writer")
	for _, c := range []struct {
		change iam.UserChange
		apply  func(*iam.User)
	}{
		{iam.UserChange{}, func(*iam.User) {}},
		{iam.UserChange{Name: new("Ann")}, func(u *iam.User) { u.Name = "Ann" }},
		{iam.UserChange{Email: new("")}, func(u *iam.User) { u.Email = "" }},
		{iam.UserChange{Enabled: new(false), MustChangePassword: new(false)}, func(u *iam.User) { u.Enabled, u.MustChangePassword = false, false }},
		{iam.UserChange{Roles: []string{iam.RoleAdmin, "reader"}}, func(u *iam.User) { u.Roles = []string{iam.RoleAdmin, "reader"} }},
		{iam.UserChange{Enabled: new(true)}, func(u *iam.User) { u.Enabled = true }},
	} {
		c.apply(&expected)
		got, err := s.UpdateUser(ctx(), "ann", c.change)
		ok(t, err)
		same(t, got, expected)
		got, err = s.User(ctx(), "ann")
		ok(t, err)
		same(t, got, expected)
	}
	checkCounts(t, s, 2, 2, 2, 1) // to disable by update keeps the keys
}

func testPasswords(t *testing.T, s iam.Store) {
	seed(t, s)
	want(t, s.SetPassword(ctx(), "ann", "another", "new", false), iam.ErrChanged)
	ok(t, s.SetPassword(ctx(), "ann", "hash of ann", "new", false))
	want(t, s.SetPassword(ctx(), "ann", "hash of ann", "newer", false), iam.ErrChanged)
	expected := user("ann", "acme", "ann", "writer")
	expected.PasswordHash, expected.MustChangePassword = "new", false
	got, err := s.User(ctx(), "ann")
	ok(t, err)
	same(t, got, expected)
	ok(t, s.SetPassword(ctx(), "ann", "", "reset", true))
	expected.PasswordHash, expected.MustChangePassword = "reset", true
	got, err = s.User(ctx(), "ann")
	ok(t, err)
	same(t, got, expected)
}

func testDisableUser(t *testing.T, s iam.Store) {
	seed(t, s)
	ok(t, s.DisableUser(ctx(), "ann"))
	ok(t, s.DisableUser(ctx(), "ann"))
	u, err := s.User(ctx(), "ann")
	ok(t, err)
	if u.Enabled {
		t.Error("still enabled")
	}
	_, err = s.APIKeyByID(ctx(), "k1")
	want(t, err, iam.ErrNotFound)
	want(t, s.CreateAPIKey(ctx(), key("k9", "ann")), iam.ErrDisabled)
	checkCounts(t, s, 2, 2, 0, 1)
	if _, err := s.UpdateUser(ctx(), "ann", iam.UserChange{Enabled: new(true)}); err != nil {
		t.Fatal(err)
	}
	ok(t, s.CreateAPIKey(ctx(), key("k9", "ann")))
	checkCounts(t, s, 2, 2, 1, 1)
}

// testDeleteUser is defect D25 too: nothing brings a deleted user back.
func testDeleteUser(t *testing.T, s iam.Store) {
	seed(t, s)
	ok(t, s.DeleteUser(ctx(), "ann"))
	want(t, s.DeleteUser(ctx(), "ann"), iam.ErrNotFound)
	want(t, s.DisableUser(ctx(), "ann"), iam.ErrNotFound)
	want(t, s.SetPassword(ctx(), "ann", "", "x", false), iam.ErrNotFound)
	_, err := s.UpdateUser(ctx(), "ann", iam.UserChange{Enabled: new(true)})
	want(t, err, iam.ErrNotFound)
	ok(t, s.TouchAPIKeys(ctx(), []iam.KeyUse{{Hash: "hash-k1", At: start}}))
	_, err = s.User(ctx(), "ann")
	want(t, err, iam.ErrNotFound)
	for _, id := range []string{"k1", "k2"} {
		_, err = s.APIKeyByID(ctx(), id)
		want(t, err, iam.ErrNotFound)
		_, err = s.APIKey(ctx(), "hash-"+id)
		want(t, err, iam.ErrNotFound)
	}
	_, err = s.UserID(ctx(), "acme", "ann")
	want(t, err, iam.ErrNotFound)
	checkCounts(t, s, 2, 1, 0, 1)
}

func testDisableWorkspace(t *testing.T, s iam.Store) {
	seed(t, s)
	ok(t, s.CreateUser(ctx(), user("eve", "acm", "e")))
	ok(t, s.DisableWorkspace(ctx(), "acme"))
	ok(t, s.DisableWorkspace(ctx(), "acme"))
	w, err := s.Workspace(ctx(), "acme")
	ok(t, err)
	users, err := s.Users(ctx(), "acme")
	ok(t, err)
	if w.Enabled || len(users) != 2 || users[0].Enabled || users[1].Enabled {
		t.Errorf("workspace %+v, users %+v", w, users)
	}
	checkCounts(t, s, 2, 2, 0, 1)
	if eve, err := s.User(ctx(), "eve"); err != nil || !eve.Enabled {
		t.Errorf("user of another workspace: %+v, %v", eve, err)
	}
	if _, err := s.APIKey(ctx(), "hash-k0"); err != nil {
		t.Errorf("key of another workspace: %v", err)
	}
}

// testLastAdmin is defect D15.
func testLastAdmin(t *testing.T, s iam.Store) {
	seed(t, s)
	lockOut := map[string]func() error{
		"disable": func() error { return s.DisableUser(ctx(), "root") },
		"delete":  func() error { return s.DeleteUser(ctx(), "root") },
		"demote": func() error {
			_, err := s.UpdateUser(ctx(), "root", iam.UserChange{Roles: []string{"writer"}})
			return err
		},
		"update to disabled": func() error {
			_, err := s.UpdateUser(ctx(), "root", iam.UserChange{Enabled: new(false)})
			return err
		},
		"disable workspace": func() error { return s.DisableWorkspace(ctx(), "default") },
		"update workspace": func() error {
			_, err := s.UpdateWorkspace(ctx(), "default", iam.WorkspaceChange{Enabled: new(false)})
			return err
		},
	}
	refused := func(when string) {
		t.Helper()
		for name, f := range lockOut {
			if err := f(); !errors.Is(err, iam.ErrLastAdmin) {
				t.Errorf("%s, %s: error %v", when, name, err)
			}
		}
		u, err := s.User(ctx(), "root")
		ok(t, err)
		w, err := s.Workspace(ctx(), "default")
		ok(t, err)
		if !u.Administers() || !w.Enabled {
			t.Errorf("%s: administrator %+v, workspace %+v", when, u, w)
		}
	}
	refused("alone")
	admin := user("ada", "acme", "ada", iam.RoleAdmin)
	admin.Enabled = false
	ok(t, s.CreateUser(ctx(), admin))
	refused("another is disabled")
	_, err := s.UpdateUser(ctx(), "ada", iam.UserChange{Enabled: new(true)})
	ok(t, err)
	_, err = s.UpdateWorkspace(ctx(), "acme", iam.WorkspaceChange{Enabled: new(false)})
	ok(t, err)
	refused("another is in a disabled workspace")
	ok(t, s.DeleteUser(ctx(), "bob")) // others may still go
	_, err = s.UpdateUser(ctx(), "root", iam.UserChange{Name: new("Root"), Roles: []string{iam.RoleAdmin, "reader"}})
	ok(t, err)
	_, err = s.UpdateWorkspace(ctx(), "acme", iam.WorkspaceChange{Enabled: new(true)})
	ok(t, err)
	ok(t, s.DisableWorkspace(ctx(), "default"))
	want(t, s.DeleteUser(ctx(), "ada"), iam.ErrLastAdmin)
}

func testKeys(t *testing.T, s iam.Store) {
	seed(t, s)
	full := iam.APIKey{
		Hash: "h", ID: "i", UserID: "bob", Name: "n\u00e4me", Prefix: "tg_xxxx", Expires: start.Add(time.Hour),
		Created: start.Add(-time.Millisecond), LastUsed: start.Add(time.Second),
	}
	ok(t, s.CreateAPIKey(ctx(), full))
	got, err := s.APIKeyByID(ctx(), "i")
	ok(t, err)
	same(t, got, full)
	later := key("a", "bob")
	later.Created = start.Add(time.Millisecond)
	later.Expires = time.Time{}.Add(time.Millisecond) // the zero time is no end, the one after it is
	ok(t, s.CreateAPIKey(ctx(), later))
	list, err := s.APIKeys(ctx(), "bob")
	ok(t, err)
	same(t, list, []iam.APIKey{full, later})
	ok(t, s.DeleteAPIKey(ctx(), "h"))
	want(t, s.DeleteAPIKey(ctx(), "h"), iam.ErrNotFound)
	_, err = s.APIKeyByID(ctx(), "i")
	want(t, err, iam.ErrNotFound)
	list, err = s.APIKeys(ctx(), "bob")
	ok(t, err)
	same(t, list, []iam.APIKey{later})
}

func testTouch(t *testing.T, s iam.Store) {
	seed(t, s)
	touch := func(at time.Time, wanted time.Time) {
		t.Helper()
		ok(t, s.TouchAPIKeys(ctx(), []iam.KeyUse{{Hash: "gone", At: at}, {Hash: "hash-k1", At: at}}))
		k, err := s.APIKey(ctx(), "hash-k1")
		ok(t, err)
		expected := key("k1", "ann")
		expected.LastUsed = wanted
		same(t, k, expected)
	}
	touch(start.Add(time.Minute), start.Add(time.Minute))
	touch(start, start.Add(time.Minute))
	_, err := s.APIKey(ctx(), "gone")
	want(t, err, iam.ErrNotFound)
	checkCounts(t, s, 2, 2, 2, 1)
}

func testSigningKeys(t *testing.T, s iam.Store) {
	first, err := s.EnsureSigningKey(ctx(), signing("a", start))
	ok(t, err)
	same(t, first, signing("a", start))
	again, err := s.EnsureSigningKey(ctx(), signing("b", start.Add(time.Hour)))
	ok(t, err)
	same(t, again, first)
	ok(t, s.RotateSigningKey(ctx(), signing("c", start.Add(time.Second))))
	keys, err := s.SigningKeys(ctx())
	ok(t, err)
	retired := signing("a", start)
	retired.Retired = start.Add(time.Second)
	same(t, keys, []iam.SigningKey{signing("c", start.Add(time.Second)), retired})
	ok(t, s.Seed(ctx(), iam.Seed{
		Workspace: workspace("default"), Admin: user("root", "default", "admin"), Key: key("k", "root"), SigningKey: signing("d", start.Add(time.Hour)),
	}))
	active, err := s.EnsureSigningKey(ctx(), signing("e", start.Add(time.Hour)))
	ok(t, err)
	same(t, active.KID, "c")
}

func testOwnership(t *testing.T, s iam.Store) {
	seed(t, s)
	mine := user("x", "acme", "x", "reader", "writer")
	ok(t, s.CreateUser(ctx(), mine))
	mine.Roles[0] = "changed"
	got, err := s.User(ctx(), "x")
	ok(t, err)
	got.Roles[1] = "changed"
	got, err = s.User(ctx(), "x")
	ok(t, err)
	same(t, got.Roles, []string{"reader", "writer"})
	change := iam.UserChange{Roles: []string{"writer"}}
	_, err = s.UpdateUser(ctx(), "x", change)
	ok(t, err)
	change.Roles[0] = "changed"
	got, err = s.User(ctx(), "x")
	ok(t, err)
	same(t, got.Roles, []string{"writer"})
}
