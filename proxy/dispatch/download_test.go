package dispatch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sluice/bus"
	"sluice/codec"
)

// keep returns a function for Download that collects parts.
func keep(into *[]string) func([]byte, bool) error {
	return func(part []byte, final bool) error {
		*into = append(*into, fmt.Sprint(string(part), final))
		return nil
	}
}

func TestDownload(t *testing.T) {
	const n = 300
	f := newFixture(t, Config{})
	f.table.StartFlow("acme", "main", record("main"))
	f.serve("request:tg:tc:main", "response:tg:tc:main", func(_ string, reply func(string)) {
		for _, msg := range words(n) {
			reply(msg)
		}
	})
	before, foreign := dropped(t, "private"), dropped(t, "foreign")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			var got, want []string
			for i, msg := range words(n) {
				want = append(want, fmt.Sprint(msg, i == n-1))
			}
			if err := f.table.Download(completion, ask(t, "x"), Call{}, keep(&got)); err != nil || !slices.Equal(got, want) {
				t.Errorf("%d parts, %v", len(got), err)
			}
		})
	}
	wg.Wait()
	// The shared reply consumer has seen all of it, and knew that it was ours.
	waitUntil(t, "the last one is counted", func() bool { return dropped(t, "private")-before >= 4*n })
	if got := dropped(t, "private") - before; got != 4*n {
		t.Errorf("%d replies dropped as private, want %d", got, 4*n)
	}
	if got := dropped(t, "foreign") - foreign; got != 0 {
		t.Errorf("%d replies dropped as foreign", got)
	}
}

// TestDownloadAcknowledgesWhatWasRead: others' replies at once, its own parts each
// when fn is done with it.
func TestDownloadAcknowledgesWhatWasRead(t *testing.T) {
	q := newHandQueue(t, Config{})
	in, out := make(chan string), make(chan struct{})
	result := q.start(Call{}, func(part []byte, _ bool) error {
		in <- string(part)
		<-out
		return nil
	})
	c := q.consumer
	if c.Prefetch != downloadPrefetch || c.Name != "" || c.Topic != topic(t, "response:tg:tc:main") {
		t.Errorf("consumer %+v", c)
	}
	q.deliver("7d444840-9dc0-11d1-b245-5ffdce74fad2", "not even JSON")
	q.deliver("", "no id")
	if n := q.acked.Load(); n != 2 {
		t.Errorf("%d acknowledged", n)
	}
	msgs := words(3)
	for _, msg := range msgs {
		q.deliver(q.id(), msg)
	}
	for i, msg := range msgs {
		if got := <-in; got != msg {
			t.Errorf("part %d: %q", i, got)
		}
		if n := q.acked.Load(); n != int32(2+i) {
			t.Errorf("%d acknowledged while part %d is read", n, i)
		}
		out <- struct{}{}
	}
	if err := <-result; err != nil {
		t.Error(err)
	}
	if n := q.acked.Load(); n != 5 {
		t.Errorf("%d acknowledged in the end", n)
	}
	q.done()
}

func TestDownloadEnds(t *testing.T) {
	mine := errors.New("mine")
	gone := make(chan struct{})
	lane := new(bus.Lane)
	for name, c := range map[string]struct {
		end  func(q *handQueue)
		want error
	}{
		"fn fails":       {func(q *handQueue) { q.deliver(q.id(), part("fail", false)) }, mine},
		"garbage":        {func(q *handQueue) { q.deliver(q.id(), "garbage") }, nil},
		"gone":           {func(*handQueue) { close(gone) }, ErrGone},
		"flow stopped":   {func(q *handQueue) { q.table.StopFlow("acme", "main") }, ErrFlowStopped},
		"closed":         {func(q *handQueue) { _ = q.table.Close(context.Background()) }, ErrUnavailable},
		"interrupted":    {func(q *handQueue) { q.pending.Interrupted() }, ErrLost},
		"bound anew":     {func(q *handQueue) { q.consumer.Rebound() }, ErrLost},
		"returned":       {func(q *handQueue) { q.pending.Return(q.id()) }, ErrNoService},
		"more than four": {func(q *handQueue) { q.flood() }, ErrLost},
		"lane lost":      {func(q *handQueue) { lane.MarkLost(); q.pending.Lost(lane) }, ErrLost},
	} {
		t.Run(name, func(t *testing.T) {
			q := newHandQueue(t, Config{})
			q.bus.onPublish = func(context.Context, *bus.Message) (bus.Receipt, error) {
				q.ready <- struct{}{}
				if name == "lane lost" {
					return bus.Receipt{Lane: lane, Seq: 1}, nil
				}
				return bus.Receipt{}, nil
			}
			call := Call{}
			if name == "gone" {
				call.Gone = gone
			}
			result := q.start(call, func(msg []byte, _ bool) error {
				if string(msg) == part("fail", false) {
					return mine
				}
				return nil
			})
			c.end(q)
			if err := <-result; !errors.Is(err, c.want) {
				t.Errorf("err = %v", err)
			}
			// What comes now belongs to nobody, and does no harm.
			q.deliver(q.id(), part("late", false))
			q.consumer.Rebound()
			q.pending.Return(q.id())
			q.done()
		})
	}
}

