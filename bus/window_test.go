package bus

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func take(t *testing.T, w *Window, n int) {
	t.Helper()
	if err := w.Take(t.Context(), n, nil); err != nil {
		t.Fatal(err)
	}
}

// full returns what Take says to somebody who waits a second.
func full(t *testing.T, w *Window, n int) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	return w.Take(ctx, n, nil)
}

func TestWindowBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, c := range map[string]struct {
			messages, bytes, first, next int
		}{
			"messages":                 {1, 1000, 0, 0},
			"all beside what is empty": {10, 100, 0, 1000},
			"bytes":                    {10, 100, 60, 41},
			"beside what is larger":    {10, 100, 1000, 1},
			"larger than all":          {10, 100, 1, 1000},
		} {
			w := NewWindow(c.messages, c.bytes)
			take(t, w, c.first)
			if err := full(t, w, c.next); !errors.Is(err, ErrBusy) || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: %v", name, err)
			}
			w.Give(1, w.Cost(c.first))
			take(t, w, c.next)
			if n := w.Taken(); n != 1 {
				t.Errorf("%s: %d messages have room", name, n)
			}
		}
	})
}

func TestWindowServesInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := NewWindow(10, 100)
		take(t, w, 100)
		var in atomic.Int64
		for _, n := range []int{90, 5, 95, 1} {
			go func() {
				if err := w.Take(t.Context(), n, nil); err == nil {
					in.Add(1)
				}
			}()
			synctest.Wait()
		}
		expect := func(what string, want int64) {
			t.Helper()
			synctest.Wait()
			if n := in.Load(); n != want {
				t.Fatalf("%s: %d got room", what, n)
			}
		}
		expect("at first", 0)
		w.Give(1, 100)
		expect("90 and 5 fit, 1 waits behind 95", 2)
		w.Give(1, 5)
		expect("95 does not fit", 2)
		w.Give(1, 90)
		expect("95 fits, and 1 beside it", 4)
	})
}

// Somebody who gives up lets those behind pass.
func TestWindowLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := NewWindow(10, 100)
		take(t, w, 50)
		ctx, cancel := context.WithCancel(t.Context())
		results := make(chan error, 2)
		go func() { results <- w.Take(ctx, 100, nil) }()
		synctest.Wait()
		go func() { results <- w.Take(t.Context(), 50, nil) }()
		synctest.Wait()
		cancel()
		if err := <-results; !errors.Is(err, ErrBusy) {
			t.Errorf("who gave up: %v", err)
		}
		if err := <-results; err != nil {
			t.Errorf("who waited behind: %v", err)
		}
	})
}

func TestWindowGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, gone := NewWindow(1, 100), make(chan struct{})
		take(t, w, 1)
		result := make(chan error, 1)
		go func() { result <- w.Take(t.Context(), 1, gone) }()
		synctest.Wait()
		close(gone)
		if err := <-result; !errors.Is(err, ErrUnavailable) {
			t.Errorf("err = %v", err)
		}
	})
}

func TestWindowClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := NewWindow(10, 100)
		w.Close(Blocked)
		w.Close(Down)
		result := make(chan error, 1)
		go func() { result <- w.Take(t.Context(), 1, nil) }()
		for _, why := range []Closure{Down, Blocked} {
			synctest.Wait()
			if len(result) != 0 {
				t.Fatal("somebody got through a closed window")
			}
			w.Open(why)
		}
		if err := <-result; err != nil {
			t.Error(err)
		}
	})
}

// Whoever gets room in the moment in which they give up leaves it to others.
func TestWindowRace(t *testing.T) {
	w := NewWindow(1, 1)
	for range 2000 {
		take(t, w, 1)
		ctx, cancel := context.WithCancel(t.Context())
		result := make(chan error, 1)
		go func() { result <- w.Take(ctx, 1, nil) }()
		go cancel()
		w.Give(1, 1)
		if err := <-result; err == nil {
			w.Give(1, 1)
		}
		if n := w.Taken(); n != 0 {
			t.Fatalf("%d messages have room", n)
		}
	}
}
