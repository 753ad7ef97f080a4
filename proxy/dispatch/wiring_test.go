package dispatch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sluice/bus"
	"sluice/codec"
)

// TestSharedResponseTopic: stateless services share topics between flows.
func TestSharedResponseTopic(t *testing.T) {
	f := newFixture(t, Config{})
	f.table.StartFlow("acme", "main", record("shared"))
	f.table.StartFlow("acme", "second", record("shared"))
	f.serve("request:tg:tc:shared", "response:tg:tc:shared", echo)
	second := Key{"acme", "second", codec.TextCompletion}
	for _, k := range []Key{completion, second} {
		if _, _, err := f.table.Call(k, ask(t, "x"), nil, Call{}); err != nil {
			t.Fatal(err)
		}
	}
	f.table.StopFlow("acme", "main")
	for range 20 {
		if _, _, err := f.table.Call(second, ask(t, "x"), nil, Call{PartTimeout: 10 * time.Second}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFirstUsesShareTheWiring(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, p := newFakeBus(), NewPending(0)
		broken := true
		b.onSubscribe = func(context.Context, bus.Consumer) error {
			time.Sleep(time.Second)
			if broken {
				return bus.ErrUnavailable
			}
			return nil
		}
		b.onPublish = func(_ context.Context, m *bus.Message) (bus.Receipt, error) {
			p.Deliver(m.ID, buffer(part("x", true)))
			return bus.Receipt{}, nil
		}
		table := New(b, p, Config{})
		table.StartFlow("acme", "main", record("main"))
		burst := func(want error) {
			start := time.Now()
			var wg sync.WaitGroup
			for range 20 {
				wg.Go(func() {
					if _, _, err := table.Call(completion, ask(t, "x"), nil, Call{}); !errors.Is(err, want) {
						t.Errorf("err = %v, want %v", err, want)
					}
				})
			}
			wg.Wait()
			if took := time.Since(start); took != time.Second {
				t.Errorf("20 first uses took %v", took)
			}
		}
		burst(ErrUnavailable)
		// A failure is not remembered.
		broken = false
		burst(nil)
		if _, ever := b.subscriptions(""); ever != 1 {
			t.Errorf("%d subscriptions", ever)
		}
		if err := table.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

func TestWiringIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, p := newFakeBus(), NewPending(0)
		b.onSubscribe = func(ctx context.Context, _ bus.Consumer) error {
			<-ctx.Done()
			return context.Cause(ctx)
		}
		table := New(b, p, Config{})
		table.StartFlow("acme", "main", record("main"))
		start := time.Now()
		_, _, err := table.Call(completion, ask(t, "x"), nil, Call{})
		if took := time.Since(start); !errors.Is(err, ErrUnavailable) || took != wireTimeout {
			t.Errorf("%v after %v", err, took)
		}
		if err := table.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// TestRedefinedWhileWiring: calls that wait for the wiring of topics that are
// no longer valid are served by the new ones.
func TestRedefinedWhileWiring(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, p := newFakeBus(), NewPending(0)
		b.onSubscribe = func(ctx context.Context, c bus.Consumer) error {
			if c.Topic.Exchange == "tg.response.tc:stuck" {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}
		b.onPublish = func(_ context.Context, m *bus.Message) (bus.Receipt, error) {
			p.Deliver(m.ID, buffer(part("x", true)))
			return bus.Receipt{}, nil
		}
		table := New(b, p, Config{})
		table.StartFlow("acme", "main", record("stuck"))
		results := make(chan error, 2)
		call := func(k Key) {
			_, _, err := table.Call(k, ask(t, "x"), nil, Call{})
			results <- err
		}
		go call(completion)
		synctest.Wait()
		start := time.Now()
		table.StartFlow("acme", "main", record("good"))
		if err := <-results; err != nil || time.Since(start) != 0 {
			t.Errorf("redefined: %v after %v", err, time.Since(start))
		}
		table.StartFlow("acme", "second", record("stuck"))
		go call(Key{"acme", "second", codec.TextCompletion})
		synctest.Wait()
		table.StopFlow("acme", "second")
		var unknown *UnknownFlowError
		if err := <-results; !errors.As(err, &unknown) || time.Since(start) != 0 {
			t.Errorf("stopped: %v after %v", err, time.Since(start))
		}
		if err := table.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// TestStoppedWhilePublishing: the bus may hold a request up; stopping the flow
// ends that as well.
func TestStoppedWhilePublishing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, p := newFakeBus(), NewPending(0)
		b.onPublish = func(ctx context.Context, _ *bus.Message) (bus.Receipt, error) {
			<-ctx.Done()
			return bus.Receipt{}, fmt.Errorf("%w: %w", bus.ErrBusy, context.Cause(ctx))
		}
		table := New(b, p, Config{})
		table.StartFlow("acme", "main", record("main"))
		result := make(chan error, 1)
		go func() {
			_, _, err := table.Call(completion, ask(t, "x"), nil, Call{Gone: make(chan struct{})})
			result <- err
		}()
		synctest.Wait()
		start := time.Now()
		table.StopFlow("acme", "main")
		if err := <-result; !errors.Is(err, ErrFlowStopped) || time.Since(start) != 0 {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		if err := table.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
}
