package iam

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
)

// inAcme is a world with workspace `acme` in which there is a writer `alice`.
func inAcme(t *testing.T) (w *world, admin Admin, alice string) {
	t.Helper()
	w, admin = seeded(t)
	w.grant(`{"operation":"create-workspace","workspace_record":{"id":"acme"}}`)
	return w, admin, w.addUser("acme", "alice", "p", `,"roles":["writer"],"email":"a@x","must_change_password":true`)
}

func TestUpdateUser(t *testing.T) {
	w, _, alice := inAcme(t)
	of := func(id, user string) string {
		return `{"operation":"update-user","workspace":"acme","user_id":"` + id + `","user":` + user + `}`
	}
	for request, want := range map[string]string{
		`{"operation":"update-user"}`:                                  "invalid-argument: workspace required",
		`{"operation":"update-user","workspace":"acme"}`:               "invalid-argument: user_id required",
		`{"operation":"update-user","workspace":"acme","user_id":"x"}`: "invalid-argument: user field required",
		of("x", `{"password":"p"}`):                                    "invalid-argument: password cannot be changed via update-user; use change-password or reset-password",
		of("x", `{"username":"bob"}`):                                  "not-found: user not found",
		of(alice, `{"username":"bob"}`):                                "invalid-argument: username is immutable; create a new user instead",
		`{"operation":"update-user","workspace":"default","user_id":"` + alice + `","user":{"username":"bob"}}`: "operation-not-permitted: user is in a different workspace",
	} {
		w.refuse(request, want)
	}
	want := `{ID:` + alice + ` Workspace:acme Username:alice Name:%s Email:%s Roles:%s Enabled:%v MustChangePassword:%v Created:2026-11-21T17:42:33.752000+00:00}`
	for _, c := range []struct {
		user, name, email, roles string
		enabled, mustChange      bool
	}{
		{`{}`, "alice", "a@x", "[writer]", true, true},
		{`{"username":"alice","name":"","email":null,"roles":[]}`, "alice", "a@x", "[writer]", true, true},
		{`{"name":"Al","email":"b@x"}`, "Al", "b@x", "[writer]", true, true},
		{`{"roles":["writer","reader","writer"]}`, "Al", "b@x", "[reader writer]", true, true},
		{`{"enabled":false,"must_change_password":false}`, "Al", "b@x", "[reader writer]", false, false},
		{`{"must_change_password":true}`, "Al", "b@x", "[reader writer]", false, true},
		{`{"enabled":true}`, "Al", "b@x", "[reader writer]", true, true},
	} {
		got := w.grant(of(alice, c.user)).User
		if text := fmt.Sprintf("%+v", *got); text != fmt.Sprintf(want, c.name, c.email, c.roles, c.enabled, c.mustChange) {
			t.Errorf("%s: %s", c.user, text)
		}
	}
	w.grant(`{"operation":"login","workspace":"acme","username":"alice","password":"p"}`)
}

// TestAbsentBooleansKeepTheStoredValue is defect D12, for null and for members
// that are left out.
func TestAbsentBooleansKeepTheStoredValue(t *testing.T) {
	w, _, alice := inAcme(t)
	w.grant(`{"operation":"disable-user","workspace":"acme","user_id":"` + alice + `"}`)
	for _, user := range []string{`{"name":"Al"}`, `{"name":"Al","enabled":null,"must_change_password":null}`} {
		got := w.grant(`{"operation":"update-user","workspace":"acme","user_id":"` + alice + `","user":` + user + `}`).User
		if got.Enabled || !got.MustChangePassword {
			t.Errorf("%s: %+v", user, got)
		}
	}
	w.setWorkspaceEnabled("acme", false)
	for _, record := range []string{`{"id":"acme","name":"A"}`, `{"id":"acme","name":"A","enabled":null}`} {
		if got := w.grant(`{"operation":"update-workspace","workspace_record":` + record + `}`).Workspace; got.Enabled || got.Name != "A" {
			t.Errorf("%s: %+v", record, got)
		}
	}
}

func TestEnableDisableDeleteUser(t *testing.T) {
	w, _, alice := inAcme(t)
	for _, op := range []string{"enable-user", "disable-user", "delete-user"} {
		head := `{"operation":"` + op + `"`
		w.refuse(head+`}`, "invalid-argument: workspace required")
		w.refuse(head+`,"workspace":"acme"}`, "invalid-argument: user_id required")
		w.refuse(head+`,"workspace":"acme","user_id":"x"}`, "not-found: user not found")
		w.refuse(head+`,"workspace":"default","user_id":"`+alice+`"}`, "operation-not-permitted: user is in a different workspace")
	}
	change := func(op string) { w.grant(`{"operation":"` + op + `","workspace":"acme","user_id":"` + alice + `"}`) }
	login := `{"operation":"login","workspace":"acme","username":"alice","password":"p"}`
	change("disable-user")
	change("disable-user")
	w.refuse(login, "auth-failed: user disabled")
	change("enable-user")
	change("enable-user")
	w.grant(login)
	change("delete-user")
	w.refuse(`{"operation":"delete-user","workspace":"acme","user_id":"`+alice+`"}`, "not-found: user not found")
	w.refuse(login, "auth-failed: no such user")
	if again := w.addUser("acme", "alice", "p", ""); again == alice {
		t.Error("the id was used again")
	}
}

