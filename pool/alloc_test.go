//go:build !race

package pool

import "testing"

func TestAllocFreeInTheSteadyState(t *testing.T) {
	body := make([]byte, 2<<10)
	for name, f := range map[string]func(){
		"small": func() { b := Acquire(0); b.B = append(b.B, body...); b.Release() },
		"large": func() { b := Acquire(2 * smallBytes); b.B = append(b.B, body...); b.Release() },
		"wrap":  func() { Wrap(nil).Release() },
	} {
		if n := testing.AllocsPerRun(1000, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
