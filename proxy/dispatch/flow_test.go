package dispatch

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"sluice/bus"
	"sluice/codec"
)

func TestInterface(t *testing.T) {
	f := newFixture(t, Config{})
	r := record("main")
	f.table.StartFlow("acme", "main", r)
	for name, want := range r.Interfaces {
		if got, err := f.table.Interface("acme", "main", name); err != nil || got != want {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if _, err := f.table.Interface("acme", "main", "rows-store"); !errors.Is(err, ErrUnsupportedKind) {
		t.Errorf("unknown interface: %v", err)
	}
	var unknown *UnknownFlowError
	if _, err := f.table.Interface("acme", "other", "rows-store"); !errors.As(err, &unknown) || *unknown != (UnknownFlowError{"acme", "other"}) {
		t.Errorf("unknown flow: %v", err)
	}
	f.table.StartFlow("acme", "empty", codec.FlowRecord{})
	if _, err := f.table.Interface("acme", "empty", "prompt"); !errors.Is(err, ErrUnsupportedKind) {
		t.Errorf("empty flow: %v", err)
	}
}

func TestNewFlowCopies(t *testing.T) {
	r := codec.FlowRecord{Interfaces: map[string]codec.Interface{
		"a": {Request: "1", Response: "22"}, "b": {Flow: "333"}, "": {}, "c": {Request: "4444", Response: "", Flow: "5"},
	}}
	f := newFlow(flowKey{"w", "f"}, r)
	got := map[string]codec.Interface{}
	for _, i := range f.interfaces {
		got[i.name.Value()] = i.topics
	}
	if !reflect.DeepEqual(got, r.Interfaces) {
		t.Errorf("got %+v", got)
	}
}

func TestStopFlowEndsItsCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, Config{})
		defer f.close()
		f.table.StartFlow("acme", "main", record("main"))
		f.table.StartFlow("acme", "other", record("other"))
		silent := func(string, func(string)) {}
		f.serve("request:tg:tc:main", "response:tg:tc:main", silent)
		f.serve("request:tg:tc:other", "response:tg:tc:other", silent)
		stopped, untouched := make(chan error, 1), make(chan error, 1)
		go func() {
			_, _, err := f.table.Call(completion, ask(t, "x"), nil, Call{})
			stopped <- err
		}()
		go func() {
			_, _, err := f.table.Call(Key{"acme", "other", codec.TextCompletion}, ask(t, "x"), nil, Call{})
			untouched <- err
		}()
		synctest.Wait()
		start := time.Now()
		f.table.StopFlow("acme", "main")
		if err := <-stopped; !errors.Is(err, ErrFlowStopped) || time.Since(start) != 0 {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		var unknown *UnknownFlowError
		if _, _, err := f.table.Call(completion, ask(t, "x"), nil, Call{}); !errors.As(err, &unknown) {
			t.Errorf("a call after the stop: %v", err)
		}
		f.table.StopFlow("acme", "main")
		f.table.StopFlow("no", "body")
		if err := <-untouched; !errors.Is(err, ErrTimeout) {
			t.Errorf("the other flow's call: %v", err)
		}
	})
}

func TestStoppingStatusStops(t *testing.T) {
	f := newFixture(t, Config{})
	r := record("main")
	f.table.StartFlow("acme", "main", r)
	r.Status = "stopping"
	f.table.StartFlow("acme", "main", r)
	var unknown *UnknownFlowError
	if _, _, err := f.table.Call(completion, ask(t, "x"), nil, Call{}); !errors.As(err, &unknown) {
		t.Errorf("err = %v", err)
	}
	f.table.StartFlow("acme", "never", r)
	if _, err := f.table.Interface("acme", "never", "prompt"); !errors.As(err, &unknown) {
		t.Errorf("a flow that was stopping from the start: %v", err)
	}
}

// TestRestartAtOnce stops and starts one flow again and again: it works each
// time, and no subscription is left behind.
func TestRestartAtOnce(t *testing.T) {
	b, p := newFakeBus(), NewPending(0)
	b.onPublish = func(_ context.Context, m *bus.Message) (bus.Receipt, error) {
		p.Deliver(m.ID, buffer(part("x", true)))
		return bus.Receipt{}, nil
	}
	table := New(b, p, Config{})
	for range 50 {
		table.StartFlow("acme", "main", record("main"))
		if _, _, err := table.Call(completion, ask(t, "x"), nil, Call{}); err != nil {
			t.Fatal(err)
		}
		table.StopFlow("acme", "main")
	}
	waitUntil(t, "all is unwired", func() bool {
		now, ever := b.subscriptions("tg.response.tc:main")
		return now == 0 && ever == 50
	})
	if err := table.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestRedefinitionRewiresWhatChanged(t *testing.T) {
	f := newFixture(t, Config{})
	f.table.StartFlow("acme", "main", record("main"))
	asked := make(chan string, 10)
	release := make(chan struct{})
	f.serve("request:tg:tc:main", "response:tg:tc:main", func(string, func(string)) { asked <- "old completion" })
	f.serve("request:tg:prompt:main", "response:tg:prompt:main", func(_ string, reply func(string)) {
		asked <- "prompt"
		<-release
		reply(`{"error":null,"text":"x","object":null,"end_of_stream":true}`)
	})
	f.serve("request:tg:tc:new", "response:tg:tc:new", echo)
	completions, prompts := make(chan error, 1), make(chan error, 1)
	prompt := Key{"acme", "main", codec.Prompt}
	go func() {
		_, _, err := f.table.Call(completion, ask(t, "x"), nil, Call{})
		completions <- err
	}()
	go func() {
		_, _, err := f.table.Call(prompt, parsed(t, codec.Prompt, `{"id":"p"}`), nil, Call{})
		prompts <- err
	}()
	<-asked
	<-asked
	wired, _ := f.table.services.Load(prompt)

	// The same again changes nothing.
	f.table.StartFlow("acme", "main", record("main"))
	if now, _ := f.table.services.Load(completion); now == nil || now.stopped() {
		t.Error("an equal definition evicted a service")
	}
	changed := record("main")
	changed.Interfaces["text-completion"] = codec.Interface{Request: "request:tg:tc:new", Response: "response:tg:tc:new"}
	f.table.StartFlow("acme", "main", changed)
	if err := <-completions; !errors.Is(err, ErrFlowStopped) {
		t.Errorf("the call on the changed interface: %v", err)
	}
	if now, _ := f.table.services.Load(prompt); now != wired {
		t.Error("an interface that did not change was wired again")
	}
	close(release)
	if err := <-prompts; err != nil {
		t.Errorf("the call on the other interface: %v", err)
	}
	if _, _, err := f.table.Call(completion, ask(t, "x"), nil, Call{}); err != nil {
		t.Errorf("a call on the new topics: %v", err)
	}

	delete(changed.Interfaces, "text-completion")
	f.table.StartFlow("acme", "main", changed)
	if _, _, err := f.table.Call(completion, ask(t, "x"), nil, Call{}); !errors.Is(err, ErrUnsupportedKind) {
		t.Errorf("a call on a removed interface: %v", err)
	}
}
