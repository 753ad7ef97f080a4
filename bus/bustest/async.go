package bustest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"sluice/bus"
)

// ledger is a Settler that remembers everything it is told. While it is held, it
// does what a Settler must not: it blocks.
type ledger struct {
	mu     sync.Mutex
	cond   sync.Cond
	held   bool
	tokens []uint64 // in the order in which they were settled
	errs   map[uint64]error
}

func newLedger() *ledger {
	l := &ledger{errs: map[uint64]error{}}
	l.cond.L = &l.mu
	return l
}

// Settled implements bus.Settler.
func (l *ledger) Settled(token uint64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.held {
		l.cond.Wait()
	}
	l.tokens = append(l.tokens, token)
	l.errs[token] = err
}

func (l *ledger) hold(on bool) {
	l.mu.Lock()
	l.held = on
	l.cond.Broadcast()
	l.mu.Unlock()
}

func (l *ledger) settled() []uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.tokens)
}

func (l *ledger) outcome(token uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.errs[token]
}

// wait returns the tokens settled once there are n of them.
func (l *ledger) wait(f *fixture, n int) []uint64 {
	f.Helper()
	Wait(f, fmt.Sprint(n, " messages are settled"), func() bool { return len(l.settled()) >= n })
	return l.settled()
}

// once checks that the tokens 0 to n-1, and no others, were settled once each.
func (l *ledger) once(f *fixture, n int) {
	f.Helper()
	tokens := l.wait(f, n)
	slices.Sort(tokens)
	for i, token := range tokens {
		if i >= n || token != uint64(i) {
			f.Fatalf("of %d messages, %d were settled, number %d in order is %d", n, len(tokens), i, token)
		}
	}
}

func (f *fixture) publishAsync(m bus.Message, l *ledger, token int) {
	f.Helper()
	if err := f.bus.PublishAsync(f.ctx, &m, l, uint64(token)); err != nil {
		f.Fatalf("publish in bulk to %s: %v", m.To.Exchange, err)
	}
}

func testAsyncOrder(f *fixture) {
	const n = 10_000 // more than any window
	topic, in, l := f.topic(bus.Flow, "bulk"), newInbox(nil), newLedger()
	f.subscribe(bus.Consumer{Topic: topic, Name: "svc", Handler: in.handle})
	body := []byte{}
	for i := range n {
		body = fmt.Append(body[:0], i) // borrowed only until PublishAsync returns
		f.publishAsync(bus.Message{To: topic, Body: body}, l, i)
	}
	for i, token := range l.wait(f, n) {
		if token != uint64(i) {
			f.Fatalf("message %d was settled as number %d", token, i)
		}
		if err := l.outcome(token); err != nil {
			f.Fatalf("message %d: %v", token, err)
		}
	}
	l.once(f, n)
	for i, r := range in.wait(f, n) {
		if r.body != fmt.Sprint(i) || r.id != "" {
			f.Fatalf("message %q with id %q arrived as number %d", r.body, r.id, i)
		}
	}
}

func testAsyncUnroutable(f *fixture) {
	const n = 300
	bound, unbound, l := f.topic(bus.Flow, "bulk"), f.topic(bus.Flow, "nobody"), newLedger()
	in := newInbox(nil)
	f.subscribe(bus.Consumer{Topic: bound, Name: "svc", Handler: in.handle})
	for i := range n {
		to := bound
		if i%3 == 0 {
			to = unbound
		}
		f.publishAsync(bus.Message{To: to, Body: []byte("{}")}, l, i)
	}
	l.once(f, n)
	for i := range n {
		err := l.outcome(uint64(i))
		if i%3 == 0 && !errors.Is(err, bus.ErrUnroutable) || i%3 != 0 && err != nil {
			f.Fatalf("message %d: %v", i, err)
		}
	}
	in.wait(f, n*2/3)
}

func testAsyncRefused(f *fixture) {
	l := newLedger()
	for _, class := range []bus.Class{bus.Request, bus.Response, bus.Notify} {
		m := message(f.topic(class, "bulk"), "x")
		if err := f.bus.PublishAsync(f.ctx, &m, l, 0); err == nil {
			f.Errorf("%s: taken in bulk", class)
		}
	}
	if err := f.bus.Close(f.ctx); err != nil {
		f.Fatal(err)
	}
	m := message(f.topic(bus.Flow, "bulk"), "x")
	if err := f.bus.PublishAsync(f.ctx, &m, l, 0); !errors.Is(err, bus.ErrClosed) {
		f.Errorf("after Close: %v", err)
	}
	if n := len(l.settled()); n != 0 {
		f.Errorf("%d messages were settled that had been refused", n)
	}
}

