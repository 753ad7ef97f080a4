package dispatch

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"

	"sluice/bus"
)

const stored = "flow:tg:triples-store:main"

func TestTapsShareOneConsumerAndOneEncoding(t *testing.T) {
	f := newFixture(t, Config{})
	f.table.StartFlow("acme", "main", record("main"))
	before, failed := counterValue(t, "sluice_export_messages_total"), counterValue(t, "sluice_export_encode_failures_total")
	var encodings atomic.Int32
	encode := func(dst, msg []byte) ([]byte, error) {
		encodings.Add(1)
		return shout(dst, msg)
	}
	var taps []*reader
	var ends []func()
	for range 5 {
		r := newReader(t)
		end, err := f.table.Tap("acme", "main", "triples-store", encode, r)
		if err != nil {
			t.Fatal(err)
		}
		taps, ends = append(taps, r), append(ends, end)
	}
	f.publish(stored, "one", "bad", "two", "worse", "three")
	want := []string{"one!", "two!", "three!"}
	for i, r := range taps {
		waitUntil(t, "all frames", func() bool { return r.len() == 3 })
		if r.frames[0] != taps[0].frames[0] {
			t.Error("not the same frame")
		}
		if i > 0 {
			if got := r.release(); !slices.Equal(got, want) {
				t.Errorf("tap %d got %q", i, got)
			}
		}
	}
	if got := taps[0].release(); !slices.Equal(got, want) {
		t.Errorf("tap 0 got %q", got)
	}
	if n := encodings.Load(); n != 5 {
		t.Errorf("%d encodings of 5 messages", n)
	}
	if n := counterValue(t, "sluice_export_messages_total") - before; n != 3 {
		t.Errorf("counted %d messages", n)
	}
	if n := counterValue(t, "sluice_export_encode_failures_total") - failed; n != 2 {
		t.Errorf("counted %d failures", n)
	}
	for i, end := range ends {
		end()
		end()
		if i < len(ends)-1 {
			f.publish(stored, "more")
			waitUntil(t, "the last gets it", func() bool { return taps[4].len() == i+1 })
		}
		if n := taps[i].len(); i < len(ends)-1 && n != i {
			t.Errorf("tap %d got %d after it was closed, want %d", i, n-i, 0)
		}
	}
	for _, r := range taps {
		r.release()
	}
	waitUntil(t, "nothing to be left", func() bool { return counterValue(t, "sluice_export_consumers") == 0 })
	f.unbound(stored)
	if len(f.table.feeds.of) != 0 || len(f.table.links.of) != 0 {
		t.Errorf("left: %v, %v", f.table.feeds.of, f.table.links.of)
	}
}

// unbound insists that nobody consumes a flow topic any more.
func (f *fixture) unbound(id string) {
	f.Helper()
	_, err := f.bus.Publish(context.Background(), &bus.Message{To: topic(f, id), Body: []byte("x")})
	if !errors.Is(err, bus.ErrUnroutable) {
		f.Errorf("%s: %v", id, err)
	}
}

func TestTapEnds(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(f *fixture)
		want error
	}{
		"stopped":   {func(f *fixture) { f.table.StopFlow("acme", "main") }, ErrFlowStopped},
		"redefined": {func(f *fixture) { f.table.StartFlow("acme", "main", record("other")) }, ErrFlowStopped},
		"closed":    {func(f *fixture) { _ = f.table.Close(context.Background()) }, ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, Config{})
			f.table.StartFlow("acme", "main", record("main"))
			r, gone := newReader(t), newReader(t)
			if _, err := f.table.Tap("acme", "main", "triples-store", shout, r); err != nil {
				t.Fatal(err)
			}
			end, err := f.table.Tap("acme", "main", "triples-store", shout, gone)
			if err != nil {
				t.Fatal(err)
			}
			end()
			c.end(f)
			<-r.end
			if !errors.Is(r.why, c.want) {
				t.Errorf("ended with %v", r.why)
			}
			if gone.ended {
				t.Error("a closed tap was told of the end")
			}
			waitUntil(t, "nothing to be left", func() bool { return counterValue(t, "sluice_export_consumers") == 0 })
			f.unbound(stored)
		})
	}
}

