package iam

import (
	"context"
	"errors"
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
		first, second := start(Config{OwnStore: true}), start(Config{OwnStore: true})
		time.Sleep(2 * claimPatience)
		errs := []error{<-first, <-second}
		if (errs[0] == nil) == (errs[1] == nil) || !errors.Is(errors.Join(errs...), ErrOtherStore) {
			t.Fatalf("errors %v", errs)
		}
		if err := <-start(Config{OwnStore: true}); !errors.Is(err, ErrOtherStore) {
			t.Errorf("a latecomer: %v", err)
		}
		for name, cfg := range map[string]Config{
			"another topic space": {OwnStore: true, TopicSpace: "other"},
			"other requests":      {OwnStore: true, Requests: "request:tg:iam2"},
			"a shared store":      {},
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
		old, young := newWorld(t, Config{OwnStore: true}), newWorld(t, Config{OwnStore: true})
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
