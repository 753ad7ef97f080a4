package iam

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sluice/bus"
	"sluice/bus/memory"
)

// TestSeparateStoresAreRefused starts services with stores of their own on one
// bus: one serves, whoever comes at the same time or later does not.
func TestSeparateStoresAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory.New(nil)
		defer b.Close(context.Background())
		start := func(cfg Config) chan error {
			w := newWorld(t, cfg)
			started := make(chan error, 1)
			go func() {
				err := w.Start(t.Context(), b)
				started <- err
				if err == nil {
					<-t.Context().Done()
				}
			}()
			t.Cleanup(func() {
				if w.sub != nil {
					closeService(t, w)
				}
			})
			return started
		}
		first, second := start(Config{Guarded: true}), start(Config{Guarded: true})
		time.Sleep(2 * claimPatience)
		errs := []error{<-first, <-second}
		if (errs[0] == nil) == (errs[1] == nil) || !errors.Is(errors.Join(errs...), ErrOtherStore) {
			t.Fatalf("errors %v", errs)
		}
		if err := <-start(Config{Guarded: true}); !errors.Is(err, ErrOtherStore) {
			t.Errorf("a latecomer: %v", err)
		}
		for name, cfg := range map[string]Config{
			"another topic space": {Guarded: true, TopicSpace: "other"},
			"other requests":      {Guarded: true, Requests: "request:tg:iam2"},
			"unguarded":           {},
		} {
			if err := <-start(cfg); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// TestPartitionsEnd lets two services that serve already find each other: the
// younger one is told to go.
func TestPartitionsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, other := memory.New(nil), memory.New(nil)
		defer one.Close(context.Background())
		defer other.Close(context.Background())
		old, young := newWorld(t, Config{Guarded: true}), newWorld(t, Config{Guarded: true})
		for i, w := range []*world{old, young} {
			if err := w.Start(t.Context(), []bus.Bus{one, other}[i]); err != nil {
				t.Fatal(err)
			}
			defer closeService(t, w)
		}
		carry := func(from, to bus.Bus) {
			sub, err := from.Subscribe(t.Context(), bus.Consumer{Topic: old.watch.topic, Handler: func(d *bus.Delivery) {
				_, _ = to.Publish(context.Background(), &bus.Message{To: old.watch.topic, Body: append([]byte(nil), d.Body...)})
				d.Ack()
			}})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { sub.Close(context.Background()) })
		}
		carry(one, other)
		time.Sleep(presencePeriod)
		select {
		case err := <-young.Conflict():
			if !errors.Is(err, ErrOtherStore) {
				t.Error(err)
			}
		case <-time.After(presencePeriod):
			t.Error("the younger one heard nothing")
		}
		select {
		case err := <-old.Conflict():
			t.Errorf("the older one was told %v", err)
		default:
		}
	})
}

// TestSharedStores starts services that name one store, one after the other and
// at once, with a probe that finds whoever serves: they serve side by side, and
// nobody else beside them.
func TestSharedStores(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory.New(nil)
		defer b.Close(context.Background())
		answered := atomic.Bool{}
		start := func(cfg Config) (*world, error) {
			cfg.Guarded = true
			cfg.Probe = func() (bool, error) { return answered.Load(), nil }
			w := newWorld(t, cfg)
			err := w.Start(t.Context(), b)
			if err == nil {
				answered.Store(true)
				t.Cleanup(func() { closeService(t, w) })
			}
			return w, err
		}
		shared := Config{SharedStore: "cluster/iam"}
		var serving []*world
		var starts sync.WaitGroup
		var mu sync.Mutex
		for range 3 {
			starts.Go(func() {
				w, err := start(shared)
				mu.Lock()
				defer mu.Unlock()
				serving = append(serving, w)
				if err != nil {
					t.Errorf("at once: %v", err)
				}
			})
		}
		starts.Wait()
		latecomer, err := start(shared)
		if err != nil {
			t.Errorf("a latecomer: %v", err)
		}
		for name, row := range map[string]struct {
			cfg  Config
			want error
		}{
			"a store of its own": {Config{}, ErrOtherStore},
			"another store":      {Config{SharedStore: "cluster/iam2"}, ErrOtherStore},
			"another name":       {Config{SharedStore: "cluster/iam", Name: "iam-2"}, ErrOtherName},
		} {
			if _, err := start(row.cfg); !errors.Is(err, row.want) {
				t.Errorf("%s: %v", name, err)
			}
		}
		time.Sleep(2 * presencePeriod)
		for _, w := range append(serving, latecomer) {
			select {
			case err := <-w.Conflict():
				t.Errorf("a service that serves was told %v", err)
			default:
			}
		}
	})
}

