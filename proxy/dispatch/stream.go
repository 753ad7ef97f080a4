package dispatch

import (
	"time"

	"sluice/bus"
	"sluice/codec"
)

// Stream sends a request to the service k, or work to the sender k, and gives each
// part of the answer to sink, as it comes. The request is on its way when it
// returns; no goroutine waits for the answer.
//
// It may have to wait for the wiring of the service, which Wired tells, and for
// room in the bus. If it returns an error, which is one that Call or Send could
// return, the sink is never called. Otherwise its last call is a final Part or a
// Fail, unless the handle cancels it. C.Timeout and c.PartTimeout hold as for
// Call, up to 250 ms late, the latter anew for each part; for a sender they bound
// the wait for the bus's word, after which the outcome is unknown. A sender's
// call does not end when its flow stops: the bus will say what became of the
// work. C.Gone counts only until Stream returns; from then on there is Cancel.
//
// It may be called concurrently, each time with a Request of its own.
func (t *Table) Stream(k Key, req *codec.Request, c Call, sink Sink) (StreamHandle, error) {
	w := t.wait(c)
	w.swept = true
	h, err := t.stream(k, req, sink, &w)
	if err != nil {
		countFailure(err)
	}
	return h, err
}

func (t *Table) stream(k Key, req *codec.Request, sink Sink, w *wait) (h StreamHandle, err error) {
	s, err := t.acquire(k, w)
	if err != nil {
		return h, err
	}
	slot := t.pending.openSink(s, sink, w)
	if slot == nil {
		s.leave()
		return h, ErrExhausted
	}
	h = StreamHandle{slot, slot.generationNow()}
	sent := false
	// Deferred, because the codec may panic and the slot must not be lost.
	defer func() {
		if !sent {
			_ = slot.launched(h.generation, ErrUnavailable)
		}
	}()
	err = t.translateAndSend(slot, s, req, w)
	sent = true
	if err = slot.launched(h.generation, err); err != nil {
		return StreamHandle{}, err
	}
	return h, nil
}

// queueLater publishes work whose outcome comes through Pending.Settled.
func (t *Table) queueLater(slot *slot, s *service, body []byte, w *wait) error {
	if len(body) > t.config.MaxMessageBytes {
		return ErrTooLarge
	}
	slot.context.reset(w.next(time.Now()), w.gone)
	if err := slot.context.Err(); err != nil {
		return busError(err)
	}
	if err := slot.sending(0); err != nil {
		return err
	}
	slot.message = bus.Message{To: s.request, Body: body}
	err := t.bus.PublishAsync(&slot.context, &slot.message, t.pending, slot.token())
	slot.context.release()
	slot.message.Body = nil
	if err != nil {
		return busError(err)
	}
	return nil
}

// Wired reports whether a call of k can be sent without waiting for the bus to bind
// or declare anything, unless the bus has just come back. It wires nothing itself.
func (t *Table) Wired(k Key) bool {
	if k.Kind.IsGlobal() {
		k = Key{Kind: k.Kind}
	}
	s, ok := t.services.Load(k)
	return ok && s.wired.Load() && !s.stopped()
}
