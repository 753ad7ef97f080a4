package memory

import (
	"sync"
	"time"
	"unsafe"

	"sluice/bus"
	"sluice/pool"
)

// delivery is a message in a queue or with a consumer. It is recycled when it
// is settled.
type delivery struct {
	bus.Delivery
	// id is what Delivery.ID is a view of.
	id      []byte
	body    *pool.Buffer
	expires time.Time // zero means never
	queue   *queue

	// guarded by queue.mu
	seq        uint64
	holder     *subscription // nil when in the queue, or when the holder has left
	prev, next *delivery     // of the list it is in
}

var deliveries = sync.Pool{New: func() any { return new(delivery) }}

// newDelivery copies m for q.
func newDelivery(q *queue, m *bus.Message) *delivery {
	d := deliveries.Get().(*delivery)
	d.Settle, d.Token = settle, d
	d.queue = q
	d.id = append(d.id[:0], m.ID...)
	// No copy: whoever gets the ID gives the delivery back before d.id changes.
	d.ID = unsafe.String(unsafe.SliceData(d.id), len(d.id))
	d.body = pool.Acquire(len(m.Body))
	d.body.B = append(d.body.B, m.Body...)
	d.Body = d.body.B
	d.expires = time.Time{}
	if ms := m.ExpirationMillis(); ms > 0 {
		d.expires = time.Now().Add(time.Duration(ms) * time.Millisecond)
	}
	return d
}

// copy returns a delivery of the same message that shares nothing with d.
func (d *delivery) copy() *delivery {
	m := bus.Message{ID: d.ID, Body: d.Body}
	c := newDelivery(d.queue, &m)
	c.expires = d.expires
	c.seq = d.seq
	return c
}

// recycle ends d. Its ID and Body must not be used afterwards.
func (d *delivery) recycle() {
	d.body.Release()
	d.body, d.Body, d.ID = nil, nil, ""
	d.Redelivered = false
	d.queue, d.holder = nil, nil
	deliveries.Put(d)
}

func (d *delivery) expired(now time.Time) bool {
	return !d.expires.IsZero() && !now.Before(d.expires)
}

// settle is bus.Delivery.Settle.
func settle(b *bus.Delivery, requeue bool) {
	d := b.Token.(*delivery)
	d.queue.settle(d, requeue)
}

// list is a chain of deliveries through their own links.
type list struct {
	head, tail *delivery
	len, bytes int
}

// insert puts d behind at, or first when at is nil.
func (l *list) insert(d, at *delivery) {
	d.prev = at
	if at == nil {
		d.next, l.head = l.head, d
	} else {
		d.next, at.next = at.next, d
	}
	if d.next == nil {
		l.tail = d
	} else {
		d.next.prev = d
	}
	l.len++
	l.bytes += len(d.Body)
}

func (l *list) remove(d *delivery) {
	if d.prev == nil {
		l.head = d.next
	} else {
		d.prev.next = d.next
	}
	if d.next == nil {
		l.tail = d.prev
	} else {
		d.next.prev = d.prev
	}
	d.prev, d.next = nil, nil
	l.len--
	l.bytes -= len(d.Body)
}
