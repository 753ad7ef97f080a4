package amqp

import (
	"sync"

	"github.com/rabbitmq/amqp091-go"

	"sluice/bus"
)

// unconfirmed is a message that the broker has not answered for.
type unconfirmed struct {
	to           bus.Settler // nil: nobody wants to know
	token        uint64
	number       uint64 // its name
	cost         int    // what it took of the window
	confirmation *amqp091.DeferredConfirmation
}

// ring holds what is unconfirmed in the order in which it was written. The window
// sees to it that it never overflows.
type ring struct {
	added chan struct{} // buffered: there is something after there was nothing

	mu      sync.Mutex
	entries []unconfirmed
	first   int
	len     int
	taken   uint64 // how many there were
}

func newRing(size int) *ring {
	return &ring{added: make(chan struct{}, 1), entries: make([]unconfirmed, size)}
}

func (r *ring) add(u unconfirmed) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.entries[(r.first+r.len)%len(r.entries)] = u
	r.len++
	if r.len == 1 {
		select {
		case r.added <- struct{}{}:
		default:
		}
	}
}

// oldest returns the confirmation that will come next, or nil.
func (r *ring) oldest() *amqp091.DeferredConfirmation {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.len == 0 {
		return nil
	}
	return r.entries[r.first].confirmation
}

// answered moves messages that the broker has answered for to batch, until that is
// full or a message comes that has no answer; with all, that one too.
func (r *ring) answered(batch []unconfirmed, all bool) []unconfirmed {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.len > 0 && len(batch) < cap(batch) {
		u := &r.entries[r.first]
		if !all && !isDone(u.confirmation) {
			break
		}
		batch = append(batch, *u)
		*u = unconfirmed{}
		r.first = (r.first + 1) % len(r.entries)
		r.len--
		r.taken++
	}
	return batch
}

// progress returns how many messages were settled so far, and whether some wait.
func (r *ring) progress() (settled uint64, waiting bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.taken, r.len > 0
}

func isDone(c *amqp091.DeferredConfirmation) bool {
	select {
	case <-c.Done():
		return true
	default:
		return false
	}
}
