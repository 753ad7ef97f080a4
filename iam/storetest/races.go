package storetest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"sluice/iam"
)

const racers = 8

// Races is section 5.15 of the contract, as it should be. The stores are openings
// of one store, which is empty: what is true within a process must be so between
// processes.
func Races(t *testing.T, stores ...iam.Store) {
	r := &races{t: t, stores: stores, s: stores[0]}
	r.seed()
	id := r.create()
	r.signingKeys()
	r.updates(id)
	r.keysAgainstDisabling(id)
	r.lastAdmins()
	r.updateAgainstDelete(id)
	r.deletions()
}

type races struct {
	t      *testing.T
	stores []iam.Store
	s      iam.Store
}

// race runs f in several goroutines and returns how many succeeded; the others
// must fail with loser.
func (r *races) race(loser error, f func(s iam.Store, i int) error) int {
	r.t.Helper()
	var wg sync.WaitGroup
	results := make(chan error, racers)
	for i := range racers {
		// Half of those that take turns in f are on each store.
		wg.Go(func() { results <- f(r.stores[i/2%len(r.stores)], i) })
	}
	wg.Wait()
	close(results)
	won := 0
	for err := range results {
		if err == nil {
			won++
		} else if loser == nil || !errors.Is(err, loser) {
			r.t.Errorf("a racer failed with %v", err)
		}
	}
	return won
}

// one is a race with one winner.
func (r *races) one(what string, loser error, f func(s iam.Store, i int) error) {
	r.t.Helper()
	if won := r.race(loser, f); won != 1 {
		r.t.Errorf("%s: %d winners", what, won)
	}
}

func (r *races) seed() {
	r.t.Helper()
	r.one("seed", iam.ErrExists, func(s iam.Store, i int) error {
		id := fmt.Sprint("root-", i)
		// One token for all, as in token mode.
		token := iam.APIKey{Hash: "hash of the token", ID: id, UserID: id, Created: start}
		return s.Seed(ctx(), iam.Seed{
			Workspace: workspace("default"), Admin: user(id, "default", "admin", iam.RoleAdmin), Key: token, SigningKey: signing(id, start),
		})
	})
	users, err := r.s.Users(ctx(), "default")
	ok(r.t, err)
	id, err := r.s.UserID(ctx(), "default", "admin")
	ok(r.t, err)
	k, err := r.s.APIKey(ctx(), "hash of the token")
	ok(r.t, err)
	keys, err := r.s.SigningKeys(ctx())
	ok(r.t, err)
	if len(users) != 1 || users[0].ID != id || k.UserID != id || k.ID != id || len(keys) != 1 {
		r.t.Errorf("seeded users %+v, name leads to %s, key %+v, %d signing keys", users, id, k, len(keys))
	}
}

// create returns the id of the user that it made.
func (r *races) create() string {
	r.t.Helper()
	r.one("workspace", iam.ErrExists, func(s iam.Store, _ int) error { return s.CreateWorkspace(ctx(), workspace("acme")) })
	r.one("user", iam.ErrExists, func(s iam.Store, i int) error {
		return s.CreateUser(ctx(), user(fmt.Sprint("ann-", i), "acme", "ann"))
	})
	users, err := r.s.Users(ctx(), "acme")
	ok(r.t, err)
	id, err := r.s.UserID(ctx(), "acme", "ann")
	ok(r.t, err)
	if len(users) != 1 || users[0].ID != id {
		r.t.Errorf("created users %+v, name leads to %s", users, id)
	}
	r.one("password", iam.ErrChanged, func(s iam.Store, i int) error {
		return s.SetPassword(ctx(), id, "hash of "+id, fmt.Sprint("new ", i), false)
	})
	return id
}

func (r *races) signingKeys() {
	r.t.Helper()
	one := func(what string) {
		r.t.Helper()
		keys, err := r.s.SigningKeys(ctx())
		ok(r.t, err)
		if n := len(slices.DeleteFunc(keys, func(k iam.SigningKey) bool { return !k.Retired.IsZero() })); n != 1 {
			r.t.Errorf("%s: %d active keys", what, n)
		}
	}
	r.race(nil, func(s iam.Store, i int) error {
		return s.RotateSigningKey(ctx(), signing(fmt.Sprint("r", i), start.Add(time.Duration(i)*time.Second)))
	})
	one("rotation")
	r.race(nil, func(s iam.Store, i int) error {
		if i%2 == 0 {
			return s.RotateSigningKey(ctx(), signing(fmt.Sprint("again", i), start.Add(time.Minute)))
		}
		_, err := s.EnsureSigningKey(ctx(), signing(fmt.Sprint("ensured", i), start.Add(time.Hour)))
		return err
	})
	one("rotation beside look-ups")
}

