package amqp

import (
	"errors"
	"testing"
	"time"

	"sluice/bus"
	"sluice/bus/amqp/brokertest"
)

// A broker that takes everything and confirms nothing is found out, be there work
// or not.
func TestBulkWatchdog(t *testing.T) {
	for _, busy := range []bool{false, true} {
		p := newProxy(t, brokertest.URL(t))
		s, o := newSpace(t), newOutcomes()
		b := open(t, Config{URLs: []string{p.url}, WatchdogInterval: 20 * time.Millisecond, WatchdogTimeout: 3 * time.Second}, nil)
		m := bus.Message{To: s.topic(bus.Flow, "hole")}
		drain(t, b, m.To)
		sendBulk(t, b, m, o, 0)
		if err := o.of(t, 0); err != nil {
			t.Errorf("before: %v", err)
		}
		before := b.bulk.lane.Load()
		bulkPair(t, b, p).up.set(swallow)
		if busy {
			sendBulk(t, b, m, o, 1)
		}
		until(t, "the connection is rebuilt", func() bool {
			now := b.bulk.lane.Load()
			return now != nil && now != before
		})
		if busy && !errors.Is(o.of(t, 1), bus.ErrOutcomeUnknown) {
			t.Errorf("what was swallowed: %v", o.of(t, 1))
		}
		sendBulk(t, b, m, o, 2)
		if err := o.of(t, 2); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	}
}

func TestBulkWatchdogIsPatient(t *testing.T) {
	late := time.Hour
	for name, c := range map[string]struct {
		blocked, waiting, moved, barks bool
	}{
		"blocked":          {blocked: true, waiting: true},
		"progress":         {waiting: true, moved: true},
		"nothing to do":    {},
		"nothing confirms": {waiting: true, barks: true},
	} {
		lane := &confirmLane{ctx: t.Context(), window: bus.NewWindow(1, 1), ring: newRing(1)}
		lane.window.Close(bus.Down) // it has no channel
		if c.waiting {
			lane.ring.add(unconfirmed{})
		}
		if c.moved {
			lane.ring.taken++
		}
		now := time.Now()
		d := bulkWatchdog{wire: &wire{}, lane: lane, timeout: time.Second, since: now}
		d.wire.blocked.Store(c.blocked)
		if err := d.tick(now.Add(late)); (err != nil) != c.barks {
			t.Errorf("%s: %v", name, err)
		}
	}
}
