package dispatch

import (
	"context"
	"errors"
	"sync"
	"testing"

	"sluice/bus"
	"sluice/codec"
)

// outcomes is a Settler that remembers.
type outcomes struct {
	mu sync.Mutex
	of map[uint64]error
	n  int
}

func (o *outcomes) Settled(token uint64, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.of == nil {
		o.of = map[uint64]error{}
	}
	o.of[token] = err
	o.n++
}

func TestOutlet(t *testing.T) {
	table, b, _ := newSender(t)
	defer closeTable(t, table)
	var letters []letter
	b.onAsync = func(_ context.Context, m *bus.Message, s Settler, token uint64) error {
		if m.To != topic(t, "flow:tg:triples-store:main") || m.ID != "" {
			t.Errorf("published to %v with id %q", m.To, m.ID)
		}
		letters = append(letters, letter{string(m.Body), s, token})
		return nil
	}
	o, err := table.Outlet("acme", "main", "triples-store")
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	var told outcomes
	for i := range uint64(3) {
		if err := o.Publish(t.Context(), []byte{'0' + byte(i)}, &told, 100+i); err != nil {
			t.Fatal(err)
		}
	}
	table.StopFlow("acme", "main")
	<-o.Stopped()
	if err := o.Publish(t.Context(), []byte("x"), &told, 1); !errors.Is(err, ErrFlowStopped) {
		t.Errorf("err = %v", err)
	}
	// What was published is settled all the same.
	for i, outcome := range []error{nil, bus.ErrUnroutable, bus.ErrOutcomeUnknown} {
		letters[i].to.Settled(letters[i].token, outcome)
		if letters[i].body != string('0'+rune(i)) {
			t.Errorf("letter %d: %q", i, letters[i].body)
		}
	}
	for i, want := range []error{nil, ErrNoService, ErrOutcomeUnknown} {
		if err, ok := told.of[100+uint64(i)]; !ok || !errors.Is(err, want) {
			t.Errorf("token %d: %v, %v", i, err, ok)
		}
	}
	if told.n != 3 {
		t.Errorf("%d were settled", told.n)
	}
	o.Close()
	o.Close()
}

func TestOutletRefusals(t *testing.T) {
	table, b, _ := newSender(t)
	var told outcomes
	var unknown *UnknownFlowError
	if _, err := table.Outlet("acme", "no", "triples-store"); !errors.As(err, &unknown) {
		t.Errorf("unknown flow: %v", err)
	}
	// One has no interface of that name, the other no topic for work.
	for _, name := range []string{"rows-store", "text-completion"} {
		if _, err := table.Outlet("acme", "main", name); !errors.Is(err, ErrUnsupportedKind) {
			t.Errorf("%s: %v", name, err)
		}
	}
	o, err := table.Outlet("acme", "main", "triples-store")
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Publish(t.Context(), make([]byte, 129<<20), &told, 1); !errors.Is(err, ErrTooLarge) {
		t.Errorf("err = %v", err)
	}
	b.onAsync = func(context.Context, *bus.Message, Settler, uint64) error { return bus.ErrBusy }
	if err := o.Publish(t.Context(), nil, &told, 1); !errors.Is(err, ErrUnavailable) {
		t.Errorf("err = %v", err)
	}
	closeTable(t, table)
	<-o.Stopped()
	o.Close()
	if _, err := table.Outlet("acme", "main", "triples-store"); !errors.Is(err, ErrUnavailable) {
		t.Errorf("closed: %v", err)
	}
	if told.n != 0 {
		t.Errorf("%d were settled", told.n)
	}
}

// TestOnlyItsInterfaceStopsAStream redefines a flow.
func TestOnlyItsInterfaceStopsAStream(t *testing.T) {
	table, _, _ := newSender(t)
	defer closeTable(t, table)
	o, err := table.Outlet("acme", "main", "triples-store")
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	changed := record("main")
	changed.Interfaces["text-load"] = codec.Interface{Flow: "flow:tg:text-load:elsewhere"}
	table.StartFlow("acme", "main", changed)
	select {
	case <-o.Stopped():
		t.Error("stopped by a change that does not concern it")
	default:
	}
	changed.Interfaces["triples-store"] = codec.Interface{Flow: "flow:tg:triples-store:elsewhere"}
	table.StartFlow("acme", "main", changed)
	<-o.Stopped()
}
