package proxy

import (
	"runtime/debug"
	"testing"
)

// TestFrugality: it lasts from the first transfer to the last, and leaves what the
// operator has set.
func TestFrugality(t *testing.T) {
	now := func() int {
		n := debug.SetGCPercent(100)
		debug.SetGCPercent(n)
		return n
	}
	defer debug.SetGCPercent(now())
	for _, row := range []struct{ usual, during int }{{100, bulkGCPercent}, {400, bulkGCPercent}, {bulkGCPercent, bulkGCPercent}, {10, 10}, {-1, -1}} {
		var f frugal
		debug.SetGCPercent(row.usual)
		f.enter()
		f.enter()
		if got := now(); got != row.during {
			t.Errorf("GOGC %d: %d while moving", row.usual, got)
		}
		f.leave()
		if got := now(); got != row.during {
			t.Errorf("GOGC %d: %d while the second one moves", row.usual, got)
		}
		f.leave()
		if got := now(); got != row.usual {
			t.Errorf("GOGC %d: %d afterwards", row.usual, got)
		}
	}
}
