package auth

import (
	"sync"
	"time"
)

// flights lets concurrent callers who want the same thing share one piece of
// work. The first caller does it on its own goroutine, the others wait.
type flights[K comparable, V any] struct {
	limit int // of callers inside do, working or waiting

	mu     sync.Mutex
	inside int              // guarded by mu
	open   map[K]*flight[V] // guarded by mu
}

type flight[V any] struct {
	landed chan struct{} // closed when value and err are set
	value  V
	err    error
}

func newFlights[K comparable, V any](limit int) *flights[K, V] {
	return &flights[K, V]{limit: limit, open: make(map[K]*flight[V])}
}

// do returns what work returned, to everybody who asked for key meanwhile. It
// answers ErrUnavailable when too many callers are inside, when others' work takes
// longer than patience, and to those who waited for work that panicked.
//
// Work that ends is forgotten at once: before it does anything expensive, work
// must look again whether its predecessor has done it already.
func (f *flights[K, V]) do(key K, patience time.Duration, work func() (V, error)) (V, error) {
	shared, first, admitted := f.join(key)
	if !admitted {
		var none V
		return none, ErrUnavailable
	}
	defer f.leave()
	if first {
		defer f.land(key, shared)
		shared.value, shared.err = work()
		return shared.value, shared.err
	}
	return shared.wait(patience)
}

func (f *flights[K, V]) join(key K) (shared *flight[V], first, admitted bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.inside >= f.limit {
		return nil, false, false
	}
	f.inside++
	if shared, found := f.open[key]; found {
		return shared, false, true
	}
	// The error stands if work panics.
	shared = &flight[V]{landed: make(chan struct{}), err: ErrUnavailable}
	f.open[key] = shared
	return shared, true, true
}

func (f *flights[K, V]) leave() {
	f.mu.Lock()
	f.inside--
	f.mu.Unlock()
}

func (f *flights[K, V]) land(key K, shared *flight[V]) {
	f.mu.Lock()
	delete(f.open, key)
	f.mu.Unlock()
	close(shared.landed)
}

func (s *flight[V]) wait(patience time.Duration) (V, error) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-s.landed:
		return s.value, s.err
	case <-timer.C:
		var none V
		return none, ErrUnavailable
	}
}
