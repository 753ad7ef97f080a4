package auth

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestFlightsShareOneWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFlights[string, int](100)
		var works atomic.Int32
		var callers sync.WaitGroup
		for range 50 {
			callers.Go(func() {
				got, err := f.do("k", time.Minute, func() (int, error) {
					time.Sleep(time.Second)
					return int(works.Add(1)), nil
				})
				if got != 1 || err != nil {
					t.Errorf("%d, %v", got, err)
				}
			})
		}
		callers.Wait()
		if got, _ := f.do("k", time.Minute, func() (int, error) { return 2, nil }); got != 2 {
			t.Error("work that has ended is still being shared")
		}
	})
}

func TestFlightsOfOtherKeysDoNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFlights[string, int](100)
		go func() {
			_, _ = f.do("slow", time.Minute, func() (int, error) { time.Sleep(time.Hour); return 0, nil })
		}()
		synctest.Wait()
		start := time.Now()
		if got, err := f.do("fast", time.Minute, func() (int, error) { return 7, nil }); got != 7 || err != nil {
			t.Errorf("%d, %v", got, err)
		}
		if time.Since(start) != 0 {
			t.Error("waited for another key")
		}
		time.Sleep(time.Hour) // the slow one ends
	})
}

func TestFlightsLosePatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFlights[string, int](100)
		go func() {
			_, _ = f.do("k", time.Minute, func() (int, error) { time.Sleep(time.Hour); return 0, nil })
		}()
		synctest.Wait()
		start := time.Now()
		if _, err := f.do("k", time.Second, nil); !errors.Is(err, ErrUnavailable) {
			t.Errorf("%v", err)
		}
		if time.Since(start) != time.Second {
			t.Errorf("waited %v", time.Since(start))
		}
		time.Sleep(time.Hour) // the work ends
	})
}

func TestFlightsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFlights[int, int](3)
		for i := range 3 {
			go func() {
				_, _ = f.do(i%2, time.Hour, func() (int, error) { time.Sleep(time.Minute); return 0, nil })
			}()
		}
		synctest.Wait()
		if _, err := f.do(9, time.Hour, nil); !errors.Is(err, ErrUnavailable) {
			t.Errorf("a fourth caller: %v", err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got, err := f.do(9, time.Hour, func() (int, error) { return 5, nil }); got != 5 || err != nil {
			t.Errorf("after the others left: %d, %v", got, err)
		}
	})
}

// TestFlightsSurvivePanic: who waited is answered, and the key is free again.
func TestFlightsSurvivePanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFlights[string, int](2)
		go func() {
			defer func() { _ = recover() }()
			_, _ = f.do("k", time.Minute, func() (int, error) { time.Sleep(time.Second); panic("boom") })
		}()
		synctest.Wait()
		if _, err := f.do("k", time.Minute, nil); !errors.Is(err, ErrUnavailable) {
			t.Errorf("%v", err)
		}
		if got, err := f.do("k", time.Minute, func() (int, error) { return 3, nil }); got != 3 || err != nil {
			t.Errorf("%d, %v", got, err)
		}
	})
}