// flood delivers more than the bus may send ahead.
func (q *handQueue) flood() {
	for range 100 {
		q.deliver(q.id(), part("more", false))
	}
}

func TestDownloadTimesOut(t *testing.T) {
	for name, c := range map[string]struct {
		call     Call
		run      func(q *handQueue)
		least    time.Duration
		parts    int
		complete bool
	}{
		"total before the first part": {Call{Timeout: 3 * time.Second}, func(*handQueue) {}, 3 * time.Second, 0, false},
		"part": {Call{PartTimeout: 2 * time.Second}, func(q *handQueue) {
			time.Sleep(time.Second)
			q.deliver(q.id(), part("one", false))
		}, 3 * time.Second, 1, false},
		"a slow reader is no time-out": {Call{PartTimeout: 2 * time.Second, Timeout: 3 * time.Second}, func(q *handQueue) {
			for _, msg := range words(3) {
				q.deliver(q.id(), msg)
			}
		}, 3 * time.Minute, 3, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q, start, parts := newHandQueue(t, Config{}), time.Now(), 0
				result := q.start(c.call, func([]byte, bool) error {
					parts++
					if c.complete {
						time.Sleep(time.Minute)
					}
					return nil
				})
				c.run(q)
				err := <-result
				if took := time.Since(start); took != c.least || parts != c.parts || c.complete != (err == nil) || err != nil && !errors.Is(err, ErrTimeout) {
					t.Errorf("%d parts and %v after %v", parts, err, took)
				}
				q.done()
			})
		})
	}
}

func TestDownloadRefusals(t *testing.T) {
	f := newFixture(t, Config{Downloads: 1})
	f.table.StartFlow("acme", "main", record("main"))
	never := func([]byte, bool) error { t.Error("a part"); return nil }
	var unknown *UnknownFlowError
	if err := f.table.Download(Key{"acme", "no", codec.Prompt}, ask(t, "x"), Call{}, never); !errors.As(err, &unknown) {
		t.Errorf("unknown: %v", err)
	}
	if err := f.table.Download(load, work(t), Call{}, never); !errors.Is(err, ErrUnsupportedKind) {
		t.Errorf("sender: %v", err)
	}
	if err := f.table.Download(completion, ask(t, "x"), Call{}, never); !errors.Is(err, ErrNoService) {
		t.Errorf("no service: %v", err)
	}
	var bad *codec.Error
	if err := f.table.Download(completion, parsed(t, codec.TextCompletion, `{}`), Call{}, never); !errors.As(err, &bad) {
		t.Errorf("translation: %v", err)
	}
	f.serve("request:tg:tc:main", "response:tg:tc:main", echo)
	parts := 0
	err := f.table.Download(completion, ask(t, "x"), Call{}, func([]byte, bool) error {
		parts++
		if err := f.table.Download(completion, ask(t, "x"), Call{}, never); !errors.Is(err, ErrExhausted) {
			t.Errorf("the second of one: %v", err)
		}
		return nil
	})
	if err != nil || parts != 1 {
		t.Errorf("%d parts, %v", parts, err)
	}
	func() {
		defer func() { _ = recover() }()
		_ = f.table.Download(completion, ask(t, "x"), Call{}, func([]byte, bool) error { panic("a bug") })
	}()
	if n := len(f.table.downloads); n != 0 {
		t.Errorf("%d downloads are counted", n)
	}
}

func TestDownloadCannotSubscribe(t *testing.T) {
	b := newFakeBus()
	gone := make(chan struct{})
	close(gone)
	b.onSubscribe = func(ctx context.Context, c bus.Consumer) error {
		if c.Handler == nil {
			return nil
		}
		<-ctx.Done()
		return fmt.Errorf("%w: %w", bus.ErrUnavailable, context.Cause(ctx))
	}
	table := New(b, NewPending(0), Config{})
	table.StartFlow("acme", "main", record("main"))
	if _, err := table.Stream(completion, ask(t, "x"), Call{}, newRecorder(t)); err != nil {
		t.Fatal(err) // now it is wired
	}
	for want, c := range map[error]Call{ErrGone: {Gone: gone}, ErrTimeout: {Timeout: 1}} {
		if err := table.Download(completion, ask(t, "x"), c, keep(new([]string))); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
	closeTable(t, table)
}
