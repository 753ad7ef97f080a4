package bustest

import (
	"fmt"
	"sync/atomic"

	"sluice/bus"
)

// testConnectionLoss breaks the connections while calls are in flight, three
// times: whoever waits is told, and everything works again by itself.
func testConnectionLoss(f *fixture) {
	requests, replies := f.topic(bus.Request, "echo"), f.topic(bus.Response, "echo")
	flow, signal := f.topic(bus.Flow, "work"), f.topic(bus.Notify, "signal")
	work, signals := newInbox(nil), newInbox(nil)
	f.subscribe(bus.Consumer{Topic: replies})
	f.serveEcho(requests, replies)
	f.subscribe(bus.Consumer{Topic: flow, Name: "work", Handler: work.handle})
	var rebound atomic.Int64
	f.subscribe(bus.Consumer{Topic: signal, Handler: signals.handle, Rebound: func() { rebound.Add(1) }})
	if n := rebound.Load(); n != 0 {
		f.Errorf("%d times bound anew before anything was lost", n)
	}
	for round := range 3 {
		before, bound := f.replies.Interruptions(), rebound.Load()
		f.publish(bus.Message{To: requests, ID: fmt.Sprint("risky", round), Body: []byte("?")})
		f.harness.Disrupt(f.T, f.bus)
		Wait(f, "the waiting calls are interrupted", func() bool { return f.replies.Interruptions() > before })
		Wait(f, "the subscriber hears that it may have missed signals", func() bool { return rebound.Load() > bound })
		f.retry(fmt.Sprint("call", round), func(body string) (bus.Message, func() bool) {
			return bus.Message{To: requests, ID: body, Body: []byte(body)},
				func() bool { return len(f.replies.Bodies(body)) > 0 }
		})
		f.retry(fmt.Sprint("work", round), func(body string) (bus.Message, func() bool) {
			return bus.Message{To: flow, Body: []byte(body)}, func() bool { return work.saw(body) }
		})
		f.retry(fmt.Sprint("signal", round), func(body string) (bus.Message, func() bool) {
			return bus.Message{To: signal, Body: []byte(body)}, func() bool { return signals.saw(body) }
		})
		Wait(f, "the bus is ready again", func() bool { return f.bus.Ready() == nil })
	}
}

// retry publishes what next makes, under a new name each time, until one of
// those has arrived.
func (f *fixture) retry(name string, next func(body string) (bus.Message, func() bool)) {
	f.Helper()
	var arrived []func() bool
	polls := 0
	Wait(f, name+" works again", func() bool {
		// A lost message never arrives, so now and then another one is sent.
		if polls%100 == 0 {
			m, done := next(fmt.Sprint(name, "-", polls))
			if _, err := f.bus.Publish(f.ctx, &m); err == nil {
				arrived = append(arrived, done)
			}
		}
		polls++
		for _, done := range arrived {
			if done() {
				return true
			}
		}
		return false
	})
}

// testLossRedelivers holds work unsettled over a broken connection.
func testLossRedelivers(f *fixture) {
	topic := f.topic(bus.Flow, "held")
	in := newInbox(nil)
	held := make(chan *bus.Delivery, 1)
	f.subscribe(bus.Consumer{Topic: topic, Name: "svc", Handler: func(d *bus.Delivery) {
		if !d.Redelivered {
			held <- d
			return
		}
		in.handle(d)
	}})
	f.publish(message(topic, "work"))
	d := f.take(held)
	f.harness.Disrupt(f.T, f.bus)
	got := in.wait(f, 1)[0]
	if got.body != "work" {
		f.Errorf("got %+v", got)
	}
	// It belongs to a connection that is gone: harmless.
	d.Ack()
}

func testRefreshReplies(f *fixture) {
	topic, other := f.topic(bus.Response, "remade"), f.topic(bus.Response, "other")
	f.subscribe(bus.Consumer{Topic: topic})
	f.subscribe(bus.Consumer{Topic: other})
	f.harness.DeleteExchange(f.T, f.bus, topic)
	if err := f.bus.Refresh(f.ctx, topic, other); err != nil {
		f.Fatalf("refresh: %v", err)
	}
	for _, to := range []bus.Topic{topic, other} {
		id := "after " + to.Exchange
		f.publish(bus.Message{To: to, ID: id, Body: []byte("{}")})
		Wait(f, "replies arrive again", func() bool { return len(f.replies.Bodies(id)) > 0 })
		if n := len(f.replies.Bodies(id)); n != 1 {
			f.Errorf("%s arrived %d times", id, n)
		}
	}
}

func testRefreshRequests(f *fixture) {
	f.shared(func(topic bus.Topic) {
		in := newInbox(nil)
		f.subscribe(bus.Consumer{Topic: topic, Name: "svc", Handler: in.handle})
		f.publish(message(topic, "before"))
		in.waitFor(f, "before")
		f.harness.DeleteExchange(f.T, f.bus, topic)
		if err := f.bus.Refresh(f.ctx, topic); err != nil {
			f.Fatalf("refresh: %v", err)
		}
		f.publish(message(topic, "after"))
		in.waitFor(f, "after")
	})
}
