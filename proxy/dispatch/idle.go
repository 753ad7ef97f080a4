package dispatch

import "time"

// sweep unwires services that nobody calls, until the table is closed.
func (t *Table) sweep() {
	// A tenth is as late as it needs to be.
	interval := max(t.config.IdleAfter/10, time.Millisecond)
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			t.sweepOnce(interval)
		case <-t.ctx.Done():
			return
		}
	}
}

// sweepOnce is one round, interval after the last.
func (t *Table) sweepOnce(interval time.Duration) {
	t.services.Range(func(_ Key, s *service) bool {
		if s.touched.Swap(false) {
			s.idle = 0
			return true
		}
		s.idle += interval
		if s.idle >= t.config.IdleAfter && s.wired.Load() && s.closeUnused() {
			t.forget(s)
			t.unwire(s)
		}
		return true
	})
}
