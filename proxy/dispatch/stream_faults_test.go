package dispatch

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"

	"sluice/bus"
	"sluice/pool"
)

// TestStreamFails ends streams that have had a part in every way there is.
func TestStreamFails(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(f *fixture)
		want error
	}{
		"flow stopped":   {func(f *fixture) { f.table.StopFlow("acme", "main") }, ErrFlowStopped},
		"flow redefined": {func(f *fixture) { f.table.StartFlow("acme", "main", record("other")) }, ErrFlowStopped},
		"interrupted":    {func(f *fixture) { f.bus.Interrupt() }, ErrLost},
		"closed":         {func(f *fixture) { _ = f.table.Close(context.Background()) }, ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, Config{})
			f.table.StartFlow("acme", "main", record("main"))
			f.serve("request:tg:tc:main", "response:tg:tc:main", func(_ string, reply func(string)) {
				reply(part("one", false))
			})
			r := newRecorder(t)
			if _, err := f.table.Stream(completion, ask(t, "x"), Call{}, r); err != nil {
				t.Fatal(err)
			}
			waitUntil(t, "a part", func() bool { got, _ := r.told(); return len(got) == 1 })
			c.end(f)
			if _, err := r.wait(); !errors.Is(err, c.want) {
				t.Errorf("err = %v", err)
			}
			if n := f.pending.Waiting(); n != 0 {
				t.Errorf("%d slots in use", n)
			}
		})
	}
}

func TestStreamLosesItsLane(t *testing.T) {
	b, p := newFakeBus(), NewPending(0)
	lane := new(bus.Lane)
	b.onPublish = func(context.Context, *bus.Message) (bus.Receipt, error) { return bus.Receipt{Lane: lane, Seq: 1}, nil }
	table := New(b, p, Config{})
	defer closeTable(t, table)
	table.StartFlow("acme", "main", record("main"))
	r := newRecorder(t)
	if _, err := table.Stream(completion, ask(t, "x"), Call{}, r); err != nil {
		t.Fatal(err)
	}
	lane.MarkLost()
	p.Lost(lane)
	if _, err := r.wait(); !errors.Is(err, ErrLost) {
		t.Errorf("err = %v", err)
	}
	// Now it is lost before the receipt is there.
	if _, err := table.Stream(completion, ask(t, "x"), Call{}, newRecorder(t)); !errors.Is(err, ErrLost) {
		t.Errorf("err = %v", err)
	}
}

func TestStreamReturned(t *testing.T) {
	b, p := newFakeBus(), NewPending(0)
	table := New(b, p, Config{})
	defer closeTable(t, table)
	table.StartFlow("acme", "main", record("main"))
	r := newRecorder(t)
	if _, err := table.Stream(completion, ask(t, "x"), Call{}, r); err != nil {
		t.Fatal(err)
	}
	p.Return(b.messages()[0].ID)
	if _, err := r.wait(); !errors.Is(err, ErrNoService) {
		t.Errorf("err = %v", err)
	}
}

// TestStreamAnsweredWhileSending: the answer is quicker than Publish, whatever
// that says in the end.
func TestStreamAnsweredWhileSending(t *testing.T) {
	for _, result := range []error{nil, bus.ErrUnavailable} {
		b, p := newFakeBus(), NewPending(0)
		b.onPublish = func(_ context.Context, m *bus.Message) (bus.Receipt, error) {
			for _, msg := range words(3) {
				p.Deliver(m.ID, buffer(msg))
			}
			return bus.Receipt{}, result
		}
		table := New(b, p, Config{})
		table.StartFlow("acme", "main", record("main"))
		r := newRecorder(t)
		if _, err := table.Stream(completion, ask(t, "x"), Call{}, r); err != nil {
			t.Error(err)
		}
		if got, err := r.told(); err != nil || !slices.Equal(got, words(3)) {
			t.Errorf("%q, %v", got, err)
		}
		if n := p.Waiting(); n != 0 {
			t.Errorf("%d slots in use", n)
		}
		closeTable(t, table)
	}
}

