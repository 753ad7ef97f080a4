package memory

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"sluice/bus"
)

// blockedSettler blocks, which a Settler must not, until it is told the outcomes
// may come.
type blockedSettler struct {
	gate chan struct{}
	errs []error
}

func (s *blockedSettler) Settled(_ uint64, err error) {
	<-s.gate
	s.errs = append(s.errs, err)
}

// What nobody was told yet when the connection is lost is unknown.
func TestInterruptLeavesUnsettledUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, to := New(nil), topic(t, "flow:tg:unknown")
		if _, err := b.Subscribe(t.Context(), bus.Consumer{Topic: to, Name: "svc", Handler: func(d *bus.Delivery) { d.Ack() }}); err != nil {
			t.Fatal(err)
		}
		s := &blockedSettler{gate: make(chan struct{})}
		for range 3 {
			m := bus.Message{To: to}
			if err := b.PublishAsync(t.Context(), &m, s, 0); err != nil {
				t.Fatal(err)
			}
			synctest.Wait() // the first one is being told
		}
		b.Interrupt()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := b.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("close while a settler blocks: %v", err)
		}
		close(s.gate)
		synctest.Wait()
		if len(s.errs) != 3 || s.errs[0] != nil || !errors.Is(s.errs[1], bus.ErrOutcomeUnknown) || !errors.Is(s.errs[2], bus.ErrOutcomeUnknown) {
			t.Errorf("told: %v", s.errs)
		}
	})
}

// A full queue is where bulk waits, and where it gives up nothing was sent.
func TestPublishAsyncToFullQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to := topic(t, "flow:tg:full")
		b, release := stuck(t, to, limits{messages: 1, bytes: 1 << 20})
		s := &blockedSettler{gate: make(chan struct{})}
		close(s.gate)
		for i, want := range []error{nil, nil, bus.ErrBusy} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			m := bus.Message{To: to}
			if err := b.PublishAsync(ctx, &m, s, 0); !errors.Is(err, want) {
				t.Errorf("publish %d: %v", i, err)
			}
			cancel()
			synctest.Wait()
		}
		if len(s.errs) != 2 || b.settling.window.Taken() != 0 {
			t.Errorf("told %v, %d messages unsettled", s.errs, b.settling.window.Taken())
		}
		release()
		if err := b.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// What the bound of a private queue costs is counted, and what its consumer may
// take at once is not part of the queue.
func TestMaxBytesIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, to := New(nil), topic(t, "flow:tg:tap")
		var got []string
		gate := make(chan struct{})
		_, err := b.Subscribe(t.Context(), bus.Consumer{Topic: to, MaxBytes: 2, Prefetch: 2, Handler: func(d *bus.Delivery) {
			<-gate
			got = append(got, string(d.Body))
			d.Ack()
		}})
		if err != nil {
			t.Fatal(err)
		}
		before := testutil.ToFloat64(droppedHead)
		for i := range 6 {
			m := bus.Message{To: to, Body: fmt.Append(nil, i)}
			if _, err := b.Publish(t.Context(), &m); err != nil {
				t.Fatal(err)
			}
		}
		if n := testutil.ToFloat64(droppedHead) - before; n != 2 {
			t.Errorf("%v dropped, want two", n)
		}
		close(gate)
		synctest.Wait()
		if len(got) != 4 || got[3] != "5" {
			t.Errorf("got %v", got)
		}
		if err := b.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
}
