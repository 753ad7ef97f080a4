package amqp

import (
	"sync/atomic"
	"testing"
	"time"
)

func newTestWatchdog(t *testing.T) *watchdog {
	t.Helper()
	cfg, err := Config{URLs: []string{"amqp://localhost"}, Logger: quiet}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	b := &Bus{cfg: cfg, echoes: newEchoes()}
	b.consumers = []*consumer{newConsumer(b, 0)}
	b.consumers[0].session.Store(&consumeSession{})
	s := &publishSession{bus: b, wire: &wire{}, heard: make([]atomic.Int64, 1)}
	for i := range s.lanes {
		s.lanes[i] = &lane{session: s, index: i}
	}
	return newWatchdog(b, s)
}

func TestWatchdogBarksOnce(t *testing.T) {
	w, now := newTestWatchdog(t), time.Now()
	w.sent[0] = now
	if err := w.tick(now.Add(w.bus.cfg.WatchdogTimeout)); err != nil {
		t.Errorf("too early: %v", err)
	}
	if err := w.tick(now.Add(w.bus.cfg.WatchdogTimeout + 1)); err == nil {
		t.Error("an overdue probe was not noticed")
	}
}

// A probe behind a long backlog of replies is late, not lost.
func TestWatchdogIsPatient(t *testing.T) {
	w, now := newTestWatchdog(t), time.Now()
	w.sent[0] = now
	overdue := now.Add(2 * w.bus.cfg.WatchdogTimeout)
	w.bus.consumers[0].replied.Store(overdue.Add(-w.bus.cfg.WatchdogTimeout).UnixNano())
	if err := w.tick(overdue); err != nil {
		t.Errorf("replies still come: %v", err)
	}
	if err := w.tick(overdue.Add(1)); err == nil {
		t.Error("neither the probe nor any other reply came")
	}
}

func TestWatchdogIsContent(t *testing.T) {
	late := time.Hour
	for name, calm := range map[string]func(w *watchdog){
		"the echo came":        func(w *watchdog) { w.session.heard[0].Store(time.Now().UnixNano()) },
		"publishers blocked":   func(w *watchdog) { w.session.wire.blocked.Store(true) },
		"consumer gone anyway": func(w *watchdog) { w.bus.consumers[0].session.Store(nil) },
	} {
		w, now := newTestWatchdog(t), time.Now()
		w.sent[0] = now
		calm(w)
		if err := w.tick(now.Add(late)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !w.sent[0].IsZero() {
			t.Errorf("%s: the probe still counts", name)
		}
	}
}
