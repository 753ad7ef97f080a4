//go:build !race

package bus

import "testing"

func TestWindowAllocatesNothing(t *testing.T) {
	w, ctx, result := NewWindow(1, 1), t.Context(), make(chan error)
	next := make(chan struct{})
	go func() {
		for range next {
			result <- w.Take(ctx, 1, nil)
		}
	}()
	got := testing.AllocsPerRun(1000, func() {
		_ = w.Take(ctx, 1, nil)
		next <- struct{}{} // waits for its turn, or not
		w.Give(1, 1)
		if err := <-result; err != nil {
			t.Error(err)
		}
		w.Give(1, 1)
	})
	close(next)
	if got != 0 {
		t.Errorf("%v allocations", got)
	}
}