// TestKeysDoNotSurviveDisabling is defect D24.
func TestKeysDoNotSurviveDisabling(t *testing.T) {
	w, _, alice := inAcme(t)
	create := `{"operation":"create-api-key","workspace":"acme","key":{"user_id":"` + alice + `","name":"k"}}`
	key := w.grant(create).APIKeyPlaintext
	w.grant(`{"operation":"disable-user","workspace":"acme","user_id":"` + alice + `"}`)
	w.refuse(create, "operation-not-permitted: target user is disabled")
	w.grant(`{"operation":"enable-user","workspace":"acme","user_id":"` + alice + `"}`)
	w.refuse(`{"operation":"resolve-api-key","api_key":"`+key+`"}`, "auth-failed: unknown api key")

	// Disabled by update-user, keys rest and work again.
	key = w.grant(create).APIKeyPlaintext
	resolve := `{"operation":"resolve-api-key","api_key":"` + key + `"}`
	w.grant(`{"operation":"update-user","workspace":"acme","user_id":"` + alice + `","user":{"enabled":false}}`)
	w.refuse(resolve, "auth-failed: owning user disabled")
	w.grant(`{"operation":"update-user","workspace":"acme","user_id":"` + alice + `","user":{"enabled":true}}`)
	w.grant(resolve)
}

// TestNoGhostRows is defect D25: whatever races with a deletion, nothing of the
// user is left.
func TestNoGhostRows(t *testing.T) {
	w, _, _ := inAcme(t)
	for i := range 20 {
		id := w.addUser("acme", fmt.Sprint("u", i), "p", "")
		var wg sync.WaitGroup
		for _, request := range []string{
			`{"operation":"delete-user","workspace":"acme","user_id":"` + id + `"}`,
			`{"operation":"update-user","workspace":"acme","user_id":"` + id + `","user":{"name":"ghost"}}`,
			`{"operation":"enable-user","workspace":"acme","user_id":"` + id + `"}`,
			`{"operation":"reset-password","workspace":"acme","user_id":"` + id + `"}`,
			`{"operation":"create-api-key","workspace":"acme","key":{"user_id":"` + id + `","name":"k"}}`,
		} {
			wg.Go(func() {
				if reply := w.ask(request); reply.Error != nil && reply.Error.Type != typeNotFound {
					t.Errorf("%s: %v", request, reply.Error)
				}
			})
		}
		wg.Wait()
		keys, _ := w.store.APIKeys(context.Background(), id)
		if _, err := w.store.User(context.Background(), id); !errors.Is(err, ErrNotFound) || len(keys) != 0 {
			t.Fatalf("left over: %v, %+v", err, keys)
		}
	}
}

// TestLastAdministratorStays is defect D15.
func TestLastAdministratorStays(t *testing.T) {
	w, admin, alice := inAcme(t)
	const want = "operation-not-permitted: no enabled administrator would remain"
	attempts := []string{
		`{"operation":"delete-user","workspace":"default","user_id":"` + admin.UserID + `"}`,
		`{"operation":"disable-user","workspace":"default","user_id":"` + admin.UserID + `"}`,
		`{"operation":"update-user","workspace":"default","user_id":"` + admin.UserID + `","user":{"roles":["writer"]}}`,
		`{"operation":"update-user","workspace":"default","user_id":"` + admin.UserID + `","user":{"enabled":false}}`,
		`{"operation":"disable-workspace","workspace_record":{"id":"default"}}`,
		`{"operation":"update-workspace","workspace_record":{"id":"default","enabled":false}}`,
	}
	for _, request := range attempts {
		w.refuse(request, want)
	}
	w.grant(`{"operation":"resolve-api-key","api_key":"` + admin.APIKey + `"}`)
	w.grant(`{"operation":"update-user","workspace":"acme","user_id":"` + alice + `","user":{"roles":["admin"]}}`)
	for _, request := range slices.Backward(attempts) {
		w.grant(request) // with another one, one's own account may go
	}
	w.refuse(`{"operation":"disable-workspace","workspace_record":{"id":"acme"}}`, want)
	if !strings.Contains(w.logged(), `reason="no enabled administrator would remain"`) {
		t.Error("the refusal is not in the audit trail")
	}
}

