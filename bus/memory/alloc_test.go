//go:build !race

package memory

import (
	"testing"

	"sluice/bus"
	"sluice/pool"
)

// signal is a Replies that only says that something came.
type signal struct {
	discard
	came chan struct{}
}

func (s signal) Deliver(_ string, body *pool.Buffer) {
	body.Release()
	s.came <- struct{}{}
}

func TestPublishAndDeliverAllocateNothing(t *testing.T) {
	replies := signal{came: make(chan struct{}, 1)}
	b := New(replies)
	defer b.Close(t.Context())
	requests, responses := topic(t, "request:tg:alloc"), topic(t, "response:tg:alloc")
	_, err := b.Subscribe(t.Context(), bus.Consumer{Topic: requests, Name: "svc", Handler: func() bus.Handler {
		reply := bus.Message{To: responses, Body: []byte(`{"ok":true}`)}
		return func(d *bus.Delivery) {
			reply.ID = d.ID
			_, _ = b.Publish(t.Context(), &reply)
			d.Ack()
		}
	}()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Subscribe(t.Context(), bus.Consumer{Topic: responses}); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	m := bus.Message{To: requests, ID: "0b6f9a52-6c0f-4a52-9d0e-0a1b2c3d4e5f", Body: []byte(`{"prompt":"hello"}`), Expiration: 1e9}
	got := testing.AllocsPerRun(1000, func() {
		_, _ = b.Publish(ctx, &m)
		<-replies.came
	})
	if got != 0 {
		t.Errorf("%v allocations for a request and its reply", got)
	}
}
