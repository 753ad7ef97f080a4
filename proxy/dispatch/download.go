package dispatch

import (
	"context"
	"strings"
	"time"

	"sluice/bus"
	"sluice/codec"
)

// downloadPrefetch is how many parts the bus sends ahead of a reader.
const downloadPrefetch = 4

// Download sends a request to the service k and calls fn with each part of the
// answer, which is a bus message of the service, not translated, and borrowed
// until fn returns. It is for answers of many parts that can outrun their reader:
// they come through a private queue, and each is acknowledged only when fn
// returns, so that a slow reader leaves them with the broker. Fn runs on the
// caller's goroutine.
//
// It ends after the final part, which may be an error that the service reports or
// one that cannot be translated, with the first error that fn returns, or with one
// that Call could return. C.Timeout bounds the call until the first part; from
// then on only c.PartTimeout holds, anew for each part and only while nothing is
// there to give to fn: neither a large answer nor a slow reader is a failure. Fn
// must watch the reader itself; a flow that stops, a lost bus and c.Gone end the
// call between two calls of fn.
//
// At most Config.Downloads run at once, further ones fail with ErrExhausted. When
// it returns nothing of it is left on the bus.
func (t *Table) Download(k Key, req *codec.Request, c Call, fn func(part []byte, final bool) error) error {
	w := t.wait(c)
	failed, err := t.tryDownload(k, req, &w, fn)
	if failed {
		countFailure(err)
	}
	return err
}

// tryDownload reports whether err is ours, not fn's.
func (t *Table) tryDownload(k Key, req *codec.Request, w *wait, fn func(part []byte, final bool) error) (failed bool, err error) {
	if k.Kind.IsSend() {
		return true, ErrUnsupportedKind
	}
	select {
	case t.downloads <- struct{}{}:
		defer func() { <-t.downloads }()
	default:
		return true, ErrExhausted
	}
	s, err := t.acquire(k, w)
	if err != nil {
		return true, err
	}
	defer s.leave()
	slot := t.pending.openPrivate(s)
	if slot == nil {
		return true, ErrExhausted
	}
	defer t.pending.close(slot)
	d := newDownload(t, s, slot)
	if err := d.subscribe(w); err != nil {
		return true, err
	}
	defer d.end()
	if err := t.translateAndSend(slot, s, req, w); err != nil {
		return true, err
	}
	return d.run(w, fn)
}

// download is one Download under way.
type download struct {
	// set once
	table      *Table
	service    *service
	slot       *slot
	generation uint64
	id         string

	parts        chan *bus.Delivery // no more than the bus may send ahead
	subscription bus.Subscription
}

func newDownload(t *Table, s *service, slot *slot) *download {
	return &download{
		table: t, service: s, slot: slot, generation: slot.generationNow(),
		// The bus may still look at it when the slot is somebody else's.
		id:    strings.Clone(slot.idView()),
		parts: make(chan *bus.Delivery, downloadPrefetch),
	}
}

// subscribe makes the private queue.
func (d *download) subscribe(w *wait) error {
	d.slot.context.reset(w.next(time.Now()), w.gone)
	defer d.slot.context.release()
	subscription, err := d.table.bus.Subscribe(&d.slot.context, bus.Consumer{
		Topic: d.service.response, Prefetch: downloadPrefetch, Handler: d.take, Rebound: d.interrupted,
	})
	if err == nil {
		d.subscription = subscription
		return nil
	}
	if failure := d.slot.failure(); failure != nil {
		return failure
	}
	if cause := context.Cause(&d.slot.context); cause != nil {
		return busError(cause)
	}
	return busError(err)
}

// end closes the private queue and settles what is left.
func (d *download) end() {
	ctx, cancel := context.WithTimeout(context.Background(), unwireTimeout)
	defer cancel()
	if err := d.subscription.Close(ctx); err != nil {
		d.table.config.Log.Warn("cannot close a private reply queue", "topic", d.service.response.Exchange, "error", err)
	}
	for {
		select {
		case part := <-d.parts:
			part.Ack()
		default:
			return
		}
	}
}

// take is the queue's handler. Others' replies are done with at once, unread.
func (d *download) take(part *bus.Delivery) {
	if part.ID != d.id {
		part.Ack()
		return
	}
	d.slot.answered(d.generation)
	select {
	case d.parts <- part:
	default:
		// More than were asked for: the bus has started anew meanwhile.
		part.Ack()
		d.interrupted()
	}
}

// interrupted ends the call: parts may be missing.
func (d *download) interrupted() { d.slot.failCall(d.generation, ErrLost) }

// run gives parts to fn until the answer is complete.
func (d *download) run(w *wait, fn func(part []byte, final bool) error) (failed bool, err error) {
	for {
		part, err := d.next(w.gone)
		if err != nil {
			return true, err
		}
		d.slot.timer.Stop()
		d.service.parts.Add(1)
		last := ends(d.service.key.Kind, part.Body)
		if err := hand(part, last, fn); err != nil || last {
			return false, err
		}
		d.slot.timer.Reset(w.part)
	}
}

// hand calls fn and then settles the part, come what may.
func hand(part *bus.Delivery, last bool, fn func(part []byte, final bool) error) error {
	defer part.Ack()
	return fn(part.Body, last)
}

// next waits for a part. A failure goes first: who knows what is missing then.
func (d *download) next(gone <-chan struct{}) (*bus.Delivery, error) {
	if err := d.slot.failure(); err != nil {
		return nil, err
	}
	select {
	case part := <-d.parts:
		return part, nil
	default:
	}
	select {
	case part := <-d.parts:
		return part, nil
	case <-d.slot.ready:
		return nil, d.slot.failure()
	case <-gone:
		return nil, ErrGone
	case <-d.slot.timer.C:
	}
	if d.service.parts.Load() == d.slot.partsBefore {
		d.table.refreshSilent(d.service)
	}
	return nil, ErrTimeout
}
