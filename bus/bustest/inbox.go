package bustest

import (
	"sync"
	"testing"

	"sluice/bus"
)

// received is a copy of a delivery.
type received struct {
	id          string
	body        string
	redelivered bool
}

// inbox is a handler that copies and settles what it gets.
type inbox struct {
	// set once
	settle func(d *bus.Delivery)

	mu  sync.Mutex
	got []received
}

// newInbox returns an inbox that settles deliveries with settle, or acks them
// when it is nil.
func newInbox(settle func(d *bus.Delivery)) *inbox {
	if settle == nil {
		settle = (*bus.Delivery).Ack
	}
	return &inbox{settle: settle}
}

func (in *inbox) handle(d *bus.Delivery) {
	in.mu.Lock()
	in.got = append(in.got, received{string([]byte(d.ID)), string(d.Body), d.Redelivered})
	in.mu.Unlock()
	in.settle(d)
}

func (in *inbox) all() []received {
	in.mu.Lock()
	defer in.mu.Unlock()
	return append([]received(nil), in.got...)
}

// wait returns the first n deliveries once there are as many.
func (in *inbox) wait(t testing.TB, n int) []received {
	t.Helper()
	Wait(t, "the deliveries arrived", func() bool { return len(in.all()) >= n })
	return in.all()[:n]
}

// saw reports whether a delivery with this body arrived.
func (in *inbox) saw(body string) bool {
	for _, r := range in.all() {
		if r.body == body {
			return true
		}
	}
	return false
}

// waitFor returns once a delivery with this body has arrived.
func (in *inbox) waitFor(t testing.TB, body string) {
	t.Helper()
	Wait(t, "a subscriber got "+body, func() bool { return in.saw(body) })
}
