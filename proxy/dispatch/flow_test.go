package dispatch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"sync"
	"sync/atomic"
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

func TestIdleServicesAreUnwired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, p := newFakeBus(), NewPending(0)
		silent := atomic.Bool{}
		b.onPublish = func(_ context.Context, m *bus.Message) (bus.Receipt, error) {
			if !silent.Load() {
				p.Deliver(m.ID, buffer(part("x", true)))
			}
			return bus.Receipt{}, nil
		}
		table := New(b, p, Config{Timeout: 5 * time.Hour, PartTimeout: 5 * time.Hour})
		table.StartFlow("acme", "main", record("main"))
		const exchange = "tg.response.tc:main"
		call := func() error {
			_, _, err := table.Call(completion, ask(t, "x"), nil, Call{})
			return err
		}
		bound := func(what string, want int) {
			t.Helper()
			synctest.Wait()
			if now, _ := b.subscriptions(exchange); now != want {
				t.Errorf("%s: %d subscriptions, want %d", what, now, want)
			}
		}
		// Used every five minutes it stays.
		for range 12 {
			if err := call(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(5 * time.Minute)
		}
		if _, ever := b.subscriptions(exchange); ever != 1 {
			t.Errorf("%d subscriptions", ever)
		}
		bound("in use", 1)
		time.Sleep(10 * time.Minute)
		bound("idle", 0)
		if n := table.services.Size(); n != 0 {
			t.Errorf("%d services in the table", n)
		}
		// With a call in flight it stays as well, however long that takes.
		silent.Store(true)
		result := make(chan error, 1)
		go func() { result <- call() }()
		time.Sleep(4 * time.Hour)
		bound("call in flight", 1)
		if err := <-result; !errors.Is(err, ErrTimeout) {
			t.Error(err)
		}
		if err := table.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

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

func TestCloseEndsCalls(t *testing.T) {
	b, p := newFakeBus(), NewPending(0)
	table := New(b, p, Config{})
	table.StartFlow("acme", "main", record("main"))
	result := make(chan error, 1)
	go func() {
		_, _, err := table.Call(completion, ask(t, "x"), nil, Call{})
		result <- err
	}()
	waitUntil(t, "the request is out", func() bool { return len(b.messages()) == 1 })
	if err := table.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-result; !errors.Is(err, ErrUnavailable) {
		t.Errorf("the call in flight: %v", err)
	}
	if _, _, err := table.Call(completion, ask(t, "x"), nil, Call{}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("a call after Close: %v", err)
	}
	if now, _ := b.subscriptions("tg.response.tc:main"); now != 0 {
		t.Errorf("%d subscriptions are left", now)
	}
	table.StartFlow("acme", "late", record("late"))
	table.StopFlow("acme", "main")
	if err := table.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestCloseIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, p := newFakeBus(), NewPending(0)
		gate := make(chan struct{})
		b.onSubscribe = func(context.Context, bus.Consumer) error {
			<-gate // a bus that does not obey its context
			return nil
		}
		table := New(b, p, Config{})
		table.StartFlow("acme", "main", record("main"))
		if _, _, err := table.Call(completion, ask(t, "x"), nil, Call{Timeout: time.Second}); !errors.Is(err, ErrTimeout) {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		start := time.Now()
		if err := table.Close(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 3*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		close(gate)
		synctest.Wait()
		if now, _ := b.subscriptions("tg.response.tc:main"); now != 0 {
			t.Errorf("%d subscriptions are left", now)
		}
	})
}
