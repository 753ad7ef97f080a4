package dispatch

import (
	"sync"
	"sync/atomic"
	"testing"

	"sluice/pool"
)

func TestCancel(t *testing.T) {
	b, p := newFakeBus(), NewPending(0)
	table := New(b, p, Config{})
	defer closeTable(t, table)
	table.StartFlow("acme", "main", record("main"))
	r := newRecorder(t)
	h, err := table.Stream(completion, ask(t, "x"), Call{}, r)
	if err != nil {
		t.Fatal(err)
	}
	id := b.messages()[0].ID
	p.Deliver(id, buffer(part("one", false)))
	if !h.Cancel() {
		t.Error("not cancelled")
	}
	if h.Cancel() || (StreamHandle{}).Cancel() {
		t.Error("cancelled twice")
	}
	p.Deliver(id, buffer(part("two", true)))
	p.Return(id)
	p.Interrupted()
	if got, err := r.told(); len(got) != 1 || err != nil {
		t.Errorf("told %q, %v", got, err)
	}
	if n := p.Waiting(); n != 0 {
		t.Errorf("%d slots in use", n)
	}
	// The slot's next user is not the old handle's business.
	next := newRecorder(t)
	if _, err := table.Stream(completion, ask(t, "x"), Call{}, next); err != nil {
		t.Fatal(err)
	}
	if h.Cancel() {
		t.Error("cancelled somebody else's call")
	}
	p.Deliver(b.messages()[1].ID, buffer(part("x", true)))
	if got, err := next.wait(); len(got) != 1 || err != nil {
		t.Errorf("told %q, %v", got, err)
	}
}

func TestCancelFromWithinTheSink(t *testing.T) {
	b, p := newFakeBus(), NewPending(0)
	table := New(b, p, Config{})
	defer closeTable(t, table)
	table.StartFlow("acme", "main", record("main"))
	r := newRecorder(t)
	var h StreamHandle
	again := newRecorder(t)
	r.onPart = func(string, bool) {
		if h.Cancel() {
			t.Error("a method runs, and it is this one")
		}
		// While the slot is still waiting for this method to return.
		if _, err := table.Stream(completion, ask(t, "y"), Call{}, again); err != nil {
			t.Error(err)
		}
		p.Deliver(b.messages()[0].ID, buffer(part("stale", true)))
	}
	h, err := table.Stream(completion, ask(t, "x"), Call{}, r)
	if err != nil {
		t.Fatal(err)
	}
	p.Deliver(b.messages()[0].ID, buffer(part("one", false)))
	if got, err := r.told(); len(got) != 1 || err != nil {
		t.Errorf("told %q, %v", got, err)
	}
	p.Deliver(b.messages()[1].ID, buffer(part("for the other", true)))
	if got, err := again.wait(); len(got) != 1 || err != nil {
		t.Errorf("told %q, %v", got, err)
	}
}

// gate is a sink that stays in its first Part until it is told to go on.
type gate struct {
	in, out chan struct{}
	calls   atomic.Int32
}

func (g *gate) Part(body *pool.Buffer, _ bool) {
	body.Release()
	if g.calls.Add(1) == 1 {
		g.in <- struct{}{}
		<-g.out
	}
}

func (g *gate) Fail(error) { g.calls.Add(1) }

// TestCancelBesideAPart: the part under way ends as it likes, the queue behind it
// goes nowhere, and the slot is not lent to anybody before that.
func TestCancelBesideAPart(t *testing.T) {
	b, p := newFakeBus(), NewPending(1)
	table := New(b, p, Config{})
	defer closeTable(t, table)
	table.StartFlow("acme", "main", record("main"))
	g := &gate{in: make(chan struct{}), out: make(chan struct{})}
	h, err := table.Stream(completion, ask(t, "x"), Call{}, g)
	if err != nil {
		t.Fatal(err)
	}
	id := b.messages()[0].ID
	var wg sync.WaitGroup
	wg.Go(func() { p.Deliver(id, buffer(part("one", false))) })
	<-g.in
	p.Deliver(id, buffer(part("two", false)))
	if h.Cancel() {
		t.Error("a part is under way")
	}
	if n := p.Waiting(); n != 0 {
		t.Errorf("%d slots in use", n)
	}
	if s := p.free.pop(p); s != nil {
		t.Error("the slot is free already")
	}
	close(g.out)
	wg.Wait()
	if n := g.calls.Load(); n != 1 {
		t.Errorf("%d calls", n)
	}
	r := newRecorder(t)
	if h, err = table.Stream(completion, ask(t, "x"), Call{}, r); err != nil {
		t.Fatal(err)
	}
	h.Cancel()
}

// TestSinkPanics: the call ends and the process does not.
func TestSinkPanics(t *testing.T) {
	b, p := newFakeBus(), NewPending(1)
	table := New(b, p, Config{})
	defer closeTable(t, table)
	table.StartFlow("acme", "main", record("main"))
	for i, final := range []bool{false, true} {
		r := newRecorder(t)
		r.onPart = func(string, bool) { panic("a bug") }
		if _, err := table.Stream(completion, ask(t, "x"), Call{}, r); err != nil {
			t.Fatal(err)
		}
		id := b.messages()[i].ID
		p.Deliver(id, buffer(part("one", final)))
		p.Deliver(id, buffer(part("two", true)))
		if n := p.Waiting(); n != 0 {
			t.Errorf("%d slots in use", n)
		}
	}
}