// TestUnknownRolesAreRefused is defect D18.
func TestUnknownRolesAreRefused(t *testing.T) {
	w, _, alice := inAcme(t)
	w.refuse(`{"operation":"create-user","workspace":"acme","user":{"username":"x","password":"p","roles":["writer","boss"]}}`, "invalid-argument: unknown role: 'boss'")
	w.refuse(`{"operation":"create-user","workspace":"acme","user":{"username":"x","password":"p","roles":["Admin"]}}`, "invalid-argument: unknown role: 'Admin'")
	w.refuse(`{"operation":"create-user","workspace":"acme","user":{"username":"x","password":"p","roles":[""]}}`, "invalid-argument: unknown role: ''")
	update := `{"operation":"update-user","workspace":"acme","user_id":"` + alice + `","user":{"roles":["auditor","writer"]}}`
	w.refuse(update, "invalid-argument: unknown role: 'auditor'")
	w.with(alice, func(u *User) { u.Roles = []string{"auditor"} }) // a row of the reference
	w.grant(update)
}

func TestChangeWorkspaces(t *testing.T) {
	w, _, alice := inAcme(t)
	for _, op := range []string{"update-workspace", "disable-workspace"} {
		w.refuse(`{"operation":"`+op+`","workspace":"acme"}`, "invalid-argument: workspace_record.id required")
		w.refuse(`{"operation":"`+op+`","workspace_record":{"name":"x"}}`, "invalid-argument: workspace_record.id required")
		w.refuse(`{"operation":"`+op+`","workspace_record":{"id":"x"}}`, "not-found: workspace not found")
	}
	key := w.grant(`{"operation":"create-api-key","workspace":"acme","key":{"user_id":"` + alice + `","name":"k"}}`).APIKeyPlaintext
	got := w.grant(`{"operation":"update-workspace","workspace_record":{"id":"acme","name":"Acme","enabled":false}}`).Workspace
	if fmt.Sprintf("%+v", *got) != "{ID:acme Name:Acme Enabled:false Created:2026-11-21T17:42:33.752000+00:00}" {
		t.Errorf("workspace %+v", got)
	}
	w.refuse(`{"operation":"resolve-api-key","api_key":"`+key+`"}`, "auth-failed: owning workspace disabled")
	w.grant(`{"operation":"update-workspace","workspace_record":{"id":"acme","enabled":true}}`)
	w.grant(`{"operation":"resolve-api-key","api_key":"` + key + `"}`) // no cascade
	// What the reference's client library sends has `enabled` true in it.
	disable := `{"operation":"disable-workspace","workspace_record":{"id":"acme","name":"","enabled":true}}`
	w.grant(disable)
	w.grant(disable)
	w.grant(`{"operation":"update-workspace","workspace_record":{"id":"acme","enabled":true}}`)
	w.refuse(`{"operation":"login","workspace":"acme","username":"alice","password":"p"}`, "auth-failed: user disabled")
	w.refuse(`{"operation":"resolve-api-key","api_key":"`+key+`"}`, "auth-failed: unknown api key")
}

// TestListsAreWholeAndSorted is defect D19: the reference cuts at 5,000.
func TestListsAreWholeAndSorted(t *testing.T) {
	w, _, _ := inAcme(t)
	const n = 6000
	for i := range n {
		name := fmt.Sprintf("n%05d", (i*7919)%n)
		if err := w.store.CreateUser(context.Background(), User{ID: newUUID(), Workspace: "acme", Username: name, Enabled: true}); err != nil {
			t.Fatal(err)
		}
		if err := w.store.CreateWorkspace(context.Background(), Workspace{ID: name}); err != nil {
			t.Fatal(err)
		}
	}
	var users, workspaces []string
	for _, u := range w.grant(`{"operation":"list-users","workspace":"acme"}`).Users {
		users = append(users, u.Username)
	}
	for _, ws := range w.grant(`{"operation":"list-workspaces"}`).Workspaces {
		workspaces = append(workspaces, ws.ID)
	}
	if len(users) != n+1 || !slices.IsSorted(users) || len(workspaces) != n+2 || !slices.IsSorted(workspaces) {
		t.Errorf("%d users, %d workspaces", len(users), len(workspaces))
	}
	w.grant(`{"operation":"disable-workspace","workspace_record":{"id":"acme"}}`)
	for _, u := range w.grant(`{"operation":"list-users","workspace":"acme"}`).Users {
		if u.Enabled {
			t.Fatalf("%s is still enabled", u.Username)
		}
	}
}

