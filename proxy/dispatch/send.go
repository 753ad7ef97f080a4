package dispatch

import (
	"sluice/bus"
	"sluice/codec"
	"sluice/pool"
)

// Send queues work for the service k. Nil means that the bus has it in a queue;
// it waits for that at most as long as c allows. The error is one of this
// package's, or the codec's when the request could not be translated. After
// ErrOutcomeUnknown the work may be queued all the same.
//
// It may be called concurrently, each time with a Request of its own.
func (t *Table) Send(k Key, req *codec.Request, c Call) error {
	w := t.wait(c)
	err := t.send(k, req, &w)
	if err != nil {
		countFailure(err)
	}
	return err
}

func (t *Table) send(k Key, req *codec.Request, w *wait) error {
	if !k.Kind.IsSend() {
		return ErrUnsupportedKind
	}
	s, err := t.acquire(k, w)
	if err != nil {
		return err
	}
	defer s.leave()
	body := pool.Acquire(0)
	defer body.Release()
	message, err := req.AppendMessage(body.B)
	if err != nil {
		return err
	}
	body.B = message
	return t.queue(s, message, w)
}

// queue publishes work and waits until the bus has it.
func (t *Table) queue(s *service, body []byte, w *wait) error {
	if len(body) > t.config.MaxMessageBytes {
		return ErrTooLarge
	}
	ctx := newCallContext(w)
	defer ctx.release()
	if err := ctx.Err(); err != nil {
		return busError(err)
	}
	if _, err := t.bus.Publish(ctx, &bus.Message{To: s.request, Body: body}); err != nil {
		return busError(err)
	}
	return nil
}
