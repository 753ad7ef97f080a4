package amqp

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"sluice/bus"
	"sluice/bus/amqp/brokertest"
	"sluice/bus/bustest"
)

// What the broker refuses costs nobody else anything.
func TestRefusedExchange(t *testing.T) {
	broker := brokertest.URL(t)
	s := newSpace(t)
	b := open(t, Config{URLs: []string{broker}}, nil)
	ch := dial(t, broker)
	for class := bus.Flow; class <= bus.Notify; class++ {
		wrong := s.topic(class, "wrong")
		if err := ch.ExchangeDeclare(wrong.Exchange, amqp091.ExchangeDirect, false, true, false, false, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Subscribe(within(t, time.Minute), bus.Consumer{Topic: wrong, Handler: func(*bus.Delivery) {}}); err == nil {
			t.Errorf("%s: subscribed to an exchange of another type", class)
		}
		results := make(chan error)
		for i := range 20 { // so that batches mix good and bad
			go func() {
				to := wrong
				if i%4 != 0 {
					to = s.topic(class, fmt.Sprint("right", i))
				}
				m := bus.Message{To: to, ID: "x"}
				_, err := b.Publish(within(t, time.Minute), &m)
				if errors.Is(err, bus.ErrUnroutable) {
					err = nil // it got past the declaration
				}
				if (err != nil) != (to == wrong) {
					results <- fmt.Errorf("publish to %s: %w", to.Exchange, err)
					return
				}
				results <- nil
			}()
		}
		for range 20 {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
	}
	wrong := s.topic(bus.Response, "wrong")
	if _, err := b.Subscribe(within(t, time.Minute), bus.Consumer{Topic: wrong}); err == nil {
		t.Error("bound an exchange of another type")
	}
	if err := b.Ready(); err != nil {
		t.Errorf("ready: %v", err)
	}
}

func TestRefusedMessages(t *testing.T) {
	s := newSpace(t)
	b := open(t, Config{URLs: []string{brokertest.URL(t)}, MaxMessageBytes: 1000}, nil)
	request := s.topic(bus.Request, "x")
	drain(t, b, request)
	for name, m := range map[string]bus.Message{
		"too large":          {To: request, ID: "x", Body: make([]byte, 1001)},
		"no id":              {To: request},
		"long id":            {To: request, ID: strings.Repeat("x", 256)},
		"no exchange":        {ID: "x"},
		"long exchange name": {To: bus.Topic{Class: bus.Request, Exchange: strings.Repeat("x", 256)}, ID: "x"},
	} {
		_, err := b.Publish(within(t, time.Minute), &m)
		if err == nil || errors.Is(err, bus.ErrTooLarge) != (name == "too large") {
			t.Errorf("%s: %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	m := bus.Message{To: request, ID: "x"}
	if _, err := b.Publish(ctx, &m); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that has ended: %v", err)
	}
	m = bus.Message{To: request, ID: strings.Repeat("x", 255), Body: make([]byte, 1000), Expiration: 1 << 62}
	send(t, b, m)
	if _, err := b.Subscribe(within(t, time.Minute), bus.Consumer{Topic: request, Name: strings.Repeat("x", 250), Handler: func(*bus.Delivery) {}}); err == nil {
		t.Error("a queue name above 255 bytes was accepted")
	}
}

// What services get wrong about the id header costs nobody a call.
func TestForeignReplies(t *testing.T) {
	broker := brokertest.URL(t)
	rec, s := bustest.NewRecorder(), newSpace(t)
	b := open(t, Config{URLs: []string{broker}}, rec)
	topic := s.topic(bus.Response, "r")
	if _, err := b.Subscribe(within(t, time.Minute), bus.Consumer{Topic: topic}); err != nil {
		t.Fatal(err)
	}
	ch := dial(t, broker)
	life := &bus.Lane{}
	forged := (&echoes{}).message(b.echoes.add(life, nil), 99)
	for _, p := range []amqp091.Publishing{
		{},
		{Headers: amqp091.Table{"other": "x"}},
		{Headers: amqp091.Table{"id": []byte("x")}},
		{Headers: amqp091.Table{"id": int32(7)}},
		{Headers: amqp091.Table{"id": nil}},
		{Type: echoType},
		forged,
		{Headers: amqp091.Table{"id": "good", "other": "y"}, Body: []byte("reply")},
	} {
		if err := ch.PublishWithContext(t.Context(), topic.Exchange, "", false, false, p); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "the good one arrives", func() bool { return len(rec.Bodies("good")) == 1 })
	if len(rec.Bodies("x")) != 0 || len(rec.Bodies("")) != 0 {
		t.Error("a reply without a proper id was delivered")
	}
	if life.Accounted() != 0 {
		t.Error("somebody else accounted for a lane")
	}
}

// A named queue that somebody deletes is made again, and consumed from.
func TestQueueDeleted(t *testing.T) {
	broker := brokertest.URL(t)
	s := newSpace(t)
	b := open(t, Config{URLs: []string{broker}}, nil)
	for _, class := range []bus.Class{bus.Flow, bus.Request} {
		topic := s.topic(class, "q")
		seen := drain(t, b, topic)
		if _, err := dial(t, broker).QueueDelete(topic.Queue("svc"), false, false, false); err != nil {
			t.Fatal(err)
		}
		until(t, "messages arrive again", func() bool {
			m := bus.Message{To: topic, ID: "x"}
			_, _ = b.Publish(within(t, time.Minute), &m)
			return seen.Load() > 0
		})
	}
}

// A handler that panics loses the message that made it, and nothing else.
func TestHandlerPanic(t *testing.T) {
	s := newSpace(t)
	b := open(t, Config{URLs: []string{brokertest.URL(t)}}, nil)
	topic := s.topic(bus.Request, "p")
	var calls, fine atomic.Int64
	sub, err := b.Subscribe(within(t, time.Minute), bus.Consumer{Topic: topic, Name: "svc", Prefetch: 1, Handler: func(d *bus.Delivery) {
		calls.Add(1)
		if d.ID == "poison" {
			panic("cannot read this")
		}
		fine.Add(1)
		d.Ack()
		d.Requeue() // too late to count
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Close(context.Background()) }()
	for _, id := range []string{"poison", "a", "poison", "b"} {
		send(t, b, bus.Message{To: topic, ID: id})
	}
	until(t, "the others are handled", func() bool { return fine.Load() == 2 })
	if calls.Load() != 4 {
		t.Errorf("%d calls for 4 messages", calls.Load())
	}
}
