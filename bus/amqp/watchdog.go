package amqp

import (
	"fmt"
	"time"
)

// watchdog sends messages round from one publish connection through the broker to
// each reply queue, and ends the session when they do not come back. It also asks
// for the accounts of busy lanes.
type watchdog struct {
	bus     *Bus
	session *publishSession
	next    time.Time
	sent    []time.Time // per consumer: the oldest probe without an echo, or zero
	turn    int
}

func newWatchdog(b *Bus, s *publishSession) *watchdog {
	return &watchdog{bus: b, session: s, sent: make([]time.Time, len(b.consumers))}
}

// tick is called every accountEvery.
func (w *watchdog) tick(now time.Time) error {
	if w.session.wire.blocked.Load() {
		clear(w.sent) // the broker holds everything back
		return nil
	}
	w.account()
	if err := w.check(now); err != nil {
		return err
	}
	if now.Before(w.next) {
		return nil
	}
	w.next = now.Add(w.bus.cfg.WatchdogInterval)
	for i, c := range w.bus.consumers {
		if s := c.session.Load(); s != nil && w.sent[i].IsZero() && w.probe(s.queue) {
			w.sent[i] = now
		}
	}
	return nil
}

func (w *watchdog) probe(queue string) bool {
	for _, l := range w.session.lanes {
		if l.echo(queue, true) {
			return true
		}
	}
	return false
}

// account lets each lane with news be accounted for, through any reply queue.
func (w *watchdog) account() {
	for range w.bus.consumers {
		w.turn = (w.turn + 1) % len(w.bus.consumers)
		if s := w.bus.consumers[w.turn].session.Load(); s != nil {
			for _, l := range w.session.lanes {
				l.echo(s.queue, false)
			}
			return
		}
	}
}

// check fails when a probe is overdue, and then rebuilds its consumer as well. A
// probe that waits behind a backlog of replies is only late: as long as they
// arrive, the way from the broker is sound.
func (w *watchdog) check(now time.Time) error {
	for i, sent := range w.sent {
		switch {
		case sent.IsZero():
		case w.session.heard[i].Load() >= sent.UnixNano(), w.bus.consumers[i].session.Load() == nil:
			w.sent[i] = time.Time{}
		case now.Sub(sent) > w.bus.cfg.WatchdogTimeout && now.Sub(w.bus.consumers[i].lastReply()) > w.bus.cfg.WatchdogTimeout:
			w.bus.consumers[i].link.drop()
			return fmt.Errorf("a message did not come round within %v", w.bus.cfg.WatchdogTimeout)
		}
	}
	return nil
}
