package iam

import (
	"fmt"
	"slices"
	"sync"
	"testing"
)

func TestCreateUser(t *testing.T) {
	w, _ := seeded(t)
	w.grant(`{"operation":"create-workspace","workspace_record":{"id":"off","enabled":false}}`)
	for request, want := range map[string]string{
		`{}`:                                                                 "invalid-argument: workspace required for create-user",
		`{"workspace":"default"}`:                                            "invalid-argument: user field required for create-user",
		`{"workspace":"default","user":null}`:                                "invalid-argument: user field required for create-user",
		`{"workspace":"default","user":{}}`:                                  "invalid-argument: user.username required",
		`{"workspace":"x","user":{"name":"n"}}`:                              "invalid-argument: user.username required",
		`{"workspace":"x","user":{"username":"n"}}`:                          "invalid-argument: user.password required",
		`{"workspace":"x","user":{"username":"n","password":"p"}}`:           "not-found: workspace not found or disabled",
		`{"workspace":"off","user":{"username":"n","password":"p"}}`:         "not-found: workspace not found or disabled",
		`{"workspace":"default","user":{"username":"admin","password":"p"}}`: "duplicate: username already exists",
	} {
		w.refuse(withOperation("create-user", request), want)
	}
	full := w.grant(`{"operation":"create-user","workspace":"default","user":{"username":"a","name":"N","email":"e@x","password":"p","roles":["writer","admin","writer"],"enabled":false,"must_change_password":true}}`).User
	if got, want := fmt.Sprintf("%+v", *full), `{ID:`+full.ID+` Workspace:default Username:a Name:N Email:e@x Roles:[admin writer] Enabled:false MustChangePassword:true Created:2026-11-21T17:42:33.752000+00:00}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	plain := w.grant(`{"operation":"create-user","workspace":"default","user":{"username":"b","password":"p"}}`).User
	if plain.Name != "b" || !plain.Enabled || plain.MustChangePassword || len(plain.Roles) != 0 {
		t.Errorf("defaults %+v", plain)
	}
	nulls := w.grant(`{"operation":"create-user","workspace":"default","user":{"username":"c","password":"p","enabled":null,"must_change_password":null,"roles":null}}`).User
	if nulls.Enabled || nulls.MustChangePassword {
		t.Errorf("nulls %+v", nulls)
	}
	users := w.grant(`{"operation":"list-users","workspace":"default"}`).Users
	var names []string
	for _, u := range users {
		names = append(names, u.Username)
	}
	if !slices.Equal(names, []string{"a", "admin", "b", "c"}) {
		t.Errorf("users %v", names)
	}
	if got := w.grant(`{"operation":"list-users","workspace":"nowhere"}`).Users; len(got) != 0 {
		t.Errorf("users of nowhere %v", got)
	}
	w.refuse(`{"operation":"list-users"}`, "invalid-argument: workspace required for list-users")
}

// TestCreateUserHasOneWinner is defect D11.
func TestCreateUserHasOneWinner(t *testing.T) {
	w, _ := seeded(t)
	var wg sync.WaitGroup
	results := make(chan string, 8)
	for range 8 {
		wg.Go(func() {
			reply := w.ask(`{"operation":"create-user","workspace":"default","user":{"username":"x","password":"p"}}`)
			if reply.Error != nil {
				results <- reply.Error.Type
				return
			}
			results <- "ok"
		})
	}
	wg.Wait()
	close(results)
	count := map[string]int{}
	for r := range results {
		count[r]++
	}
	if count["ok"] != 1 || count["duplicate"] != 7 {
		t.Errorf("results %v", count)
	}
}

func TestGetUser(t *testing.T) {
	w, admin := seeded(t)
	w.refuse(`{"operation":"get-user"}`, "invalid-argument: workspace required")
	w.refuse(`{"operation":"get-user","workspace":"default"}`, "invalid-argument: user_id required")
	w.refuse(`{"operation":"get-user","workspace":"default","user_id":"x"}`, "not-found: user not found")
	w.refuse(`{"operation":"get-user","workspace":"acme","user_id":"`+admin.UserID+`"}`, "operation-not-permitted: user is in a different workspace")
}

func TestChangePassword(t *testing.T) {
	w, _ := seeded(t)
	id := w.addUser("default", "alice", "old", `,"must_change_password":true`)
	change := func(rest string) string { return `{"operation":"change-password"` + rest + `}` }
	w.refuse(change(``), "invalid-argument: user_id required")
	w.refuse(change(`,"user_id":"`+id+`"`), "invalid-argument: password (current) required")
	w.refuse(change(`,"user_id":"`+id+`","password":"old"`), "invalid-argument: new_password required")
	w.refuse(change(`,"user_id":"x","password":"old","new_password":"new"`), "auth-failed: no such user")
	w.refuse(change(`,"user_id":"`+id+`","password":"wrong","new_password":"new"`), "auth-failed: bad credentials")

	w.grant(change(`,"user_id":"` + id + `","password":"old","new_password":"new"`))
	w.refuse(change(`,"user_id":"`+id+`","password":"old","new_password":"new"`), "auth-failed: bad credentials")
	w.grant(`{"operation":"login","username":"alice","password":"new"}`)
	if w.grant(`{"operation":"get-user","workspace":"default","user_id":"` + id + `"}`).User.MustChangePassword {
		t.Error("the password still must be changed")
	}
	w.with(id, func(u *User) { u.Enabled = false })
	w.refuse(change(`,"user_id":"`+id+`","password":"new","new_password":"x"`), "auth-failed: user disabled")
}

func TestResetPassword(t *testing.T) {
	w, _ := seeded(t)
	id := w.addUser("default", "alice", "old", "")
	reset := func(rest string) string { return `{"operation":"reset-password"` + rest + `}` }
	w.refuse(reset(``), "invalid-argument: workspace required for reset-password")
	w.refuse(reset(`,"workspace":"default"`), "invalid-argument: user_id required")
	w.refuse(reset(`,"workspace":"default","user_id":"x"`), "not-found: user not found")
	w.refuse(reset(`,"workspace":"acme","user_id":"`+id+`"`), "operation-not-permitted: user is in a different workspace")
	password := w.grant(reset(`,"workspace":"default","user_id":"` + id + `"`)).TemporaryPassword
	if len(password) != 16 {
		t.Errorf("password of %d characters", len(password))
	}
	w.grant(`{"operation":"login","username":"alice","password":"` + password + `"}`)
	w.refuse(`{"operation":"login","username":"alice","password":"old"}`, "auth-failed: bad credentials")
	if !w.grant(`{"operation":"get-user","workspace":"default","user_id":"` + id + `"}`).User.MustChangePassword {
		t.Error("the password need not be changed")
	}
	w.checkNoSecrets(password)
}