// TestSlowCompanyIsNoStranger: the one that serves says late that it shares the store.
func TestSlowCompanyIsNoStranger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory.New(nil)
		defer b.Close(context.Background())
		w := newWorld(t, Config{Guarded: true, SharedStore: "cluster/iam", Probe: func() (bool, error) { return true, nil }})
		topic, err := bus.ParseTopic("notify:tg:iam-presence")
		if err != nil {
			t.Fatal(err)
		}
		var saying sync.WaitGroup
		sub, err := b.Subscribe(t.Context(), bus.Consumer{Topic: topic, Handler: func(d *bus.Delivery) {
			defer d.Ack()
			var other presence
			if err := json.Unmarshal(d.Body, &other); err != nil || other.Instance == "slow" {
				return
			}
			other.Instance, other.Serving = "slow", true
			said, err := json.Marshal(other)
			if err != nil {
				t.Error(err)
			}
			saying.Go(func() {
				time.Sleep(claimPatience + companyPatience/2)
				_, _ = b.Publish(t.Context(), &bus.Message{To: topic, Body: said})
			})
		}})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Start(t.Context(), b); err != nil {
			t.Error(err)
		} else {
			closeService(t, w)
		}
		if err := sub.Close(t.Context()); err != nil {
			t.Error(err)
		}
		saying.Wait()
	})
}

// TestStrangersAreRefused: somebody answers who says nothing of a shared store,
// such as the reference's service.
func TestStrangersAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory.New(nil)
		defer b.Close(context.Background())
		errDown := errors.New("down")
		for _, row := range []struct {
			answered bool
			err      error
			want     error
		}{{true, nil, ErrOtherStore}, {false, errDown, errDown}} {
			for _, store := range []string{"", "cluster/iam"} {
				cfg := Config{Guarded: true, SharedStore: store, Probe: func() (bool, error) { return row.answered, row.err }}
				if err := newWorld(t, cfg).Start(t.Context(), b); !errors.Is(err, row.want) {
					t.Errorf("%+v, store %q: %v", row, store, err)
				}
			}
		}
	})
}

// TestOlderPresence: who says nothing of a store has one of its own.
func TestOlderPresence(t *testing.T) {
	me := presence{Store: "cluster/iam", Name: "iam-svc"}
	var older presence
	if err := json.Unmarshal([]byte(`{"requests":"tg.request.iam","instance":"i","since":5,"serving":true}`), &older); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(me.objection(older), ErrOtherStore) || !errors.Is(older.objection(older), ErrOtherStore) {
		t.Errorf("%+v gets along with %+v", me, older)
	}
	if err := me.objection(presence{Store: me.Store, Name: me.Name, Instance: "j"}); err != nil {
		t.Error(err)
	}
}

func TestPrecedence(t *testing.T) {
	serving := presence{Since: 9, Instance: "x", Serving: true}
	for _, c := range []struct{ first, second presence }{
		{serving, presence{Since: 1, Instance: "a"}},
		{presence{Since: 8, Instance: "y", Serving: true}, serving},
		{presence{Since: 9, Instance: "w", Serving: true}, serving},
		{presence{Since: 1}, presence{Since: 2}},
	} {
		if !c.first.precedes(c.second) || c.second.precedes(c.first) {
			t.Errorf("%+v and %+v", c.first, c.second)
		}
	}
}
