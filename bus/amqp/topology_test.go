package amqp

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"sluice/bus"
	"sluice/bus/amqp/brokertest"
	"sluice/bus/bustest"
)

// After a reconnect those that somebody waits for come first, then the exchanges
// that calls use.
func TestRestoreOrder(t *testing.T) {
	c := newConsumer(&Bus{cfg: &Config{Logger: quiet}}, 0)
	for i, name := range []string{"never", "long ago", "yesterday", "now"} {
		b := &binding{wanted: 1}
		b.used.Store(int64(i))
		c.topology.bindings.Store(name, b)
	}
	c.topology.begin(&consumeSession{})
	if n := c.topology.missing.Load(); n != 4 {
		t.Errorf("%d bindings are missing", n)
	}
	// Somebody asks for the last of them, and for something new.
	never, _ := c.topology.bindings.Load("never")
	c.topology.mu.Lock()
	c.topology.reconcile("never", never, false)
	c.topology.request(&job{exchange: "new"})
	c.topology.mu.Unlock()
	var order []string
	for _, j := range c.topology.take() {
		order = append(order, j.exchange)
	}
	if !slices.Equal(order, []string{"never", "new", "now", "yesterday", "long ago"}) {
		t.Errorf("restored in the order %v", order)
	}
	if err := c.topology.use("now"); err == nil {
		t.Error("an exchange counts as bound before the broker said so")
	}
}

// Many hands bind and unbind one topic: whoever has subscribed gets replies.
func TestBindUnbindRace(t *testing.T) {
	rec, s := bustest.NewRecorder(), newSpace(t)
	b := open(t, Config{URLs: []string{brokertest.URL(t)}}, rec)
	topic := s.topic(bus.Response, "contended")
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 25 {
				sub, err := b.Subscribe(within(t, time.Minute), bus.Consumer{Topic: topic})
				if err != nil {
					t.Errorf("subscribe: %v", err)
					return
				}
				id := fmt.Sprint(g, "/", i)
				m := bus.Message{To: topic, ID: id}
				if _, err := b.Publish(within(t, time.Minute), &m); err != nil {
					t.Errorf("publish: %v", err)
				}
				for end := time.Now().Add(20 * time.Second); len(rec.Bodies(id)) == 0; time.Sleep(time.Millisecond) {
					if time.Now().After(end) {
						t.Errorf("reply %s did not arrive", id)
						break
					}
				}
				_ = sub.Close(t.Context())
			}
		})
	}
	wg.Wait()
	until(t, "nothing stays bound", func() bool { return b.consumers[0].topology.bindings.Size() == 0 })
}

// Subscriptions that ended while the broker was away are not restored.
func TestUnsubscribeWhileAway(t *testing.T) {
	p := newProxy(t, brokertest.URL(t))
	s := newSpace(t)
	b := open(t, Config{URLs: []string{p.url}}, nil)
	sub, err := b.Subscribe(within(t, time.Minute), bus.Consumer{Topic: s.topic(bus.Response, "x")})
	if err != nil {
		t.Fatal(err)
	}
	p.close()
	until(t, "the loss is noticed", func() bool { return b.consumers[0].link.down.Load() })
	_ = sub.Close(t.Context())
	if n := b.consumers[0].topology.bindings.Size(); n != 0 {
		t.Errorf("%d bindings are left", n)
	}
	p.reopen(t)
	until(t, "the bus is ready again", func() bool { return b.Ready() == nil })
}
