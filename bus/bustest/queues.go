package bustest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"sluice/bus"
)

// shared runs test for both classes whose queues have names.
func (f *fixture) shared(test func(topic bus.Topic)) {
	for _, class := range []bus.Class{bus.Flow, bus.Request} {
		test(f.topic(class, "shared"))
	}
}

// message is a message that any class accepts.
func message(to bus.Topic, body string) bus.Message {
	m := bus.Message{To: to, Body: []byte(body)}
	if to.Class != bus.Flow {
		m.ID = "id-of-" + body
	}
	return m
}

func testFanout(f *fixture) {
	f.shared(func(topic bus.Topic) {
		a, b := newInbox(nil), newInbox(nil)
		f.subscribe(bus.Consumer{Topic: topic, Name: "a", Handler: a.handle})
		f.subscribe(bus.Consumer{Topic: topic, Name: "b", Handler: b.handle})
		f.publish(message(topic, "one"))
		f.publish(message(topic, "two"))
		for _, in := range []*inbox{a, b} {
			in.waitFor(f, "one")
			in.waitFor(f, "two")
			if got := in.all(); len(got) != 2 {
				f.Errorf("%s: %d deliveries instead of 2: %v", topic.Class, len(got), got)
			}
		}
	})
}

func testCompeting(f *fixture) {
	f.shared(func(topic bus.Topic) {
		const n = 20
		var held [2]chan *bus.Delivery
		for i := range held {
			held[i] = make(chan *bus.Delivery, n)
			f.subscribe(bus.Consumer{
				Topic: topic, Name: "workers", Prefetch: 1,
				Handler: func(d *bus.Delivery) { held[i] <- d },
			})
		}
		for i := range n {
			f.publish(message(topic, fmt.Sprint("m", i)))
		}
		// Neither may take a second message before it settles its first, so
		// both must get one.
		first, second := f.take(held[0]), f.take(held[1])
		seen := map[string]int{string(first.Body): 1}
		seen[string(second.Body)]++
		first.Ack()
		second.Ack()
		for range n - 2 {
			d := f.take(held[0], held[1])
			seen[string(d.Body)]++
			d.Ack()
		}
		if len(seen) != n {
			f.Errorf("%s: the consumers got %d different messages of %d: %v", topic.Class, len(seen), n, seen)
		}
	})
}

// take waits for a delivery on any of the channels.
func (f *fixture) take(from ...chan *bus.Delivery) (d *bus.Delivery) {
	f.Helper()
	Wait(f, "a delivery came", func() bool {
		for _, c := range from {
			select {
			case d = <-c:
				return true
			default:
			}
		}
		return false
	})
	return d
}

func testPrefetch(f *fixture) {
	f.shared(func(topic bus.Topic) {
		const n, prefetch = 12, 3
		held := make(chan *bus.Delivery, n)
		f.subscribe(bus.Consumer{
			Topic: topic, Name: "slow", Prefetch: prefetch,
			Handler: func(d *bus.Delivery) { held <- d },
		})
		for i := range n {
			f.publish(message(topic, fmt.Sprint("m", i)))
		}
		// The bound shows itself in the channel: it may never hold more.
		for range n {
			d := f.take(held)
			if len(held) > prefetch-1 {
				f.Errorf("%s: %d deliveries unsettled with a prefetch of %d", topic.Class, len(held)+1, prefetch)
			}
			d.Ack()
		}
	})
}

func testSerialHandler(f *fixture) {
	f.shared(func(topic bus.Topic) {
		var running, overlaps, count atomic.Int32
		f.subscribe(bus.Consumer{Topic: topic, Name: "one", Handler: func(d *bus.Delivery) {
			if running.Add(1) > 1 {
				overlaps.Add(1)
			}
			d.Ack()
			count.Add(1)
			running.Add(-1)
		}})
		var wg sync.WaitGroup
		for g := range 4 {
			wg.Go(func() {
				for i := range 25 {
					m := message(topic, fmt.Sprint(g, "-", i))
					if _, err := f.bus.Publish(f.ctx, &m); err != nil {
						f.Errorf("publish: %v", err)
					}
				}
			})
		}
		wg.Wait()
		Wait(f, "all were handled", func() bool { return count.Load() >= 100 })
		if overlaps.Load() > 0 {
			f.Errorf("%s: the handler ran twice at the same time", topic.Class)
		}
	})
}