func TestStreamCannotBeSent(t *testing.T) {
	b, p := newFakeBus(), NewPending(0)
	b.onPublish = func(context.Context, *bus.Message) (bus.Receipt, error) { return bus.Receipt{}, bus.ErrBusy }
	table := New(b, p, Config{})
	defer closeTable(t, table)
	table.StartFlow("acme", "main", record("main"))
	r := newRecorder(t)
	if _, err := table.Stream(completion, ask(t, "x"), Call{}, r); !errors.Is(err, ErrUnavailable) {
		t.Errorf("err = %v", err)
	}
	p.Deliver(b.messages()[0].ID, buffer(part("stale", true)))
	if got, err := r.told(); len(got) != 0 || err != nil {
		t.Errorf("told %q, %v", got, err)
	}
}

// TestStoppedWhileStreamIsSent: the error comes from Stream, not to the sink.
func TestStoppedWhileStreamIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, p := newFakeBus(), NewPending(0)
		b.onPublish = func(ctx context.Context, _ *bus.Message) (bus.Receipt, error) {
			<-ctx.Done()
			return bus.Receipt{}, context.Cause(ctx)
		}
		table := New(b, p, Config{})
		table.StartFlow("acme", "main", record("main"))
		result, r := make(chan error, 1), newRecorder(t)
		go func() {
			_, err := table.Stream(completion, ask(t, "x"), Call{}, r)
			result <- err
		}()
		synctest.Wait()
		table.StopFlow("acme", "main")
		if err := <-result; !errors.Is(err, ErrFlowStopped) {
			t.Errorf("err = %v", err)
		}
		if got, err := r.told(); len(got) != 0 || err != nil {
			t.Errorf("told %q, %v", got, err)
		}
		closeTable(t, table)
	})
}

func TestStreamExhausted(t *testing.T) {
	b, p := newFakeBus(), NewPending(1)
	table := New(b, p, Config{})
	defer closeTable(t, table)
	table.StartFlow("acme", "main", record("main"))
	h, err := table.Stream(completion, ask(t, "x"), Call{}, newRecorder(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := table.Stream(completion, ask(t, "x"), Call{}, newRecorder(t)); !errors.Is(err, ErrExhausted) {
		t.Errorf("the second of one: %v", err)
	}
	h.Cancel()
	s, _ := table.services.Load(completion)
	if n := s.users.Load(); n != 0 {
		t.Errorf("%d users of the service", n)
	}
	// A request that is not there makes the translation panic.
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
		}()
		_, _ = table.Stream(completion, nil, Call{}, newRecorder(t))
	}()
	if n := freeSlots(p); n != 1 {
		t.Errorf("%d slots are free", n)
	}
}

// TestEndsMayCallBack: whoever is told of an end may define flows, which is how
// one knows that no lock is held.
func TestEndsMayCallBack(t *testing.T) {
	f := newFixture(t, Config{})
	f.table.StartFlow("acme", "main", record("main"))
	f.serve("request:tg:tc:main", "response:tg:tc:main", func(string, func(string)) {})
	s := &caller{table: f.table, failed: make(chan struct{}), ended: make(chan struct{})}
	if _, err := f.table.Stream(completion, ask(t, "x"), Call{}, s); err != nil {
		t.Fatal(err)
	}
	if _, err := f.table.Tap("acme", "main", "triples-store", shout, s); err != nil {
		t.Fatal(err)
	}
	f.table.StopFlow("acme", "main")
	<-s.failed
	<-s.ended
}

// caller is a sink and a tap that defines flows when it is told of the end.
type caller struct {
	drain
	table         *Table
	failed, ended chan struct{}
}

func (*caller) Part(body *pool.Buffer, _ bool) { body.Release() }

func (c *caller) Fail(error) {
	c.table.StartFlow("acme", "again", record("again"))
	close(c.failed)
}

func (c *caller) Ended(error) {
	c.table.StopFlow("acme", "again")
	close(c.ended)
}