// TestPasswordPolicy is defect D28.
func TestPasswordPolicy(t *testing.T) {
	w := newWorld(t, Config{MinPasswordLength: 8})
	w.grant(`{"operation":"bootstrap"}`)
	create := func(password string) string {
		return `{"operation":"create-user","workspace":"default","user":{"username":"a","password":"` + password + `"}}`
	}
	w.refuse(create("short"), "weak-password: user.password must have at least 8 characters")
	w.refuse(create("äöüäöüä"), "weak-password: user.password must have at least 8 characters")
	id := w.grant(create("long enough")).User.ID
	change := `{"operation":"change-password","user_id":"` + id + `","password":"long enough","new_password":"`
	w.refuse(change+`short"}`, "weak-password: new_password must have at least 8 characters")
	w.grant(change + `12345678"}`)
	open := newWorld(t, Config{})
	open.grant(`{"operation":"bootstrap"}`)
	open.grant(create("x"))
	w.checkNoSecrets("long enough", "12345678")
}

func TestFieldLimits(t *testing.T) {
	w, _, alice := inAcme(t)
	long := func(n int) string { return strings.Repeat("x", n) }
	user := func(members string) string {
		return `{"operation":"create-user","workspace":"acme","user":{"username":"u","password":"p",` + members + `}}`
	}
	update := func(members string) string {
		return `{"operation":"update-user","workspace":"acme","user_id":"` + alice + `","user":{` + members + `}}`
	}
	key := func(name string) string {
		return `{"operation":"create-api-key","workspace":"acme","key":{"user_id":"` + alice + `","name":"` + name + `"}}`
	}
	for request, want := range map[string]string{
		user(`"username":"` + long(256) + `"`):      "user.username is longer than 255 bytes",
		user(`"name":"` + long(1025) + `"`):         "user.name is longer than 1024 bytes",
		user(`"email":"` + long(321) + `"`):         "user.email is longer than 320 bytes",
		user(`"password":"` + long(1025) + `"`):     "user.password is longer than 1024 bytes",
		user(`"username":"a\u0000b"`):               "user.username contains control characters",
		user(`"username":"a\u2028b"`):               "user.username contains control characters",
		user(`"name":"a\nb"`):                       "user.name contains control characters",
		update(`"name":"a\u007fb"`):                 "user.name contains control characters",
		update(`"email":"` + long(321) + `"`):       "user.email is longer than 320 bytes",
		key(long(1025)):                             "key.name is longer than 1024 bytes",
		key(`a\tb`):                                 "key.name contains control characters",
		key(`n","expires":"` + long(5000)):          "key.expires is not an ISO 8601 date or time",
		onWorkspace("create", `"`+long(256)+`"`):    "workspace_record.id is longer than 255 bytes",
		onWorkspace("create", `"a\u0085b"`):         "workspace_record.id contains control characters",
		onWorkspace("create", `"_reserved"`):        "workspace ids beginning with '_' are reserved",
		onWorkspace("update", `"acme","name":"\r"`): "workspace_record.name contains control characters",
		`{"operation":"change-password","user_id":"` + alice + `","password":"p","new_password":"` + long(1025) + `"}`: "new_password is longer than 1024 bytes",
	} {
		w.refuse(request, "invalid-argument: "+want)
	}
	w.grant(user(`"username":"` + long(255) + `","name":"` + long(1024) + `","email":"` + long(320) + `","password":"` + long(1024) + `"`))
	w.grant(onWorkspace("create", `"`+long(255)+`"`))
	w.grant(user(`"username":"ü \"<&>","password":"a\u0000\n"`)) // passwords may hold anything
}

func onWorkspace(verb, id string) string {
	return `{"operation":"` + verb + `-workspace","workspace_record":{"id":` + id + `}}`
}

func TestEveryOperationOfTheContractExists(t *testing.T) {
	names := strings.Fields(`bootstrap resolve-api-key login get-signing-key-public rotate-signing-key create-user list-users get-user
		update-user disable-user enable-user delete-user change-password reset-password create-workspace list-workspaces get-workspace
		update-workspace disable-workspace create-api-key list-api-keys revoke-api-key`)
	names = append(names, "list-my-workspaces") // of a later contract
	for _, name := range names {
		if findOperation(name) == unknown {
			t.Errorf("no %s", name)
		}
	}
	if len(operations) != len(names) {
		t.Errorf("%d operations, want %d", len(operations), len(names))
	}
}

// TestSeedingCanBeRepeated is defect D10: a seeding that failed leaves nothing
// in its way.
func TestSeedingCanBeRepeated(t *testing.T) {
	w := newWorld(t, Config{})
	whole := w.Service.store
	w.Service.store = unseedable{w.store}
	w.refuse(`{"operation":"bootstrap"}`, "internal-error: internal error")
	w.Service.store = whole
	w.grant(`{"operation":"bootstrap"}`)
}

type unseedable struct{ *Memory }

func (unseedable) Seed(context.Context, Seed) error { return errDriver }
