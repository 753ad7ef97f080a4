package amqp

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"sluice/bus"
	"sluice/bus/amqp/brokertest"
)

// outcomes is a Settler that remembers.
type outcomes struct {
	mu   sync.Mutex
	told map[uint64][]error
}

func newOutcomes() *outcomes { return &outcomes{told: map[uint64][]error{}} }

func (o *outcomes) Settled(token uint64, err error) {
	o.mu.Lock()
	o.told[token] = append(o.told[token], err)
	o.mu.Unlock()
}

// of returns what token was told once it was, and checks that it was so only once.
func (o *outcomes) of(t *testing.T, token uint64) error {
	t.Helper()
	var told []error
	until(t, "it is settled", func() bool {
		o.mu.Lock()
		defer o.mu.Unlock()
		told = o.told[token]
		return len(told) > 0
	})
	if len(told) != 1 {
		t.Errorf("message %d was settled %d times: %v", token, len(told), told)
	}
	return told[0]
}

func (o *outcomes) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.told)
}

func sendBulk(t *testing.T, b *Bus, m bus.Message, o *outcomes, token uint64) {
	t.Helper()
	if err := b.PublishAsync(within(t, time.Minute), &m, o, token); err != nil {
		t.Fatalf("publish in bulk to %s: %v", m.To.Exchange, err)
	}
}

// fill publishes in bulk until there is no room, and returns how many were taken.
func fill(t *testing.T, b *Bus, m bus.Message, o *outcomes) uint64 {
	t.Helper()
	for n := uint64(0); ; {
		switch err := b.PublishAsync(within(t, 200*time.Millisecond), &m, o, n); {
		case err == nil:
			n++
		case errors.Is(err, bus.ErrBusy):
			return n
		case !errors.Is(err, context.DeadlineExceeded): // that ended before there was a look at the window
			t.Fatalf("publish in bulk: %v", err)
		}
	}
}

// bulkPair returns what carries the connection for bulk through a proxy.
func bulkPair(t *testing.T, b *Bus, p *proxy) *pair {
	t.Helper()
	local := b.bulk.link.wire.Load().LocalAddr().String()
	for _, c := range p.all() {
		if c.client.RemoteAddr().String() == local {
			return c
		}
	}
	t.Fatal("no connection for bulk")
	return nil
}

func TestBulkWindowIsBounded(t *testing.T) {
	for name, c := range map[string]struct {
		cfg  Config
		want uint64
	}{
		"messages": {Config{BulkWindow: 3}, 3},
		"bytes":    {Config{BulkWindowBytes: 2000}, 2},
	} {
		p := newProxy(t, brokertest.URL(t))
		s, o := newSpace(t), newOutcomes()
		c.cfg.URLs = []string{p.url}
		b := open(t, c.cfg, nil)
		m := bus.Message{To: s.topic(bus.Flow, "work"), Body: make([]byte, 900)}
		seen := drain(t, b, m.To)
		sendBulk(t, b, m, o, 99)
		if err := o.of(t, 99); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		until(t, "there is room again", func() bool { return b.bulk.lane.Load().window.Taken() == 0 })
		p.downstream(stall)
		if n := fill(t, b, m, o); n != c.want {
			t.Errorf("%s: %d messages on their way, want %d", name, n, c.want)
		}
		p.downstream(flow)
		for i := range c.want {
			if err := o.of(t, i); err != nil {
				t.Errorf("%s: message %d: %v", name, i, err)
			}
		}
		until(t, "all arrived", func() bool { return seen.Load() == int64(c.want)+1 })
	}
}

// Bulk that gets nowhere stands in nobody's way.
func TestBulkDoesNotDelayCalls(t *testing.T) {
	p := newProxy(t, brokertest.URL(t))
	s, o := newSpace(t), newOutcomes()
	b := open(t, Config{URLs: []string{p.url}}, nil)
	request := s.topic(bus.Request, "call")
	seen := drain(t, b, request)
	work := bus.Message{To: s.topic(bus.Flow, "work"), Body: make([]byte, 64<<10)}
	worked := drain(t, b, work.To)
	send(t, b, work)
	bulk := bulkPair(t, b, p)
	bulk.up.set(stall)
	n := fill(t, b, work, o)
	if n < 500 {
		t.Errorf("the window took %d messages", n)
	}
	send(t, b, bus.Message{To: request, ID: "x"})
	until(t, "a request passes", func() bool { return seen.Load() == 1 })
	send(t, b, work)
	until(t, "work that somebody waits for passes", func() bool { return worked.Load() == 2 })
	if o.count() != 0 {
		t.Error("something in bulk was settled")
	}
	bulk.up.set(flow)
	for i := range n {
		if err := o.of(t, i); err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
	}
}

