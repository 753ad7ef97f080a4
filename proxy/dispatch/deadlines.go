package dispatch

import (
	"sync/atomic"
	"time"
)

// deadlineTick is how late a streamed call may time out.
const deadlineTick = 250 * time.Millisecond

// streamCount counts the streamed calls under way, for whoever looks after their
// deadlines.
type streamCount struct {
	n    atomic.Int64
	wake chan struct{} // buffered: the first one was opened
}

func (c *streamCount) open() {
	if c.n.Add(1) == 1 {
		select {
		case c.wake <- struct{}{}:
		default:
		}
	}
}

func (c *streamCount) close() { c.n.Add(-1) }

// watchDeadlines times streamed calls out until the table is closed. It sleeps
// while there are none.
func (t *Table) watchDeadlines() {
	ticker := time.NewTicker(deadlineTick)
	defer ticker.Stop()
	for {
		ticker.Stop()
		select {
		case <-t.pending.streams.wake:
		case <-t.ctx.Done():
			return
		}
		ticker.Reset(deadlineTick)
		for t.pending.streams.n.Load() > 0 {
			select {
			case <-ticker.C:
				t.expire()
			case <-t.ctx.Done():
				return
			}
		}
	}
}

// expire is one look at all calls.
func (t *Table) expire() {
	now := t.pending.now()
	t.pending.each(func(s *slot) {
		if due := s.due.Load(); due == 0 || now < due {
			return
		}
		if silent := s.expire(now); silent != nil {
			t.refreshSilent(silent)
		}
	})
}
