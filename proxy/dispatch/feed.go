package dispatch

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"sluice/bus"
	"sluice/pool"
)

// feedPrefetch is how many messages the bus sends ahead of a feed.
const feedPrefetch = 256

// feedKey names the stream of an interface.
type feedKey struct {
	flowKey
	iface string
}

// feeds are the streams that somebody taps.
type feeds struct {
	mu sync.Mutex
	of map[feedKey]*feed
}

// feed is one consumer on the bus and the taps that share it. It begins with the
// first of them, and ends with the last or when its link is cut.
type feed struct {
	// set once
	table  *Table
	key    feedKey
	encode func(dst, msg []byte) ([]byte, error)
	done   chan struct{} // closed when it has begun, or will not

	// written before done is closed
	link         *link            // nil: there is nothing to tap
	subscription bus.Subscription // nil: it has not begun
	err          error

	// taps is read without a lock and changed under mu.
	taps atomic.Pointer[[]*tapEntry]

	mu    sync.Mutex
	ended bool
}

// feed returns the feed of an interface, and begins it if need be. The feed may
// have ended since.
func (t *Table) feed(workspace, id, iface string, encode func(dst, msg []byte) ([]byte, error)) (*feed, error) {
	fresh := &feed{
		table: t, encode: encode, done: make(chan struct{}),
		key: feedKey{flowKey{strings.Clone(workspace), strings.Clone(id)}, strings.Clone(iface)},
	}
	l, err := t.link(workspace, id, iface, fresh.cut)
	fresh.link = l
	if err != nil {
		close(fresh.done) // should it have been cut
		return nil, err
	}
	f := t.feeds.join(fresh)
	if f == fresh {
		fresh.begin()
	} else {
		t.links.remove(l)
		close(fresh.done) // should it have been cut
	}
	<-f.done
	return f, f.err
}

// join returns the feed that there is, which may be fresh itself.
func (f *feeds) join(fresh *feed) *feed {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := f.of[fresh.key]; now != nil {
		return now
	}
	// One that is cut already must not enter: nobody would take it out again.
	if !fresh.over() {
		f.of[fresh.key] = fresh
	}
	return fresh
}

// leave takes a feed out, where another one may be in its place.
func (f *feeds) leave(old *feed) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.of[old.key] == old {
		delete(f.of, old.key)
	}
}

// begin subscribes. Tappers that come meanwhile wait for it.
func (f *feed) begin() {
	defer close(f.done)
	ctx, cancel := context.WithTimeout(f.table.ctx, wireTimeout)
	defer cancel()
	subscription, err := f.table.bus.Subscribe(ctx, bus.Consumer{
		Topic: f.link.topic, Prefetch: feedPrefetch, Handler: f.handle,
	})
	if err != nil {
		f.err = fmt.Errorf("%w: %w", ErrUnavailable, err)
		f.finish()
		return
	}
	f.subscription = subscription
	exportConsumers.Inc()
}

// over reports whether the feed takes no more taps.
func (f *feed) over() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ended
}

// add reports false when the feed has ended.
func (f *feed) add(e *tapEntry) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended {
		return false
	}
	taps := append(slices.Clone(f.entries()), e)
	f.taps.Store(&taps)
	return true
}

// drop closes a tap, and the feed with its last one.
func (f *feed) drop(e *tapEntry) {
	if !e.close() {
		return
	}
	f.mu.Lock()
	taps := slices.DeleteFunc(slices.Clone(f.entries()), func(other *tapEntry) bool { return other == e })
	f.taps.Store(&taps)
	last := len(taps) == 0 && !f.ended
	f.ended = f.ended || last
	f.mu.Unlock()
	if last {
		f.retire()
	}
}

// cut ends the feed under its taps.
func (f *feed) cut(why error) {
	for _, e := range f.finish() {
		e.end(why)
	}
}

// finish ends the feed, once, and returns the taps that it had.
func (f *feed) finish() []*tapEntry {
	f.mu.Lock()
	if f.ended {
		f.mu.Unlock()
		return nil
	}
	f.ended = true
	taps := f.entries()
	f.taps.Store(nil)
	f.mu.Unlock()
	f.retire()
	return taps
}

// retire takes the feed, which has ended, out of the table and off the bus.
func (f *feed) retire() {
	f.table.feeds.leave(f)
	f.table.unwiring.add(f.unsubscribe)
}

// unsubscribe gives the consumer back, in the background.
func (f *feed) unsubscribe() {
	<-f.done
	if f.link != nil {
		f.table.links.remove(f.link)
	}
	if f.subscription == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), unwireTimeout)
	defer cancel()
	if err := f.subscription.Close(ctx); err != nil {
		f.table.config.Log.Warn("cannot close an export", "topic", f.link.topic.Exchange, "error", err)
	}
	exportConsumers.Dec()
}

// entries returns the taps, not to be changed.
func (f *feed) entries() []*tapEntry {
	if p := f.taps.Load(); p != nil {
		return *p
	}
	return nil
}

// handle is the consumer's handler.
func (f *feed) handle(d *bus.Delivery) {
	defer d.Ack()
	taps := f.entries()
	if len(taps) == 0 {
		return
	}
	body := pool.Acquire(len(d.Body))
	out, err := f.encoded(body.B, d.Body)
	if err != nil {
		body.Release()
		exportFailures.Inc()
		return
	}
	body.B = out
	exportMessages.Inc()
	frame := NewFrame(body)
	for _, e := range taps {
		e.offer(frame)
	}
	frame.Release()
}

// errEncodePanic stands for a panic of encode: it would end the process for what
// somebody else published.
var errEncodePanic = errors.New("encoding panicked")

func (f *feed) encoded(dst, msg []byte) (out []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			f.table.config.Log.Error("encoding an export panicked", "topic", f.link.topic.Exchange,
				"bytes", len(msg), "panic", r, "stack", string(debug.Stack()))
			err = errEncodePanic
		}
	}()
	return f.encode(dst, msg)
}
