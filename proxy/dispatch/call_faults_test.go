package dispatch

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sluice/bus"
	"sluice/codec"
)

func TestBusErrors(t *testing.T) {
	for _, c := range []struct{ bus, want error }{
		{bus.ErrUnavailable, ErrUnavailable},
		{bus.ErrBusy, ErrUnavailable},
		{bus.ErrClosed, ErrUnavailable},
		{bus.ErrTooLarge, ErrTooLarge},
		{bus.ErrUnroutable, ErrNoService},
		{bus.ErrOutcomeUnknown, ErrOutcomeUnknown},
		{context.DeadlineExceeded, ErrTimeout},
		{context.Canceled, ErrGone},
		{errors.New("anything"), ErrUnavailable},
	} {
		b, p := newFakeBus(), NewPending(0)
		b.onPublish = func(context.Context, *bus.Message) (bus.Receipt, error) { return bus.Receipt{}, c.bus }
		table := New(b, p, Config{})
		table.StartFlow("acme", "main", record("main"))
		if _, _, err := table.Call(completion, ask(t, "x"), nil, Call{}); !errors.Is(err, c.want) || !errors.Is(err, c.bus) {
			t.Errorf("call, %v: %v", c.bus, err)
		}
		load := Key{"acme", "main", codec.TextLoad}
		if err := table.Send(load, parsed(t, codec.TextLoad, `{"text":"aGk="}`), Call{}); !errors.Is(err, c.want) {
			t.Errorf("send, %v: %v", c.bus, err)
		}
		if err := table.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if n := p.Waiting(); n != 0 {
			t.Errorf("%v: %d slots in use", c.bus, n)
		}
	}
}

func TestTooLarge(t *testing.T) {
	f := newFixture(t, Config{MaxMessageBytes: 60})
	f.table.StartFlow("acme", "main", record("main"))
	f.serve("request:tg:tc:main", "response:tg:tc:main", echo)
	if _, _, err := f.table.Call(completion, ask(t, "short"), nil, Call{}); err != nil {
		t.Error(err)
	}
	if _, _, err := f.table.Call(completion, ask(t, strings.Repeat("long", 10)), nil, Call{}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("call: %v", err)
	}
	load := parsed(t, codec.TextLoad, `{"text":"aGVsbG8gd29ybGQgaGVsbG8gd29ybGQgaGVsbG8gd29ybGQ="}`)
	if err := f.table.Send(Key{"acme", "main", codec.TextLoad}, load, Call{}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("send: %v", err)
	}
}

func TestExhausted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, p := newFakeBus(), NewPending(2)
		table := New(b, p, Config{})
		table.StartFlow("acme", "main", record("main"))
		results := make(chan error, 3)
		call := func() {
			_, _, err := table.Call(completion, ask(t, "x"), nil, Call{PartTimeout: time.Second})
			results <- err
		}
		go call()
		go call()
		synctest.Wait()
		call()
		if err := <-results; !errors.Is(err, ErrExhausted) {
			t.Errorf("the third call of two: %v", err)
		}
		for range 2 {
			if err := <-results; !errors.Is(err, ErrTimeout) {
				t.Errorf("a call that waits: %v", err)
			}
		}
		call()
		if err := <-results; !errors.Is(err, ErrTimeout) {
			t.Errorf("a call after: %v", err)
		}
		if err := table.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

func TestClientGone(t *testing.T) {
	left := make(chan struct{})
	close(left)
	for name, stage := range map[string]func(b *fakeBus){
		"waiting for the answer": func(*fakeBus) {},
		"wiring": func(b *fakeBus) {
			b.onSubscribe = func(ctx context.Context, _ bus.Consumer) error {
				<-ctx.Done()
				return ctx.Err()
			}
		},
		"publishing": func(b *fakeBus) {
			b.onPublish = func(ctx context.Context, _ *bus.Message) (bus.Receipt, error) {
				if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) > 120*time.Second {
					t.Errorf("deadline %v, %v", deadline, ok)
				}
				// As a bus would that derives a context of its own.
				ctx, cancel := context.WithTimeout(ctx, time.Hour)
				defer cancel()
				<-ctx.Done()
				return bus.Receipt{}, context.Cause(ctx)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			b, p := newFakeBus(), NewPending(0)
			stage(b)
			table := New(b, p, Config{})
			table.StartFlow("acme", "main", record("main"))
			if _, _, err := table.Call(completion, ask(t, "x"), nil, Call{Gone: left}); !errors.Is(err, ErrGone) {
				t.Errorf("err = %v", err)
			}
			if n := p.Waiting(); n != 0 {
				t.Errorf("%d slots in use", n)
			}
			if err := table.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestPanicFreesTheSlot uses a request that is not there: the translation
// panics.
func TestPanicFreesTheSlot(t *testing.T) {
	f := newFixture(t, Config{})
	f.table.StartFlow("acme", "main", record("main"))
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
		}()
		_, _, _ = f.table.Call(completion, nil, nil, Call{})
	}()
	if n := f.pending.Waiting(); n != 0 {
		t.Errorf("%d slots in use", n)
	}
	s, _ := f.table.services.Load(completion)
	if n := s.users.Load(); n != 0 {
		t.Errorf("%d users of the service", n)
	}
}

// TestInterruptedMidCall loses the bus under a call: it ends at once, and the
// next one works.
func TestInterruptedMidCall(t *testing.T) {
	f := newFixture(t, Config{})
	f.table.StartFlow("acme", "main", record("main"))
	asked := make(chan struct{}, 2)
	first := true
	f.serve("request:tg:tc:main", "response:tg:tc:main", func(body string, reply func(string)) {
		if first {
			first = false
			asked <- struct{}{}
			return
		}
		echo(body, reply)
	})
	result := make(chan error, 1)
	go func() {
		_, _, err := f.table.Call(completion, ask(t, "x"), nil, Call{})
		result <- err
	}()
	<-asked
	f.bus.Interrupt()
	if err := <-result; !errors.Is(err, ErrLost) {
		t.Errorf("err = %v", err)
	}
	if _, _, err := f.table.Call(completion, ask(t, "x"), nil, Call{}); err != nil {
		t.Errorf("the next call: %v", err)
	}
}