func (r *races) updates(id string) {
	r.t.Helper()
	r.race(nil, func(s iam.Store, i int) error {
		c := iam.UserChange{Name: new("named")}
		if i%2 == 0 {
			c = iam.UserChange{Email: new("mail")}
		}
		_, err := s.UpdateUser(ctx(), id, c)
		return err
	})
	u, err := r.s.User(ctx(), id)
	ok(r.t, err)
	if u.Name != "named" || u.Email != "mail" {
		r.t.Errorf("an update was lost: %+v", u)
	}
}

func (r *races) keysAgainstDisabling(id string) {
	r.t.Helper()
	r.race(iam.ErrDisabled, func(s iam.Store, i int) error {
		if i == 0 {
			return s.DisableUser(ctx(), id)
		}
		return s.CreateAPIKey(ctx(), key(fmt.Sprint("race-", i), id))
	})
	r.noKeys(id)
}

func (r *races) noKeys(id string) {
	r.t.Helper()
	left, err := r.s.APIKeys(ctx(), id)
	ok(r.t, err)
	if len(left) != 0 {
		r.t.Errorf("%d keys survived their user", len(left))
	}
}

func (r *races) lastAdmins() {
	r.t.Helper()
	admins, err := r.s.Users(ctx(), "default")
	ok(r.t, err)
	second := user("second", "acme", "second", iam.RoleAdmin)
	ok(r.t, r.s.CreateUser(ctx(), second))
	r.race(iam.ErrLastAdmin, func(s iam.Store, i int) error {
		id := []string{admins[0].ID, second.ID}[i%2]
		if i < racers/2 {
			return s.DisableUser(ctx(), id)
		}
		_, err := s.UpdateUser(ctx(), id, iam.UserChange{Roles: []string{"reader"}})
		return err
	})
	first, err := r.s.User(ctx(), admins[0].ID)
	ok(r.t, err)
	other, err := r.s.User(ctx(), second.ID)
	ok(r.t, err)
	if first.Administers() == other.Administers() {
		r.t.Errorf("of two administrators who were disabled at once there are left: %+v, %+v", first, other)
	}
}

func (r *races) updateAgainstDelete(id string) {
	r.t.Helper()
	r.race(iam.ErrNotFound, func(s iam.Store, i int) error {
		switch i % 4 {
		case 0:
			_, err := s.UpdateUser(ctx(), id, iam.UserChange{Name: new("ghost")})
			return err
		case 1:
			return s.SetPassword(ctx(), id, "", "ghost", true)
		case 2:
			_, err := s.UpdateUser(ctx(), id, iam.UserChange{Enabled: new(false)})
			return err
		}
		return s.DeleteUser(ctx(), id)
	})
	_, err := r.s.User(ctx(), id)
	want(r.t, err, iam.ErrNotFound)
}

// deletions races deletions with each other, then one with makers of keys.
func (r *races) deletions() {
	r.t.Helper()
	ok(r.t, r.s.CreateUser(ctx(), user("ben", "acme", "ben")))
	r.one("deletion", iam.ErrNotFound, func(s iam.Store, _ int) error { return s.DeleteUser(ctx(), "ben") })
	ok(r.t, r.s.CreateUser(ctx(), user("cid", "acme", "cid")))
	ok(r.t, r.s.CreateAPIKey(ctx(), key("of cid", "cid")))
	if r.race(iam.ErrNotFound, func(s iam.Store, _ int) error { return s.DeleteAPIKey(ctx(), "hash-of cid") }) == 0 {
		r.t.Error("nobody deleted a key")
	}
	r.race(errGone, func(s iam.Store, i int) error {
		if i == 0 {
			return s.DeleteUser(ctx(), "cid")
		}
		return gone(s.CreateAPIKey(ctx(), key(fmt.Sprint("late-", i), "cid")))
	})
	_, err := r.s.User(ctx(), "cid")
	want(r.t, err, iam.ErrNotFound)
	r.noKeys("cid")
}

// errGone is what a maker of keys may be told of a user who is being deleted: that
// there is none, or, on the way there, that it is disabled.
var errGone = errors.New("gone")

func gone(err error) error {
	if errors.Is(err, iam.ErrNotFound) || errors.Is(err, iam.ErrDisabled) {
		return errGone
	}
	return err
}
