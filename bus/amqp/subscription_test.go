package amqp

import (
	"sync"
	"testing"
	"time"

	"sluice/bus"
	"sluice/bus/amqp/brokertest"
)

// Deliveries that are settled while their subscription closes do not reach the
// broker behind the end of the channel: it would end the connection for that, and
// with it every other subscription.
func TestSettlingWhileClosing(t *testing.T) {
	t.Parallel()
	b, s := open(t, Config{URLs: []string{brokertest.URL(t)}}, nil), newSpace(t)
	var rebound sync.Once
	interrupted := make(chan struct{})
	_, err := b.Subscribe(within(t, time.Minute), bus.Consumer{
		Topic: s.topic(bus.Notify, "bystander"), Handler: func(d *bus.Delivery) { d.Ack() },
		Rebound: func() { rebound.Do(func() { close(interrupted) }) },
	})
	if err != nil {
		t.Fatal(err)
	}
	const messages = 1000
	for range 10 {
		held := make(chan *bus.Delivery, messages)
		sub, err := b.Subscribe(within(t, time.Minute), bus.Consumer{
			Topic: s.topic(bus.Flow, "held"), Prefetch: messages, Handler: func(d *bus.Delivery) { held <- d },
		})
		if err != nil {
			t.Fatal(err)
		}
		for range messages {
			send(t, b, bus.Message{To: s.topic(bus.Flow, "held"), Body: []byte("{}")})
		}
		until(t, "all are delivered", func() bool { return len(held) == messages })
		var settling sync.WaitGroup
		first := make(chan struct{})
		settling.Go(func() {
			for i := range messages {
				(<-held).Ack()
				if i == 10 {
					close(first)
				}
			}
		})
		<-first
		if err := sub.Close(within(t, time.Minute)); err != nil {
			t.Fatal(err)
		}
		settling.Wait()
	}
	// Were the connection lost, this would come after it was made anew.
	if _, err := b.Subscribe(within(t, time.Minute), bus.Consumer{
		Topic: s.topic(bus.Notify, "after"), Handler: func(d *bus.Delivery) { d.Ack() },
	}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-interrupted:
		t.Error("another subscription was interrupted")
	default:
	}
}