func testNamedQueueStays(f *fixture) {
	f.shared(func(topic bus.Topic) {
		f.close(f.subscribe(bus.Consumer{Topic: topic, Name: "stays", Handler: newInbox(nil).handle}))
		f.publish(message(topic, "kept"))
		in := newInbox(nil)
		f.subscribe(bus.Consumer{Topic: topic, Name: "stays", Handler: in.handle})
		if got := in.wait(f, 1)[0]; got.body != "kept" || got.redelivered {
			f.Errorf("%s: got %+v", topic.Class, got)
		}
		if id := message(topic, "kept").ID; f.replies.Returned(id) > 0 {
			f.Errorf("%s: a message that its queue kept was returned", topic.Class)
		}
	})
}

func testPrivateQueue(f *fixture) {
	topic := f.topic(bus.Flow, "private")
	in := newInbox(nil)
	s := f.subscribe(bus.Consumer{Topic: topic, Handler: in.handle})
	f.publish(message(topic, "tap"))
	in.waitFor(f, "tap")
	f.close(s)
	Wait(f, "the private queue is gone", func() bool {
		m := message(topic, "nobody")
		_, err := f.bus.Publish(f.ctx, &m)
		return errors.Is(err, bus.ErrUnroutable)
	})
}

func testRequeue(f *fixture) {
	f.shared(func(topic bus.Topic) {
		in := newInbox(func(d *bus.Delivery) {
			if d.Redelivered {
				d.Ack()
				return
			}
			d.Requeue()
		})
		f.subscribe(bus.Consumer{Topic: topic, Name: "again", Handler: in.handle})
		m := message(topic, "twice")
		f.publish(m)
		got := in.wait(f, 2)
		if got[0].redelivered || !got[1].redelivered {
			f.Errorf("%s: redelivered flags are %v, %v", topic.Class, got[0].redelivered, got[1].redelivered)
		}
		if got[1].body != "twice" || got[1].id != m.ID {
			f.Errorf("%s: came back as %+v", topic.Class, got[1])
		}
	})
}

func testUnsettledComesBack(f *fixture) {
	f.shared(func(topic bus.Topic) {
		held := make(chan *bus.Delivery, 4)
		s := f.subscribe(bus.Consumer{Topic: topic, Name: "crash", Handler: func(d *bus.Delivery) { held <- d }})
		f.publish(message(topic, "first"))
		d := f.take(held)
		f.close(s)
		// Too late to count, and harmless.
		d.Ack()
		in := newInbox(nil)
		f.subscribe(bus.Consumer{Topic: topic, Name: "crash", Handler: in.handle})
		if got := in.wait(f, 1)[0]; got.body != "first" || !got.redelivered {
			f.Errorf("%s: got %+v", topic.Class, got)
		}
	})
}

// Work and the parts of a streamed reply must not overtake each other. For
// requests a bus may use several lanes.
func testOrder(f *fixture) {
	const n = 200
	for _, class := range []bus.Class{bus.Flow, bus.Response, bus.Notify} {
		topic := f.topic(class, "order")
		in := newInbox(nil)
		f.subscribe(bus.Consumer{Topic: topic, Name: "order", Handler: in.handle})
		for i := range n {
			f.publish(message(topic, fmt.Sprint(i)))
		}
		for i, r := range in.wait(f, n) {
			if r.body != fmt.Sprint(i) {
				f.Errorf("%s: message %s arrived as number %d", class, r.body, i)
				break
			}
		}
	}
}
