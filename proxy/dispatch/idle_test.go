package dispatch

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sluice/bus"
)

func TestIdleServicesAreUnwired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, p := newFakeBus(), NewPending(0)
		silent := atomic.Bool{}
		b.onPublish = func(_ context.Context, m *bus.Message) (bus.Receipt, error) {
			if !silent.Load() {
				p.Deliver(m.ID, buffer(part("x", true)))
			}
			return bus.Receipt{}, nil
		}
		table := New(b, p, Config{Timeout: 5 * time.Hour, PartTimeout: 5 * time.Hour})
		table.StartFlow("acme", "main", record("main"))
		const exchange = "tg.response.tc:main"
		call := func() error {
			_, _, err := table.Call(completion, ask(t, "x"), nil, Call{})
			return err
		}
		bound := func(what string, want int) {
			t.Helper()
			synctest.Wait()
			if now, _ := b.subscriptions(exchange); now != want {
				t.Errorf("%s: %d subscriptions, want %d", what, now, want)
			}
		}
		// Used every five minutes it stays.
		for range 12 {
			if err := call(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(5 * time.Minute)
		}
		if _, ever := b.subscriptions(exchange); ever != 1 {
			t.Errorf("%d subscriptions", ever)
		}
		bound("in use", 1)
		time.Sleep(10 * time.Minute)
		bound("idle", 0)
		if n := table.services.Size(); n != 0 {
			t.Errorf("%d services in the table", n)
		}
		// With a call in flight it stays as well, however long that takes.
		silent.Store(true)
		result := make(chan error, 1)
		go func() { result <- call() }()
		time.Sleep(4 * time.Hour)
		bound("call in flight", 1)
		if err := <-result; !errors.Is(err, ErrTimeout) {
			t.Error(err)
		}
		if err := table.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

func TestCloseEndsCalls(t *testing.T) {
	b, p := newFakeBus(), NewPending(0)
	table := New(b, p, Config{})
	table.StartFlow("acme", "main", record("main"))
	result := make(chan error, 1)
	go func() {
		_, _, err := table.Call(completion, ask(t, "x"), nil, Call{})
		result <- err
	}()
	waitUntil(t, "the request is out", func() bool { return len(b.messages()) == 1 })
	if err := table.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-result; !errors.Is(err, ErrUnavailable) {
		t.Errorf("the call in flight: %v", err)
	}
	if _, _, err := table.Call(completion, ask(t, "x"), nil, Call{}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("a call after Close: %v", err)
	}
	if now, _ := b.subscriptions("tg.response.tc:main"); now != 0 {
		t.Errorf("%d subscriptions are left", now)
	}
	table.StartFlow("acme", "late", record("late"))
	table.StopFlow("acme", "main")
	if err := table.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestCloseIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, p := newFakeBus(), NewPending(0)
		gate := make(chan struct{})
		b.onSubscribe = func(context.Context, bus.Consumer) error {
			<-gate // a bus that does not obey its context
			return nil
		}
		table := New(b, p, Config{})
		table.StartFlow("acme", "main", record("main"))
		if _, _, err := table.Call(completion, ask(t, "x"), nil, Call{Timeout: time.Second}); !errors.Is(err, ErrTimeout) {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		start := time.Now()
		if err := table.Close(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 3*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		close(gate)
		synctest.Wait()
		if now, _ := b.subscriptions("tg.response.tc:main"); now != 0 {
			t.Errorf("%d subscriptions are left", now)
		}
	})
}
