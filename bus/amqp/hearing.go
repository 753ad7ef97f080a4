package amqp

import (
	"fmt"
	"strconv"

	"github.com/rabbitmq/amqp091-go"

	"sluice/bus"
)

// settleBatch is how many messages are settled before their room in the window is
// given back.
const settleBatch = 64

// hearing tells publishers what the broker says of their messages, in the order in
// which they were written. One goroutine owns it.
//
// It looks at the library's confirmation of each message and not at the stream that
// NotifyPublish gives: there, an acknowledgement of everything up to a message also
// acknowledges what was refused before.
type hearing struct {
	ears
	lane  *confirmLane
	gone  map[uint64]struct{} // returned, and not settled yet
	batch [settleBatch]unconfirmed
}

// listen settles messages until the channel closes, and says why it did.
func (h *hearing) listen() *amqp091.Error {
	for {
		next := h.lane.ring.oldest()
		if next == nil {
			select {
			case <-h.lane.ring.added:
				continue
			case why := <-h.closed:
				return why
			}
		}
		select {
		case <-next.Done():
			h.settle(false)
		case why := <-h.closed:
			return why
		}
	}
}

// rest settles what a lost channel leaves.
func (h *hearing) rest() {
	for h.settle(true) {
	}
	clear(h.gone)
}

// settle settles a batch and reports whether there was one. The broker sends a
// return before the confirmation of the same message, and the library hears them in
// that order: what was returned is known here.
func (h *hearing) settle(all bool) bool {
	batch := h.lane.ring.answered(h.batch[:0], all)
	if len(batch) == 0 {
		return false
	}
	h.readReturns()
	cost := 0
	for i := range batch {
		u := &batch[i]
		cost += u.cost
		if u.to != nil {
			u.to.Settled(u.token, h.outcome(u))
		}
	}
	n := len(batch)
	clear(batch)
	h.lane.window.Give(n, cost)
	return true
}

func (h *hearing) readReturns() {
	for {
		select {
		case r, ok := <-h.returns:
			if !ok {
				h.returns = nil
				continue
			}
			returned.Inc()
			if len(r.MessageId) != len(messageName{}) {
				continue
			}
			if n, err := strconv.ParseUint(r.MessageId[2*nonceSize:], 16, 64); err == nil {
				h.gone[n] = struct{}{}
			}
		default:
			return
		}
	}
}

func (h *hearing) outcome(u *unconfirmed) error {
	_, unroutable := h.gone[u.number]
	if unroutable {
		delete(h.gone, u.number)
	}
	switch {
	case !u.confirmation.Acked() && h.ch.IsClosed():
		confirmUnknown.Inc()
		return errChannelLost
	case !u.confirmation.Acked():
		confirmNacked.Inc()
		return errNacked
	case unroutable:
		confirmAcked.Inc()
		return bus.ErrUnroutable
	}
	confirmAcked.Inc()
	return nil
}

// Made once: thousands may hear of it at a time.
var (
	errChannelLost = fmt.Errorf("%w: publishing channel lost", bus.ErrOutcomeUnknown)
	errNacked      = fmt.Errorf("%w: the broker could not keep the message", bus.ErrOutcomeUnknown)
)
