package bustest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"sluice/bus"
)

// testSubscriptionClose closes subscriptions while messages pour in.
func testSubscriptionClose(f *fixture) {
	for _, class := range []bus.Class{bus.Flow, bus.Request, bus.Response, bus.Notify} {
		topic := f.topic(class, "closing")
		// Somebody else keeps flow messages routable.
		keeper := newInbox(nil)
		f.subscribe(bus.Consumer{Topic: topic, Name: "keeper", Handler: keeper.handle})
		var closed, late atomic.Bool
		in := newInbox(nil)
		s := f.subscribe(bus.Consumer{Topic: topic, Name: "leaver", Handler: func(d *bus.Delivery) {
			if closed.Load() {
				late.Store(true)
			}
			in.handle(d)
		}})
		stop := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				m := message(topic, fmt.Sprint(i))
				if _, err := f.bus.Publish(f.ctx, &m); err != nil {
					f.Errorf("%s: publish: %v", class, err)
					return
				}
			}
		})
		in.wait(f, 10)
		f.close(s)
		closed.Store(true)
		at := len(keeper.all())
		Wait(f, "more messages passed by", func() bool { return len(keeper.all()) > at+10 })
		close(stop)
		wg.Wait()
		if late.Load() {
			f.Errorf("%s: the handler was called after Close had returned", class)
		}
	}
}

func testSubscriptionCloseTwice(f *fixture) {
	for _, class := range []bus.Class{bus.Flow, bus.Request, bus.Response, bus.Notify} {
		s := f.subscribe(bus.Consumer{Topic: f.topic(class, "twice"), Name: "n", Handler: newInbox(nil).handle})
		f.close(s)
		f.close(s)
	}
}

func testBusClose(f *fixture) {
	request, flow := f.topic(bus.Request, "end"), f.topic(bus.Flow, "end")
	s := f.subscribe(bus.Consumer{Topic: request, Name: "n", Handler: newInbox(nil).handle})
	if err := f.bus.Close(f.ctx); err != nil {
		f.Fatalf("close: %v", err)
	}
	for _, topic := range []bus.Topic{request, flow} {
		m := message(topic, "late")
		if _, err := f.bus.Publish(f.ctx, &m); !errors.Is(err, bus.ErrClosed) {
			f.Errorf("%s: publish after Close: %v", topic.Class, err)
		}
	}
	if _, err := f.bus.Subscribe(f.ctx, bus.Consumer{Topic: f.topic(bus.Response, "end")}); !errors.Is(err, bus.ErrClosed) {
		f.Errorf("subscribe after Close: %v", err)
	}
	if err := f.bus.Refresh(f.ctx, request); !errors.Is(err, bus.ErrClosed) {
		f.Errorf("refresh after Close: %v", err)
	}
	if err := f.bus.Ready(); !errors.Is(err, bus.ErrClosed) {
		f.Errorf("ready after Close: %v", err)
	}
	if err := s.Close(f.ctx); err != nil {
		f.Errorf("subscription close after Close: %v", err)
	}
}
