package dispatch

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/bus"
	"sluice/codec"
)

// TestStreamHammer is TestHammer for streams, work that waits for its confirmation
// and downloads, some of which are cancelled at any moment. Each sink must hear
// one thing at a time and one end, unless it was cancelled, and nothing may be
// left over.
func TestStreamHammer(t *testing.T) {
	const flows, callers, calls = 4, 16, 100
	f := newFixture(t, Config{})
	name := func(i int) string { return fmt.Sprint("flow", i) }
	var healthy atomic.Bool
	for i := range flows {
		f.table.StartFlow("w", name(i), record(name(i)))
		f.serve("request:tg:tc:"+name(i), "response:tg:tc:"+name(i), f.unreliable(&healthy, name(i)))
		f.swallow("flow:tg:text-load:" + name(i))
	}
	ctx, stop := context.WithCancel(t.Context())
	var chaos, work sync.WaitGroup
	chaos.Go(func() {
		for ctx.Err() == nil {
			i := rand.IntN(flows)
			f.table.StopFlow("w", name(i))
			f.table.StartFlow("w", name(i), record(name(i)))
			time.Sleep(time.Duration(rand.IntN(3)) * time.Millisecond)
		}
	})
	chaos.Go(func() {
		for ctx.Err() == nil {
			f.bus.Interrupt()
			time.Sleep(5 * time.Millisecond)
		}
	})
	var answered atomic.Int32
	for range callers {
		work.Go(func() {
			for i := range calls {
				k := Key{"w", name(rand.IntN(flows)), codec.TextCompletion}
				if f.hammerStream(k, i) {
					answered.Add(1)
				}
			}
		})
	}
	work.Wait()
	stop()
	chaos.Wait()
	if answered.Load() == 0 {
		t.Error("nothing was answered")
	}
	if n := f.pending.streams.n.Load(); n != 0 {
		t.Errorf("%d streams counted", n)
	}
	f.table.services.Range(func(k Key, s *service) bool {
		if n := s.users.Load(); n != 0 {
			t.Errorf("%v has %d users", k, n)
		}
		return true
	})
	waitUntil(t, "all slots to be free", func() bool { return freeSlots(f.pending) == int(f.pending.made.Load()) })
}

// freeSlots counts the free list, which nobody else may use.
func freeSlots(p *Pending) int {
	var taken []*slot
	for s := p.free.pop(p); s != nil; s = p.free.pop(p) {
		taken = append(taken, s)
	}
	for _, s := range taken {
		p.free.push(s)
	}
	return len(taken)
}

// swallow takes work.
func (f *fixture) swallow(id string) {
	f.Helper()
	_, err := f.bus.Subscribe(context.Background(), bus.Consumer{
		Topic: topic(f, id), Name: "svc", Handler: func(d *bus.Delivery) { d.Ack() },
	})
	if err != nil {
		f.Fatal(err)
	}
}

// hammerStream makes one use of a flow and reports whether it went well.
func (f *fixture) hammerStream(k Key, i int) bool {
	call := Call{PartTimeout: 300 * time.Millisecond, Timeout: 600 * time.Millisecond}
	if i%8 == 7 {
		call.PartTimeout = 30 * time.Millisecond
		parts := 0
		err := f.table.Download(k, ask(f, "x"), call, func([]byte, bool) error { parts++; return nil })
		if err != nil && !isExpected(err) {
			f.Errorf("download: %v", err)
		}
		return err == nil && parts > 0
	}
	request := ask(f, "x")
	if i%8 == 6 {
		k.Kind = codec.TextLoad
		request = parsed(f, codec.TextLoad, `{"text":"aGk="}`)
	}
	r := newRecorder(f)
	h, err := f.table.Stream(k, request, call, r)
	if err != nil {
		if !isExpected(err) && !errors.Is(err, ErrOutcomeUnknown) {
			f.Errorf("stream: %v", err)
		}
		return false
	}
	if i%3 == 0 {
		time.Sleep(time.Duration(rand.IntN(100)) * time.Microsecond)
		if h.Cancel() {
			before, _ := r.told()
			h.Cancel()
			if after, err := r.told(); len(after) != len(before) || err != nil {
				f.Errorf("told after a quiet cancel: %q, %v", after, err)
			}
		}
		return false
	}
	_, err = r.wait()
	if err != nil && !isExpected(err) && !errors.Is(err, ErrOutcomeUnknown) {
		f.Errorf("sink: %v", err)
	}
	return err == nil
}
