package dispatch

import (
	"fmt"
	"sync"
	"testing"

	"sluice/pool"
)

// recorder is a sink that remembers what it was told, and insists that it is told
// one thing at a time and nothing after the end.
type recorder struct {
	testing.TB
	onPart func(text string, final bool) // may be nil; is called without a lock

	mu    sync.Mutex
	busy  bool
	texts []string
	ended bool
	err   error
	end   chan struct{}
}

func newRecorder(t testing.TB) *recorder { return &recorder{TB: t, end: make(chan struct{})} }

func (r *recorder) enter() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.busy || r.ended {
		r.Errorf("called while busy (%v) or after the end (%v)", r.busy, r.ended)
	}
	r.busy = true
}

func (r *recorder) leave(text string, final bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.busy = false
	if err == nil {
		r.texts = append(r.texts, text)
	}
	if final {
		r.ended, r.err = true, err
		close(r.end)
	}
}

func (r *recorder) Part(body *pool.Buffer, final bool) {
	r.enter()
	text := "nothing"
	if body != nil {
		text = string(body.B)
	}
	body.Release()
	if r.onPart != nil {
		r.onPart(text, final)
	}
	r.leave(text, final, nil)
}

func (r *recorder) Fail(err error) {
	r.enter()
	r.leave("", true, err)
}

// wait returns all that came, once it is complete.
func (r *recorder) wait() ([]string, error) {
	<-r.end
	return r.told()
}

// told returns what came so far.
func (r *recorder) told() ([]string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string{}, r.texts...), r.err
}

// words returns n parts of an answer, of which the last is final.
func words(n int) (parts []string) {
	for i := range n {
		parts = append(parts, part(fmt.Sprint("word ", i), i == n-1))
	}
	return parts
}
