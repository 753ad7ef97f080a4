package dispatch

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"sluice/bus"
	"sluice/codec"
)

func TestRefresh(t *testing.T) {
	b, p := newFakeBus(), NewPending(0)
	b.onPublish = func(_ context.Context, m *bus.Message) (bus.Receipt, error) {
		p.Deliver(m.ID, buffer(part("x", true)))
		return bus.Receipt{}, nil
	}
	gate := make(chan struct{})
	b.onRefresh = func(context.Context) error {
		<-gate
		return bus.ErrUnavailable // is only logged
	}
	table := New(b, p, Config{Log: slog.New(slog.DiscardHandler)})
	for _, w := range []string{"acme", "zeta"} {
		table.StartFlow(w, "main", record(w))
		if _, _, err := table.Call(Key{w, "main", codec.TextCompletion}, ask(t, "x"), nil, Call{}); err != nil {
			t.Fatal(err)
		}
		if err := table.Send(Key{w, "main", codec.TextLoad}, parsed(t, codec.TextLoad, `{"text":"aGk="}`), Call{}); err != nil {
			t.Fatal(err)
		}
	}
	table.Refresh("acme")
	waitUntil(t, "the first refresh runs", func() bool { return len(b.refreshes()) == 1 })
	// These come while it runs: one more is enough for all of them.
	for range 10 {
		table.Refresh("acme")
	}
	table.Refresh("nobody")
	close(gate)
	waitUntil(t, "a second refresh", func() bool { return len(b.refreshes()) >= 2 })
	if err := table.Close(t.Context()); err != nil {
		t.Error(err)
	}
	all := b.refreshes()
	if len(all) != 2 {
		t.Errorf("%d refreshes, want 2", len(all))
	}
	for _, topics := range all {
		got := map[string]bool{}
		for _, topic := range topics {
			got[topic.Exchange] = true
		}
		want := map[string]bool{"tg.request.tc:acme": true, "tg.response.tc:acme": true, "tg.flow.text-load:acme": true}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("refreshed %v, want %v", got, want)
		}
	}
	table.Refresh("acme") // after Close it does nothing
}

func TestSilenceRefreshes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, p := newFakeBus(), NewPending(0)
		answer := ""
		b.onPublish = func(_ context.Context, m *bus.Message) (bus.Receipt, error) {
			if answer != "" {
				p.Deliver(m.ID, buffer(answer))
			}
			return bus.Receipt{}, nil
		}
		table := New(b, p, Config{})
		table.StartFlow("acme", "main", record("main"))
		call := func(want error, refreshes int) {
			t.Helper()
			if _, _, err := table.Call(completion, ask(t, "x"), nil, Call{PartTimeout: time.Second}); !errors.Is(err, want) {
				t.Errorf("err = %v, want %v", err, want)
			}
			synctest.Wait()
			if n := len(b.refreshes()); n != refreshes {
				t.Errorf("%d refreshes, want %d", n, refreshes)
			}
		}
		call(ErrTimeout, 1)
		call(ErrTimeout, 1) // too soon
		time.Sleep(silentInterval)
		call(ErrTimeout, 2)
		time.Sleep(silentInterval)
		answer = part("x", true)
		call(nil, 2)
		answer = part("x", false) // a part and then silence: the binding is there
		call(ErrTimeout, 2)
		if topics := b.refreshes()[0]; len(topics) != 2 {
			t.Errorf("refreshed %v", topics)
		}
		if err := table.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
}
