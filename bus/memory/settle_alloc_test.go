//go:build !race

package memory

import (
	"testing"

	"sluice/bus"
)

type told chan error

func (c told) Settled(_ uint64, err error) { c <- err }

func TestPublishAsyncAllocatesNothing(t *testing.T) {
	b, to := New(nil), topic(t, "flow:tg:alloc")
	defer b.Close(t.Context())
	taken := make(chan struct{}, 1)
	_, err := b.Subscribe(t.Context(), bus.Consumer{Topic: to, Name: "svc", Handler: func(d *bus.Delivery) {
		d.Ack()
		taken <- struct{}{}
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, c := t.Context(), make(told, 1)
	m := bus.Message{To: to, Body: []byte(`{"triples":[]}`)}
	got := testing.AllocsPerRun(1000, func() {
		_ = b.PublishAsync(ctx, &m, c, 7)
		if err := <-c; err != nil {
			t.Error(err)
		}
		<-taken
	})
	if got != 0 {
		t.Errorf("%v allocations", got)
	}
}
