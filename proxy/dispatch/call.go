package dispatch

import (
	"errors"
	"time"

	"sluice/bus"
	"sluice/codec"
	"sluice/pool"
)

// Call bounds one use of a service.
type Call struct {
	// Timeout bounds the call in all; 0 means Config.Timeout.
	Timeout time.Duration
	// PartTimeout bounds the wait for each part; 0 means Config.PartTimeout.
	PartTimeout time.Duration
	// Gone ends the call with ErrGone when it is closed. Nil never does.
	Gone <-chan struct{}
}

// wait is a Call in moments.
type wait struct {
	end  time.Time     // of the call
	part time.Duration // for each part
	gone <-chan struct{}
	// swept says that watchDeadlines sees to the answer.
	swept bool
}

func (t *Table) wait(c Call) wait {
	return wait{
		end:  time.Now().Add(orDefault(c.Timeout, t.config.Timeout)),
		part: orDefault(c.PartTimeout, t.config.PartTimeout),
		gone: c.Gone,
	}
}

// next returns when the wait for a part that begins now must end.
func (w *wait) next(now time.Time) time.Time {
	if end := now.Add(w.part); end.Before(w.end) {
		return end
	}
	return w.end
}

// Call sends a request to the service k and appends the body of the last part of
// its answer to dst. Part tells whether the service reported an error, which is
// no error of Call.
//
// The error is one of this package's, or the codec's when a message could not be
// translated; dst then comes back as it was. After ErrTimeout, ErrLost,
// ErrFlowStopped and ErrGone the service may have served the request all the
// same.
//
// It may be called concurrently, each time with a Request of its own.
func (t *Table) Call(k Key, req *codec.Request, dst []byte, c Call) ([]byte, codec.Part, error) {
	w := t.wait(c)
	out, part, err := t.call(k, req, dst, &w)
	if err != nil {
		countFailure(err)
	}
	return out, part, err
}

func (t *Table) call(k Key, req *codec.Request, dst []byte, w *wait) ([]byte, codec.Part, error) {
	if k.Kind.IsSend() {
		return dst, codec.Part{}, ErrUnsupportedKind
	}
	s, err := t.acquire(k, w)
	if err != nil {
		return dst, codec.Part{}, err
	}
	defer s.leave()
	slot := t.pending.open(s)
	if slot == nil {
		return dst, codec.Part{}, ErrExhausted
	}
	// Deferred, because the codec may panic and the slot must not be lost.
	defer t.pending.close(slot)
	if err := t.translateAndSend(slot, s, req, w); err != nil {
		return dst, codec.Part{}, err
	}
	return t.collect(slot, s, dst, w)
}

// translateAndSend publishes what a client wants.
func (t *Table) translateAndSend(slot *slot, s *service, req *codec.Request, w *wait) error {
	body := pool.Acquire(0)
	defer body.Release()
	message, err := req.AppendMessage(body.B)
	if err != nil {
		return err
	}
	body.B = message
	if s.isSender() {
		return t.queueLater(slot, s, message, w)
	}
	return t.publish(slot, s, message, w)
}

// publish sends a translated request.
func (t *Table) publish(slot *slot, s *service, body []byte, w *wait) error {
	if len(body) > t.config.MaxMessageBytes {
		return ErrTooLarge
	}
	now := time.Now()
	deadline := w.next(now)
	left := deadline.Sub(now)
	if left <= 0 {
		return ErrTimeout
	}
	slot.context.reset(deadline, w.gone)
	if err := slot.sending(s.parts.Load()); err != nil {
		return err
	}
	if !w.swept {
		slot.timer.Reset(left)
	}
	slot.message = bus.Message{To: s.request, ReplyTo: s.response, ID: slot.idView(), Body: body, Expiration: left}
	receipt, err := t.bus.Publish(&slot.context, &slot.message)
	slot.context.release()
	slot.message.Body = nil
	if err != nil {
		if failure := slot.failure(); failure != nil {
			return failure
		}
		return busError(err)
	}
	slot.published(receipt)
	return nil
}

// collect waits for the last part and appends its translation.
func (t *Table) collect(slot *slot, s *service, dst []byte, w *wait) ([]byte, codec.Part, error) {
	mine := len(dst)
	for {
		part, err := t.nextPart(slot, s, w)
		if err != nil {
			return dst[:mine], codec.Part{}, err
		}
		out, what, err := codec.AppendResponse(dst[:mine], s.key.Kind, part.B)
		part.Release()
		if err != nil {
			return dst[:mine], codec.Part{}, err
		}
		if what.Final {
			return out, what, nil
		}
		dst = out
		if !slot.again(w) {
			return dst[:mine], codec.Part{}, ErrTimeout
		}
	}
}

// nextPart waits for one part, which the caller then owns.
func (t *Table) nextPart(slot *slot, s *service, w *wait) (*pool.Buffer, error) {
	part, err := slot.next(w.gone)
	switch {
	case err == nil:
		s.parts.Add(1)
	case errors.Is(err, ErrTimeout) && s.parts.Load() == slot.partsBefore:
		// Nobody has had a reply since this request left: the reply topic may
		// have been deleted and made anew without our binding.
		t.refreshSilent(s)
	}
	return part, err
}
