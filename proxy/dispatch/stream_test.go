package dispatch

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sluice/bus"
	"sluice/codec"
)

func TestStreamGivesEachPartInOrder(t *testing.T) {
	f := newFixture(t, Config{})
	f.table.StartFlow("acme", "main", record("main"))
	f.serve("request:tg:tc:main", "response:tg:tc:main", func(_ string, reply func(string)) {
		for _, msg := range words(200) {
			reply(msg)
		}
		reply(part("too late", true))
	})
	for range 3 {
		r := newRecorder(t)
		h, err := f.table.Stream(completion, ask(t, "x"), Call{}, r)
		if err != nil {
			t.Fatal(err)
		}
		got, err := r.wait()
		if err != nil || !slices.Equal(got, words(200)) {
			t.Errorf("%d parts, %v", len(got), err)
		}
		if h.Cancel() {
			t.Error("cancelled what had ended")
		}
		if n := f.pending.Waiting(); n != 0 {
			t.Errorf("%d slots in use", n)
		}
	}
	if n := f.pending.made.Load(); n > 2 {
		t.Errorf("%d slots were made", n)
	}
}

func TestStreamEndsWithWhatCannotGoOn(t *testing.T) {
	f := newFixture(t, Config{})
	f.table.StartFlow("acme", "main", record("main"))
	f.serve("request:tg:tc:main", "response:tg:tc:main", func(body string, reply func(string)) {
		reply(part("one", false))
		reply(promptOf(body))
		reply(part("more", false))
	})
	for _, last := range []string{"garbage", "{'error':{'type':'t','message':'m'}}"} {
		r := newRecorder(t)
		if _, err := f.table.Stream(completion, ask(t, last), Call{}, r); err != nil {
			t.Fatal(err)
		}
		got, err := r.wait()
		if err != nil || len(got) != 2 || got[1] != last {
			t.Errorf("%q, %v", got, err)
		}
	}
}

func TestStreamRefusals(t *testing.T) {
	f := newFixture(t, Config{MaxMessageBytes: 100})
	f.table.StartFlow("acme", "main", record("main"))
	var unknown *UnknownFlowError
	var bad *codec.Error
	for name, c := range map[string]struct {
		key  Key
		req  *codec.Request
		want func(error) bool
	}{
		"unknown flow": {key: Key{"acme", "no", codec.Prompt}, want: func(err error) bool { return errors.As(err, &unknown) }},
		"kind":         {key: Key{"acme", "main", codec.GraphRAG}, want: is(ErrUnsupportedKind)},
		"stream kind":  {key: Key{"acme", "main", codec.EntityContexts}, want: is(ErrUnsupportedKind)},
		"translation": {req: parsed(t, codec.TextCompletion, `{}`),
			want: func(err error) bool { return errors.As(err, &bad) }},
		"too large":  {req: ask(t, strings.Repeat("long", 100)), want: is(ErrTooLarge)},
		"no service": {want: is(ErrNoService)},
	} {
		if c.key.Flow == "" {
			c.key = completion
		}
		if c.req == nil {
			c.req = ask(t, "x")
		}
		r := newRecorder(t)
		_, err := f.table.Stream(c.key, c.req, Call{}, r)
		if !c.want(err) {
			t.Errorf("%s: %v", name, err)
		}
		if got, err := r.told(); len(got) != 0 || err != nil {
			t.Errorf("%s: the sink was told %q, %v", name, got, err)
		}
		if n := f.pending.Waiting(); n != 0 {
			t.Errorf("%s: %d slots in use", name, n)
		}
	}
}

func is(want error) func(error) bool { return func(err error) bool { return errors.Is(err, want) } }

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

func TestStreamTimesOut(t *testing.T) {
	for name, c := range map[string]struct {
		call      Call
		pace      time.Duration // between parts; 0 means none comes
		least     time.Duration
		refreshes int
	}{
		"silence":          {call: Call{PartTimeout: 10 * time.Second}, least: 10 * time.Second, refreshes: 1},
		"total":            {call: Call{Timeout: 3 * time.Second}, least: 3 * time.Second, refreshes: 1},
		"parts go on":      {call: Call{PartTimeout: 10 * time.Second, Timeout: time.Minute}, pace: 9 * time.Second, least: time.Minute},
		"parts come later": {call: Call{PartTimeout: 10 * time.Second, Timeout: time.Hour}, pace: 11 * time.Second, least: 10 * time.Second, refreshes: 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, p := newFakeBus(), NewPending(0)
				table := New(b, p, Config{})
				table.StartFlow("acme", "main", record("main"))
				r, start := newRecorder(t), time.Now()
				if _, err := table.Stream(completion, ask(t, "x"), c.call, r); err != nil {
					t.Fatal(err)
				}
				for c.pace > 0 && p.Waiting() > 0 {
					time.Sleep(c.pace)
					p.Deliver(b.messages()[0].ID, buffer(part("word", false)))
				}
				_, err := r.wait()
				synctest.Wait()
				took := time.Since(start)
				if c.pace == 0 && took > c.least+deadlineTick {
					t.Errorf("took %v", took)
				}
				if !errors.Is(err, ErrTimeout) || took < c.least {
					t.Errorf("%v after %v", err, took)
				}
				if n := len(b.refreshes()); n != c.refreshes {
					t.Errorf("%d refreshes, want %d", n, c.refreshes)
				}
				if n := p.Waiting(); n != 0 {
					t.Errorf("%d slots in use", n)
				}
				closeTable(t, table)
			})
		})
	}
}

// TestDeadlinesRest: nobody looks at the slots while nothing is streamed, and
// somebody does again afterwards.
func TestDeadlinesRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := New(newFakeBus(), NewPending(0), Config{})
		table.StartFlow("acme", "main", record("main"))
		for range 3 {
			r := newRecorder(t)
			if _, err := table.Stream(completion, ask(t, "x"), Call{PartTimeout: time.Second}, r); err != nil {
				t.Fatal(err)
			}
			if _, err := r.wait(); !errors.Is(err, ErrTimeout) {
				t.Errorf("err = %v", err)
			}
			time.Sleep(time.Hour)
		}
		closeTable(t, table)
	})
}

func closeTable(t testing.TB, table *Table) {
	t.Helper()
	if err := table.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if n := table.pending.Waiting(); n != 0 {
		t.Errorf("%d slots in use", n)
	}
	if n := table.pending.streams.n.Load(); n != 0 {
		t.Errorf("%d streams counted", n)
	}
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