// testAsyncBackpressure keeps messages from being settled until the window is full.
func testAsyncBackpressure(f *fixture) {
	topic, in, l := f.topic(bus.Flow, "bulk"), newInbox(nil), newLedger()
	f.subscribe(bus.Consumer{Topic: topic, Name: "svc", Handler: in.handle})
	l.hold(true)
	sent := 0
	Wait(f, "the window is full", func() bool {
		ctx, cancel := context.WithTimeout(f.ctx, 50*time.Millisecond)
		defer cancel()
		for {
			m := message(topic, "x")
			err := f.bus.PublishAsync(ctx, &m, l, uint64(sent))
			if errors.Is(err, bus.ErrBusy) {
				return ctx.Err() != nil
			}
			if err != nil {
				// A context may also end before there was a look at the window.
				return !errors.Is(err, context.DeadlineExceeded)
			}
			sent++
		}
	})
	// Whoever waits gets room as soon as there is some.
	late := make(chan error, 1)
	go func() {
		m := message(topic, "late")
		late <- f.bus.PublishAsync(f.ctx, &m, l, uint64(sent))
	}()
	l.hold(false)
	if err := <-late; err != nil {
		f.Errorf("after waiting: %v", err)
	}
	l.once(f, sent+1)
	in.wait(f, sent+1)
}

func testAsyncClose(f *fixture) {
	const n = 1000
	topic, l := f.topic(bus.Flow, "bulk"), newLedger()
	f.close(f.subscribe(bus.Consumer{Topic: topic, Name: "svc", Handler: newInbox(nil).handle}))
	for i := range n {
		f.publishAsync(bus.Message{To: topic, Body: []byte("{}")}, l, i)
	}
	if err := f.bus.Close(f.ctx); err != nil {
		f.Fatal(err)
	}
	if got := len(l.settled()); got != n {
		f.Errorf("%d of %d messages are settled after Close", got, n)
	}
	l.once(f, n)
	for i := range n {
		if err := l.outcome(uint64(i)); err != nil {
			f.Fatalf("message %d: %v", i, err)
		}
	}
}

// testAsyncLoss breaks the connections under a stream of messages: each is settled
// once, and what was confirmed arrives.
func testAsyncLoss(f *fixture) {
	topic, in, l := f.topic(bus.Flow, "bulk"), newInbox(nil), newLedger()
	f.subscribe(bus.Consumer{Topic: topic, Name: "svc", Handler: in.handle})
	stop, done := make(chan struct{}), make(chan int)
	go func() {
		taken := 0
		defer func() { done <- taken }()
		for {
			select {
			case <-stop:
				return
			default:
			}
			m := message(topic, fmt.Sprint(taken))
			if err := f.bus.PublishAsync(f.ctx, &m, l, uint64(taken)); err == nil {
				taken++
			} else if !errors.Is(err, bus.ErrUnavailable) && !errors.Is(err, bus.ErrBusy) {
				f.Errorf("publish in bulk: %v", err)
				return
			}
		}
	}()
	for round := range 3 {
		in.wait(f, 100*(round+1))
		f.harness.Disrupt(f.T, f.bus)
		before := len(l.settled())
		Wait(f, "messages are settled again", func() bool { return len(l.settled()) > before+100 })
	}
	close(stop)
	n := <-done
	l.once(f, n)
	seen := func() (missing int) {
		got := map[string]bool{}
		for _, r := range in.all() {
			got[r.body] = true
		}
		for i := range n {
			if l.outcome(uint64(i)) == nil && !got[fmt.Sprint(i)] {
				missing++
			}
		}
		return missing
	}
	Wait(f, "all confirmed work arrived", func() bool { return seen() == 0 })
	for i := range n {
		if err := l.outcome(uint64(i)); err != nil && !errors.Is(err, bus.ErrOutcomeUnknown) {
			f.Fatalf("message %d: %v", i, err)
		}
	}
}

// testMaxBytes fills a private queue whose consumer is busy: what is left of it in
// the end are the newest messages.
func testMaxBytes(f *fixture) {
	topic := f.topic(bus.Flow, "tap")
	const n, size, room = 50, 1000, 10
	held := make(chan *bus.Delivery, n+2)
	f.subscribe(bus.Consumer{
		Topic: topic, Prefetch: 1, MaxBytes: room*size + size/2,
		Handler: func(d *bus.Delivery) { held <- d },
	})
	f.publish(message(topic, "first"))
	first := f.take(held)
	for i := range n {
		f.publish(message(topic, fmt.Sprintf("%0*d", size, i)))
	}
	first.Ack()
	for i := n - room; i < n; i++ {
		d := f.take(held)
		if body := string(d.Body); body != fmt.Sprintf("%0*d", size, i) {
			f.Fatalf("%s came when it was the turn of %d", strings.TrimLeft(body, "0"), i)
		}
		d.Ack()
	}
}
