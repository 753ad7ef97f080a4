package dispatch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"sluice/bus"
)

// TestTapsComeAndGo has taps open and close while the flow is stopped and started
// and messages come.
func TestTapsComeAndGo(t *testing.T) {
	f := newFixture(t, Config{})
	f.table.StartFlow("acme", "main", record("main"))
	ctx, stop := context.WithCancel(t.Context())
	var chaos, wg sync.WaitGroup
	chaos.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			f.table.StopFlow("acme", "main")
			f.table.StartFlow("acme", "main", record("main"))
			f.bus.Interrupt()
		}
	})
	chaos.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			m := bus.Message{To: topic(t, stored), Body: fmt.Append(nil, i)}
			_, _ = f.bus.Publish(ctx, &m)
		}
	})
	for range 8 {
		wg.Go(func() {
			for i := range 100 {
				r := newReader(t)
				end, err := f.table.Tap("acme", "main", "triples-store", shout, r)
				var unknown *UnknownFlowError
				switch {
				case errors.As(err, &unknown) || errors.Is(err, ErrFlowStopped):
					continue
				case err != nil:
					t.Error(err)
					continue
				}
				if i%2 == 0 {
					end()
				} else {
					<-r.end
				}
				r.release()
			}
		})
	}
	wg.Wait()
	stop()
	chaos.Wait()
	f.table.StopFlow("acme", "main")
	waitUntil(t, "nothing to be left", func() bool { return counterValue(t, "sluice_export_consumers") == 0 })
	if len(f.table.feeds.of) != 0 || len(f.table.links.of) != 0 {
		t.Errorf("left: %v, %v", f.table.feeds.of, f.table.links.of)
	}
	f.unbound(stored)
}
