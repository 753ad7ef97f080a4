package bustest

import (
	"bytes"
	"fmt"
	"strings"
	"sync"

	"sluice/bus"
)

// sizes are around what brokers and pools cut messages at.
var sizes = []int{
	0, 1, 2, 100, 1023, 1024, 1025, 4095, 4096, 4097, 16 << 10, 64 << 10, 64<<10 + 1,
	128<<10 - 9, 128<<10 - 8, 128<<10 - 7, 128 << 10, 128<<10 + 1, 256 << 10, 1<<20 - 1, 1 << 20,
}

// pattern returns n bytes in which no stretch is like another.
func pattern(n int) []byte {
	b := make([]byte, n)
	x := uint32(n) + 1
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}

func testBodies(f *fixture) {
	for _, class := range []bus.Class{bus.Flow, bus.Request, bus.Response, bus.Notify} {
		topic := f.topic(class, "sizes")
		in := newInbox(nil)
		f.subscribe(bus.Consumer{Topic: topic, Name: "svc", Handler: in.handle})
		for i, size := range sizes {
			body := pattern(size)
			m := bus.Message{To: topic, ID: fmt.Sprint("size-", size), Body: body}
			f.publish(m)
			// A message is borrowed only until Publish returns.
			clear(body)
			got := in.wait(f, i+1)[i]
			if got.id != m.ID || got.body != string(pattern(size)) {
				f.Errorf("%s: a body of %d bytes arrived with id %q as %d bytes, not the same", class, size, got.id, len(got.body))
			}
		}
	}
	topic := f.topic(bus.Response, "stream sizes")
	f.subscribe(bus.Consumer{Topic: topic})
	for _, size := range sizes {
		body, id := pattern(size), fmt.Sprint("size-", size)
		f.publish(bus.Message{To: topic, ID: id, Body: body})
		clear(body)
		Wait(f, "the reply is delivered", func() bool { return len(f.replies.Bodies(id)) > 0 })
		if got := f.replies.Bodies(id)[0]; !bytes.Equal(got, pattern(size)) {
			f.Errorf("a reply of %d bytes arrived as %d bytes, not the same", size, len(got))
		}
	}
}

func testIDs(f *fixture) {
	ids := []string{
		"a", "0b6f9a52-6c0f-4a52-9d0e-0a1b2c3d4e5f", strings.Repeat("i", 36), strings.Repeat("L", 255),
		"with spaces and: colons", "grüße-日本語", `quo"ted\`,
	}
	requests, replies := f.topic(bus.Request, "ids"), f.topic(bus.Response, "ids")
	in := newInbox(nil)
	f.subscribe(bus.Consumer{Topic: requests, Name: "svc", Handler: in.handle})
	f.subscribe(bus.Consumer{Topic: replies})
	for i, id := range ids {
		f.publish(bus.Message{To: requests, ID: id, Body: []byte("q")})
		if got := in.wait(f, i+1)[i]; got.id != id {
			f.Errorf("request id %q arrived as %q", id, got.id)
		}
		f.publish(bus.Message{To: replies, ID: id, Body: []byte("r")})
		Wait(f, "the reply arrives under its id", func() bool { return len(f.replies.Bodies(id)) > 0 })
	}
	flow := f.topic(bus.Flow, "ids")
	work := newInbox(nil)
	f.subscribe(bus.Consumer{Topic: flow, Name: "svc", Handler: work.handle})
	f.publish(bus.Message{To: flow, Body: []byte("w")})
	if got := work.wait(f, 1)[0]; got.id != "" {
		f.Errorf("a message without an id arrived with %q", got.id)
	}
}

// testConcurrentUse runs echo calls from many goroutines while others subscribe
// and close; every call must get its own answer.
func testConcurrentUse(f *fixture) {
	requests, replies := f.topic(bus.Request, "echo"), f.topic(bus.Response, "echo")
	f.subscribe(bus.Consumer{Topic: replies})
	f.serveEcho(requests, replies)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 25 {
				id := fmt.Sprint(g, "/", i)
				m := bus.Message{To: requests, ID: id, Body: []byte(id)}
				if _, err := f.bus.Publish(f.ctx, &m); err != nil {
					f.Errorf("publish: %v", err)
				}
			}
		})
	}
	for g := range 2 {
		wg.Go(func() {
			for range 10 {
				s, err := f.bus.Subscribe(f.ctx, bus.Consumer{Topic: f.topic(bus.Response, fmt.Sprint("churn", g))})
				if err != nil {
					f.Errorf("subscribe: %v", err)
					return
				}
				if err := s.Close(f.ctx); err != nil {
					f.Errorf("close: %v", err)
				}
			}
		})
	}
	wg.Wait()
	for g := range 8 {
		for i := range 25 {
			id := fmt.Sprint(g, "/", i)
			Wait(f, "call "+id+" is answered", func() bool { return len(f.replies.Bodies(id)) > 0 })
			if got := string(f.replies.Bodies(id)[0]); got != id {
				f.Errorf("call %s got %q", id, got)
			}
		}
	}
}

// serveEcho answers each request with its own body.
func (f *fixture) serveEcho(requests, replies bus.Topic) {
	f.Helper()
	f.subscribe(bus.Consumer{Topic: requests, Name: "echo", Handler: func(d *bus.Delivery) {
		m := bus.Message{To: replies, ID: d.ID, Body: d.Body}
		if _, err := f.bus.Publish(f.ctx, &m); err != nil {
			f.Logf("echo of %s: %v", d.ID, err)
		}
		d.Ack()
	}})
}