// TestTapEndsDuringAnOffer: the end waits for the offer, and whoever stops the flow
// does not.
func TestTapEndsDuringAnOffer(t *testing.T) {
	f := newFixture(t, Config{})
	f.table.StartFlow("acme", "main", record("main"))
	r := newReader(t)
	in, out := make(chan struct{}), make(chan struct{})
	r.onOffer = func() { in <- struct{}{}; <-out }
	if _, err := f.table.Tap("acme", "main", "triples-store", shout, r); err != nil {
		t.Fatal(err)
	}
	f.publish(stored, "one")
	<-in
	f.table.StopFlow("acme", "main")
	select {
	case <-r.end:
		t.Error("ended during an offer")
	default:
	}
	close(out)
	<-r.end
	r.release()
}

// TestTapClosesItselfDuringAnOffer: it hears nothing more, of the end neither.
func TestTapClosesItselfDuringAnOffer(t *testing.T) {
	f := newFixture(t, Config{})
	f.table.StartFlow("acme", "main", record("main"))
	r, other := newReader(t), newReader(t)
	var end func()
	r.onOffer = func() { end() }
	end, err := f.table.Tap("acme", "main", "triples-store", shout, r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.table.Tap("acme", "main", "triples-store", shout, other); err != nil {
		t.Fatal(err)
	}
	f.publish(stored, "one", "two")
	waitUntil(t, "the other has both", func() bool { return other.len() == 2 })
	f.table.StopFlow("acme", "main")
	<-other.end
	if r.len() != 1 || r.ended {
		t.Errorf("%d frames, ended %v", r.len(), r.ended)
	}
	r.release()
	other.release()
}

func TestTapSurvivesTheLossOfTheBus(t *testing.T) {
	f := newFixture(t, Config{})
	f.table.StartFlow("acme", "main", record("main"))
	r := newReader(t)
	end, err := f.table.Tap("acme", "main", "triples-store", shout, r)
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	f.publish(stored, "one")
	waitUntil(t, "a frame", func() bool { return r.len() == 1 })
	f.bus.Interrupt()
	f.publish(stored, "two")
	waitUntil(t, "another", func() bool { return r.len() >= 2 })
	r.release()
}

func TestTapRefusals(t *testing.T) {
	b := newFakeBus()
	b.onSubscribe = func(context.Context, bus.Consumer) error { return bus.ErrUnavailable }
	table := New(b, NewPending(0), Config{})
	table.StartFlow("acme", "main", record("main"))
	var unknown *UnknownFlowError
	for iface, want := range map[string]func(error) bool{
		"triples-store": is(ErrUnavailable), "prompt": is(ErrUnsupportedKind), "what": is(ErrUnsupportedKind),
	} {
		if _, err := table.Tap("acme", "main", iface, shout, newReader(t)); !want(err) {
			t.Errorf("%s: %v", iface, err)
		}
		if _, err := table.BlockingTap("acme", "main", iface, 1<<20); !want(err) {
			t.Errorf("%s: %v", iface, err)
		}
	}
	if _, err := table.Tap("acme", "no", "triples-store", shout, newReader(t)); !errors.As(err, &unknown) {
		t.Errorf("err = %v", err)
	}
	// Failures are not remembered.
	b.onSubscribe = nil
	end, err := table.Tap("acme", "main", "triples-store", shout, newReader(t))
	if err != nil {
		t.Fatal(err)
	}
	end()
	closeTable(t, table)
	if _, err := table.Tap("acme", "main", "triples-store", shout, newReader(t)); !errors.Is(err, ErrUnavailable) {
		t.Errorf("closed: %v", err)
	}
	if len(table.feeds.of) != 0 || len(table.links.of) != 0 || len(table.blockingTaps) != 0 {
		t.Errorf("left: %v, %v, %d", table.feeds.of, table.links.of, len(table.blockingTaps))
	}
}
