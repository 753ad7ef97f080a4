package dispatch

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"sluice/bus"
	"sluice/codec"
)

var load = Key{"acme", "main", codec.TextLoad}

// letter is work that a fakeBus was given.
type letter struct {
	body  string
	to    Settler
	token uint64
}

// newSender returns a table whose bus keeps the work it is given.
func newSender(t testing.TB) (*Table, *fakeBus, *[]letter) {
	t.Helper()
	b := newFakeBus()
	var letters []letter
	b.onAsync = func(_ context.Context, m *bus.Message, s Settler, token uint64) error {
		letters = append(letters, letter{string(m.Body), s, token})
		return nil
	}
	table := New(b, NewPending(0), Config{})
	table.StartFlow("acme", "main", record("main"))
	return table, b, &letters
}

func work(t testing.TB) *codec.Request { return parsed(t, codec.TextLoad, `{"text":"aGk=","id":"d"}`) }

func TestStreamToASender(t *testing.T) {
	for name, c := range map[string]struct{ outcome, want error }{
		"kept":       {},
		"unroutable": {bus.ErrUnroutable, ErrNoService},
		"unknown":    {bus.ErrOutcomeUnknown, ErrOutcomeUnknown},
	} {
		for _, early := range []bool{false, true} {
			table, b, letters := newSender(t)
			if early {
				b.onAsync = func(_ context.Context, _ *bus.Message, s Settler, token uint64) error {
					s.Settled(token, c.outcome)
					return nil
				}
			}
			r := newRecorder(t)
			_, err := table.Stream(load, work(t), Call{}, r)
			switch {
			case early && c.want != nil:
				if !errors.Is(err, c.want) {
					t.Errorf("%s at once: %v", name, err)
				}
				closeTable(t, table)
				continue
			case err != nil:
				t.Errorf("%s: %v", name, err)
			}
			// Neither of these ends it: the bus has yet to say what became of it.
			table.pending.Interrupted()
			table.StopFlow("acme", "main")
			for _, l := range *letters {
				l.to.Settled(l.token, c.outcome)
				l.to.Settled(l.token, c.outcome)
			}
			got, err := r.wait()
			if !errors.Is(err, c.want) || c.want == nil && !slices.Equal(got, []string{"nothing"}) {
				t.Errorf("%s, early %v: %q, %v", name, early, got, err)
			}
			closeTable(t, table)
		}
	}
}

func TestStreamToASenderCannotBeSent(t *testing.T) {
	table, b, _ := newSender(t)
	defer closeTable(t, table)
	b.onAsync = func(context.Context, *bus.Message, Settler, uint64) error { return bus.ErrBusy }
	r := newRecorder(t)
	if _, err := table.Stream(load, work(t), Call{}, r); !errors.Is(err, ErrUnavailable) {
		t.Errorf("err = %v", err)
	}
	if got, err := r.told(); len(got) != 0 || err != nil {
		t.Errorf("told %q, %v", got, err)
	}
}

func TestConfirmationNeverComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table, b, letters := newSender(t)
		r, start := newRecorder(t), time.Now()
		if _, err := table.Stream(load, work(t), Call{PartTimeout: 5 * time.Second}, r); err != nil {
			t.Fatal(err)
		}
		_, err := r.wait()
		if took := time.Since(start); !errors.Is(err, ErrOutcomeUnknown) || took < 5*time.Second || took > 5*time.Second+deadlineTick {
			t.Errorf("%v after %v", err, took)
		}
		l := (*letters)[0]
		l.to.Settled(l.token, nil) // too late
		synctest.Wait()
		if n := len(b.refreshes()); n != 0 {
			t.Errorf("%d refreshes: senders have no replies that could be missing", n)
		}
		closeTable(t, table)
	})
}

func TestClosedBeforeTheConfirmation(t *testing.T) {
	table, _, _ := newSender(t)
	r := newRecorder(t)
	if _, err := table.Stream(load, work(t), Call{}, r); err != nil {
		t.Fatal(err)
	}
	closeTable(t, table)
	if _, err := r.wait(); !errors.Is(err, ErrOutcomeUnknown) {
		t.Errorf("err = %v", err)
	}
}

