package dispatch

import (
	"context"
	"sync/atomic"
	"testing"

	"sluice/bus"
)

// handQueue is a table over a fake bus, with the private queue of a Download in the
// test's hands.
type handQueue struct {
	*testing.T
	bus      *fakeBus
	pending  *Pending
	table    *Table
	consumer bus.Consumer
	ready    chan struct{} // the request was published
	acked    atomic.Int32
}

func newHandQueue(t *testing.T, c Config) *handQueue {
	t.Helper()
	q := &handQueue{T: t, bus: newFakeBus(), pending: NewPending(0), ready: make(chan struct{}, 1)}
	q.bus.onSubscribe = func(_ context.Context, c bus.Consumer) error {
		if c.Handler != nil {
			q.consumer = c
		}
		return nil
	}
	q.bus.onPublish = func(context.Context, *bus.Message) (bus.Receipt, error) {
		q.ready <- struct{}{}
		return bus.Receipt{}, nil
	}
	q.table = New(q.bus, q.pending, c)
	q.table.StartFlow("acme", "main", record("main"))
	return q
}

// deliver puts a message into the private queue.
func (q *handQueue) deliver(id, body string) {
	q.consumer.Handler(&bus.Delivery{ID: id, Body: []byte(body), Settle: func(*bus.Delivery, bool) { q.acked.Add(1) }})
}

// id is the correlation id of the last request.
func (q *handQueue) id() string {
	all := q.bus.messages()
	return all[len(all)-1].ID
}

// start runs a Download in the background.
func (q *handQueue) start(c Call, fn func([]byte, bool) error) chan error {
	result := make(chan error, 1)
	go func() { result <- q.table.Download(completion, ask(q, "x"), c, fn) }()
	<-q.ready
	return result
}

// done insists that nothing is left.
func (q *handQueue) done() {
	q.Helper()
	closeTable(q, q.table)
	if now, _ := q.bus.subscriptions("tg.response.tc:main"); now != 0 {
		q.Errorf("%d subscriptions are left", now)
	}
	if n := len(q.table.downloads); n != 0 {
		q.Errorf("%d downloads are counted", n)
	}
}
