package amqp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rabbitmq/amqp091-go"
	"go.uber.org/goleak"

	"sluice/bus"
	"sluice/bus/amqp/brokertest"
	"sluice/bus/bustest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// open returns a bus that works, and is closed with the test.
func open(t testing.TB, cfg Config, r bus.Replies) *Bus {
	t.Helper()
	cfg.Logger = quiet
	b, err := Open(cfg, r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := b.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	bustest.Wait(t, "the bus is ready", func() bool { return b.Ready() == nil })
	return b
}

// dial opens a connection that is no part of what is tested.
func dial(t testing.TB, url string) *amqp091.Channel {
	t.Helper()
	conn, err := amqp091.Dial(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.CloseDeadline(time.Now().Add(time.Second)) })
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	return ch
}

// space makes topics that no other test uses.
type space string

func newSpace(t testing.TB) space { return space(fmt.Sprintf("t%d", time.Now().UnixNano())) }

func (s space) topic(class bus.Class, name string) bus.Topic {
	topic, err := bus.ParseTopic(fmt.Sprintf("%s:%s:%s", class, s, name))
	if err != nil {
		panic(err)
	}
	return topic
}

func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// disrupt cuts all connections as a failing network would.
func disrupt(b *Bus) {
	for _, p := range b.publishers {
		p.link.drop()
	}
	b.bulk.link.drop()
	for _, c := range b.consumers {
		c.link.drop()
	}
}

func TestConformance(t *testing.T) {
	url := brokertest.URL(t)
	for name, cfg := range map[string]Config{
		"one connection each": {URLs: []string{url}},
		"several connections": {URLs: []string{url}, PublishConnections: 2, ConsumeConnections: 3},
		"small window":        {URLs: []string{url}, ConfirmWindow: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bustest.Run(t, bustest.Harness{
				Open:    func(t *testing.T, r bus.Replies) bus.Bus { return open(t, cfg, r) },
				Disrupt: func(_ *testing.T, b bus.Bus) { disrupt(b.(*Bus)) },
				DeleteExchange: func(t *testing.T, _ bus.Bus, topic bus.Topic) {
					if err := dial(t, url).ExchangeDelete(topic.Exchange, false, false); err != nil {
						t.Fatal(err)
					}
				},
			})
		})
	}
}

func until(t testing.TB, what string, done func() bool) {
	t.Helper()
	bustest.Wait(t, what, done)
}

// drain subscribes a service that answers nothing.
func drain(t testing.TB, b *Bus, topic bus.Topic) (seen *atomic.Int64) {
	t.Helper()
	seen = new(atomic.Int64)
	s, err := b.Subscribe(within(t, time.Minute), bus.Consumer{Topic: topic, Name: "svc", Handler: func(d *bus.Delivery) {
		seen.Add(1)
		d.Ack()
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	return seen
}

func send(t testing.TB, b *Bus, m bus.Message) bus.Receipt {
	t.Helper()
	r, err := b.Publish(within(t, time.Minute), &m)
	if err != nil {
		t.Fatalf("publish to %s: %v", m.To.Exchange, err)
	}
	return r
}

// publishBriefly gives a publish so much time. A context that had ended before
// anything was tried says nothing: then it is tried again.
func publishBriefly(t testing.TB, b *Bus, m *bus.Message, d time.Duration) error {
	t.Helper()
	for {
		_, err := b.Publish(within(t, d), m)
		if errors.Is(err, bus.ErrBusy) || errors.Is(err, bus.ErrOutcomeUnknown) || !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
	}
}