func TestCancelledSender(t *testing.T) {
	table, _, letters := newSender(t)
	defer closeTable(t, table)
	r := newRecorder(t)
	h, err := table.Stream(load, work(t), Call{}, r)
	if err != nil || !h.Cancel() {
		t.Fatal(err)
	}
	l := (*letters)[0]
	l.to.Settled(l.token, nil)
	if got, err := r.told(); len(got) != 0 || err != nil {
		t.Errorf("told %q, %v", got, err)
	}
}

func TestWired(t *testing.T) {
	b, p := newFakeBus(), NewPending(0)
	table := New(b, p, Config{})
	table.StartFlow("acme", "main", record("main"))
	if table.Wired(completion) || table.Wired(load) || table.Wired(Key{Kind: codec.Config}) {
		t.Error("wired before the first use")
	}
	h, err := table.Stream(completion, ask(t, "x"), Call{}, newRecorder(t))
	if err != nil || !table.Wired(completion) {
		t.Errorf("%v, or not wired", err)
	}
	h.Cancel()
	if h, err = table.Stream(Key{"a", "b", codec.Config}, parsed(t, codec.Config, `{"operation":"get"}`), Call{}, newRecorder(t)); err != nil {
		t.Error(err)
	}
	h.Cancel()
	if !table.Wired(Key{"c", "d", codec.Config}) {
		t.Error("global services are wired for all")
	}
	if err := table.Send(load, work(t), Call{}); err != nil || !table.Wired(load) {
		t.Errorf("%v, or not wired", err)
	}
	// What requests go through was declared in the course of it.
	if want := []string{"tg.request.tc:main", "tg.request.config", "tg.flow.text-load:main"}; !slices.Equal(b.declared, want) {
		t.Errorf("declared %q, want %q", b.declared, want)
	}
	table.StopFlow("acme", "main")
	if table.Wired(completion) {
		t.Error("wired after the flow stopped")
	}
	closeTable(t, table)
}

// TestCannotDeclare: then it is not wired, and nothing stays bound.
func TestCannotDeclare(t *testing.T) {
	b, p := newFakeBus(), NewPending(0)
	b.onDeclare = bus.ErrUnavailable
	table := New(b, p, Config{})
	table.StartFlow("acme", "main", record("main"))
	for k, req := range map[Key]*codec.Request{completion: ask(t, "x"), load: work(t)} {
		if _, err := table.Stream(k, req, Call{}, newRecorder(t)); !errors.Is(err, ErrUnavailable) || !errors.Is(err, bus.ErrUnavailable) {
			t.Errorf("err = %v", err)
		}
		if table.Wired(k) {
			t.Error("wired")
		}
	}
	if now, ever := b.subscriptions("tg.response.tc:main"); now != 0 || ever == 0 {
		t.Errorf("%d of %d subscriptions are left", now, ever)
	}
	closeTable(t, table)
}

// TestWorkOnTheMemoryBus: nothing is scripted here.
func TestWorkOnTheMemoryBus(t *testing.T) {
	f := newFixture(t, Config{})
	f.table.StartFlow("acme", "main", record("main"))
	r := newRecorder(t)
	_, err := f.table.Stream(load, work(t), Call{}, r)
	if err == nil {
		_, err = r.wait()
	}
	if !errors.Is(err, ErrNoService) {
		t.Errorf("nobody takes it: %v", err)
	}
	f.swallow("flow:tg:text-load:main")
	f.swallow("flow:tg:triples-store:main")
	r = newRecorder(t)
	if _, err := f.table.Stream(load, work(t), Call{}, r); err != nil {
		t.Fatal(err)
	}
	if got, err := r.wait(); err != nil || !slices.Equal(got, []string{"nothing"}) {
		t.Errorf("%q, %v", got, err)
	}
	o, err := f.table.Outlet("acme", "main", "triples-store")
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	var told outcomes
	for i := range uint64(1000) {
		if err := o.Publish(t.Context(), []byte("work"), &told, i); err != nil {
			t.Fatal(err)
		}
	}
	waitUntil(t, "all are settled", func() bool {
		told.mu.Lock()
		defer told.mu.Unlock()
		return told.n == 1000 && len(told.of) == 1000
	})
	for token, err := range told.of {
		if err != nil {
			t.Errorf("%d: %v", token, err)
		}
	}
}