// A body may be larger than the window, and than the buffer of the socket.
func TestBulkLargeBody(t *testing.T) {
	s, o := newSpace(t), newOutcomes()
	b := open(t, Config{URLs: []string{brokertest.URL(t)}, BulkWindowBytes: 1 << 20}, nil)
	body := bytes.Repeat([]byte("0123456789abcdef"), 1<<19) // 8 MiB
	topic, got := s.topic(bus.Flow, "large"), make(chan []byte, 3)
	sub, err := b.Subscribe(within(t, time.Minute), bus.Consumer{Topic: topic, Handler: func(d *bus.Delivery) {
		got <- bytes.Clone(d.Body)
		d.Ack()
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Close(context.Background()) }()
	for i := range uint64(3) {
		sendBulk(t, b, bus.Message{To: topic, Body: body}, o, i)
	}
	for i := range uint64(3) {
		if err := o.of(t, i); err != nil {
			t.Errorf("message %d: %v", i, err)
		}
		if !bytes.Equal(<-got, body) {
			t.Error("the body changed on its way")
		}
	}
}

// A connection that dies leaves the unconfirmed unknown, each of them once.
func TestBulkConnectionLost(t *testing.T) {
	p := newProxy(t, brokertest.URL(t))
	s, o := newSpace(t), newOutcomes()
	b := open(t, Config{URLs: []string{p.url}, BulkWindow: 50}, nil)
	m := bus.Message{To: s.topic(bus.Flow, "work"), Body: []byte("{}")}
	drain(t, b, m.To)
	send(t, b, m)
	bulkPair(t, b, p).down.set(stall)
	n := fill(t, b, m, o)
	waiting := make(chan error, 1)
	go func() { waiting <- b.PublishAsync(within(t, time.Minute), &m, o, n) }()
	bulkPair(t, b, p).cut()
	for i := range n {
		if err := o.of(t, i); !errors.Is(err, bus.ErrOutcomeUnknown) {
			t.Errorf("message %d: %v", i, err)
		}
	}
	// It waited for room in what is gone; or came when there was nothing, or to what came next.
	if err := <-waiting; err != nil && !errors.Is(err, bus.ErrUnavailable) {
		t.Errorf("who waited: %v", err)
	}
	until(t, "the bus is ready again", func() bool { return b.Ready() == nil })
	sendBulk(t, b, m, o, n+1)
	if err := o.of(t, n+1); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// A flow exchange that is deleted costs the channel, not the connection, and
// whoever comes next is only told that there is no queue.
func TestBulkExchangeDeleted(t *testing.T) {
	broker := brokertest.URL(t)
	s, o := newSpace(t), newOutcomes()
	b := open(t, Config{URLs: []string{broker}}, nil)
	bad, good := bus.Message{To: s.topic(bus.Flow, "bad")}, bus.Message{To: s.topic(bus.Flow, "good")}
	seen := drain(t, b, good.To)
	sendBulk(t, b, bad, o, 0)
	if err := o.of(t, 0); !errors.Is(err, bus.ErrUnroutable) {
		t.Errorf("to nobody: %v", err)
	}
	lane := b.bulk.lane.Load()
	if err := dial(t, broker).ExchangeDelete(bad.To.Exchange, false, false); err != nil {
		t.Fatal(err)
	}
	sendBulk(t, b, bad, o, 1)
	if err := o.of(t, 1); !errors.Is(err, bus.ErrOutcomeUnknown) {
		t.Errorf("into a deleted exchange: %v", err)
	}
	sendBulk(t, b, bad, o, 2)
	sendBulk(t, b, good, o, 3)
	if err := o.of(t, 2); !errors.Is(err, bus.ErrUnroutable) {
		t.Errorf("into an exchange declared anew: %v", err)
	}
	if err := o.of(t, 3); err != nil {
		t.Errorf("to another exchange: %v", err)
	}
	until(t, "the good one arrived", func() bool { return seen.Load() == 1 })
	if b.bulk.lane.Load() != lane {
		t.Error("the connection was replaced")
	}
}

// What a queue refuses is not taken for kept, however refusals and confirmations
// are mixed: the library's stream of confirmations would get that wrong.
func TestBulkRefusedByQueue(t *testing.T) {
	broker := brokertest.URL(t)
	s, o := newSpace(t), newOutcomes()
	b := open(t, Config{URLs: []string{broker}}, nil)
	open, full := bus.Message{To: s.topic(bus.Flow, "open")}, bus.Message{To: s.topic(bus.Flow, "full")}
	drain(t, b, open.To)
	ch := dial(t, broker)
	if err := declareExchange(ch, full.To.Exchange, false); err != nil {
		t.Fatal(err)
	}
	q, err := ch.QueueDeclare("", false, true, true, false, amqp091.Table{"x-max-length": int32(1), "x-overflow": "reject-publish"})
	if err != nil {
		t.Fatal(err)
	}
	if err := ch.QueueBind(q.Name, q.Name, full.To.Exchange, false, nil); err != nil {
		t.Fatal(err)
	}
	sendBulk(t, b, full, o, 1000)
	if err := o.of(t, 1000); err != nil {
		t.Errorf("into an empty queue: %v", err)
	}
	for i := range uint64(600) {
		m := open
		if i%3 == 0 {
			m = full
		}
		sendBulk(t, b, m, o, i)
	}
	for i := range uint64(600) {
		if err := o.of(t, i); errors.Is(err, bus.ErrOutcomeUnknown) != (i%3 == 0) || i%3 != 0 && err != nil {
			t.Errorf("message %d: %v", i, err)
		}
	}
}

// A burst's buffers are used again while it lasts, and not kept afterwards.
func TestLargeBuffersAreKeptUnderLoadOnly(t *testing.T) {
	for name, c := range map[string]struct {
		pending, batch, spare, left int
	}{
		"idle, small":         {0, keepBytes, keepBytes, 0},
		"idle, large":         {0, keepBytes + 1, 0, 0},
		"under load, large":   {keepBytes, keepBusyBytes, keepBusyBytes, keepBytes},
		"under load, too big": {keepBytes, keepBusyBytes + 1, 0, keepBytes},
	} {
		w := &wire{pending: make([]byte, c.pending, 2*keepBytes)}
		w.giveBack(make([]byte, 0, c.batch))
		if cap(w.spare) != c.spare || len(w.pending) != c.left || c.left == 0 && cap(w.pending) != 0 {
			t.Errorf("%s: a spare of %d bytes, %d of %d pending", name, cap(w.spare), len(w.pending), cap(w.pending))
		}
	}
}
