package dispatch

import (
	"context"
	"errors"
	"slices"
	"testing"

	"sluice/bus"
)

func TestBlockingTap(t *testing.T) {
	f := newFixture(t, Config{BlockingTaps: 1})
	f.table.StartFlow("acme", "main", record("main"))
	b, err := f.table.BlockingTap("acme", "main", "triples-store", 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.table.BlockingTap("acme", "main", "triples-store", 1<<20); !errors.Is(err, ErrExhausted) {
		t.Errorf("the second of one: %v", err)
	}
	var want, got []string
	for range 200 {
		want = append(want, "message")
	}
	f.publish(stored, want...)
	full := errors.New("full")
	err = b.Run(nil, func(msg []byte) error {
		if got = append(got, string(msg)); len(got) == 200 {
			return full
		}
		return nil
	})
	if !errors.Is(err, full) || !slices.Equal(got, want) {
		t.Errorf("%d messages, %v", len(got), err)
	}
	f.publish(stored, want...) // nobody reads these
	b.Close()
	b.Close()
	f.unbound(stored)
	if b, err = f.table.BlockingTap("acme", "main", "triples-store", 1<<20); err != nil {
		t.Fatal(err)
	}
	b.Close()
	if len(f.table.links.of) != 0 || len(f.table.blockingTaps) != 0 {
		t.Errorf("left: %v, %d", f.table.links.of, len(f.table.blockingTaps))
	}
}

func TestBlockingTapBoundsWhatWaits(t *testing.T) {
	b := newFakeBus()
	var consumer bus.Consumer
	b.onSubscribe = func(_ context.Context, c bus.Consumer) error {
		consumer = c
		return nil
	}
	table := New(b, NewPending(0), Config{})
	defer closeTable(t, table)
	table.StartFlow("acme", "main", record("main"))
	tap, err := table.BlockingTap("acme", "main", "triples-store", 12345)
	if err != nil {
		t.Fatal(err)
	}
	defer tap.Close()
	if consumer.MaxBytes != 12345 || consumer.Name != "" || consumer.Prefetch != blockingPrefetch || consumer.Topic != topic(t, stored) {
		t.Errorf("consumer %+v", consumer)
	}
}

func TestBlockingTapEnds(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(f *fixture, b *BlockingTap, gone chan struct{})
		want error
	}{
		"stopped":      {func(f *fixture, _ *BlockingTap, _ chan struct{}) { f.table.StopFlow("acme", "main") }, ErrFlowStopped},
		"table closed": {func(f *fixture, _ *BlockingTap, _ chan struct{}) { _ = f.table.Close(context.Background()) }, ErrUnavailable},
		"closed":       {func(_ *fixture, b *BlockingTap, _ chan struct{}) { b.Close() }, ErrUnavailable},
		"gone":         {func(_ *fixture, _ *BlockingTap, gone chan struct{}) { close(gone) }, ErrGone},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, Config{})
			f.table.StartFlow("acme", "main", record("main"))
			b, err := f.table.BlockingTap("acme", "main", "triples-store", 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			gone, result, got := make(chan struct{}), make(chan error, 1), make(chan string, 1)
			go func() {
				result <- b.Run(gone, func(msg []byte) error {
					got <- string(msg)
					return nil
				})
			}()
			f.publish(stored, "one")
			if msg := <-got; msg != "one" {
				t.Errorf("got %q", msg)
			}
			c.end(f, b, gone)
			if err := <-result; !errors.Is(err, c.want) {
				t.Errorf("err = %v", err)
			}
		})
	}
}
