package bustest

import (
	"errors"
	"time"

	"sluice/bus"
)

func testBroadcast(f *fixture) {
	for _, class := range []bus.Class{bus.Response, bus.Notify} {
		topic := f.topic(class, "all")
		a, b := newInbox(nil), newInbox((*bus.Delivery).Requeue)
		// One name on purpose: it means nothing for these classes. Requeue counts
		// as Ack, so nobody gets anything twice.
		f.subscribe(bus.Consumer{Topic: topic, Name: "same", Handler: a.handle})
		f.subscribe(bus.Consumer{Topic: topic, Name: "same", Handler: b.handle})
		for _, body := range []string{"one", "two"} {
			f.publish(message(topic, body))
		}
		for _, in := range []*inbox{a, b} {
			got := in.wait(f, 2)
			if got[0].body != "one" || got[1].body != "two" || len(in.all()) != 2 {
				f.Errorf("%s: got %v", class, in.all())
			}
		}
	}
}

func testLossWithoutBinding(f *fixture) {
	for _, class := range []bus.Class{bus.Response, bus.Notify} {
		topic := f.topic(class, "late")
		// The witness proves that "early" has passed the exchange.
		witness, late := newInbox(nil), newInbox(nil)
		f.subscribe(bus.Consumer{Topic: topic, Handler: witness.handle})
		f.publish(message(topic, "early"))
		witness.waitFor(f, "early")
		f.subscribe(bus.Consumer{Topic: topic, Handler: late.handle})
		f.publish(message(topic, "now"))
		if got := late.wait(f, 1)[0]; got.body != "now" {
			f.Errorf("%s: a late subscriber got %q", class, got.body)
		}
	}
	// Nobody at all: it is simply gone, and that is no error.
	f.publish(message(f.topic(bus.Response, "void"), "gone"))
	f.publish(message(f.topic(bus.Notify, "void"), "gone"))
}

func testRequestReturned(f *fixture) {
	topic := f.topic(bus.Request, "nobody")
	f.publish(bus.Message{To: topic, ID: "lonely", Body: []byte("{}")})
	Wait(f, "the request is returned", func() bool { return f.replies.Returned("lonely") > 0 })

	in := newInbox(nil)
	f.subscribe(bus.Consumer{Topic: topic, Name: "svc", Handler: in.handle})
	f.publish(bus.Message{To: topic, ID: "served", Body: []byte("{}")})
	if got := in.wait(f, 1)[0]; got.id != "served" {
		f.Errorf("got %+v", got)
	}
	if f.replies.Returned("lonely") != 1 || f.replies.Returned("served") != 0 {
		f.Errorf("returns: lonely %d, served %d", f.replies.Returned("lonely"), f.replies.Returned("served"))
	}
}

func testFlowUnroutable(f *fixture) {
	topic := f.topic(bus.Flow, "nobody")
	m := message(topic, "lost")
	if _, err := f.bus.Publish(f.ctx, &m); !errors.Is(err, bus.ErrUnroutable) {
		f.Errorf("err = %v", err)
	}
	in := newInbox(nil)
	f.subscribe(bus.Consumer{Topic: topic, Name: "svc", Handler: in.handle})
	f.publish(message(topic, "found"))
	in.waitFor(f, "found")
	if in.saw("lost") {
		f.Error("an unroutable message was delivered later")
	}
}

// heldUp publishes a message with an expiration to a queue whose only consumer
// is busy for pause, and reports whether it was delivered afterwards.
func (f *fixture) heldUp(topic bus.Topic, pause time.Duration) bool {
	f.Helper()
	held := make(chan *bus.Delivery, 8)
	s := f.subscribe(bus.Consumer{Topic: topic, Name: "busy", Prefetch: 1, Handler: func(d *bus.Delivery) { held <- d }})
	defer f.close(s)
	f.publish(message(topic, "first"))
	first := f.take(held)
	m := message(topic, "brief")
	m.Expiration = time.Millisecond
	f.publish(m)
	time.Sleep(pause)
	f.publish(message(topic, "last"))
	first.Ack()
	found := false
	for {
		d := f.take(held)
		body := string(d.Body)
		d.Ack()
		switch body {
		case "brief":
			found = true
		case "last":
			return found
		}
	}
}

func testRequestExpires(f *fixture) {
	topic := f.topic(bus.Request, "expires")
	// Only a broker that takes longer than the pause to get the message can
	// make this fail by accident; so it gets longer ones too.
	for pause := 50 * time.Millisecond; pause < 4*time.Second; pause *= 3 {
		if !f.heldUp(topic, pause) {
			return
		}
	}
	f.Error("a request was delivered long after its expiration")
}

func testFlowNeverExpires(f *fixture) {
	if !f.heldUp(f.topic(bus.Flow, "expires"), 50*time.Millisecond) {
		f.Error("work was thrown away for being late")
	}
}
