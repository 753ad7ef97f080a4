package bustest

import (
	"sync"

	"sluice/bus"
	"sluice/pool"
)

// Recorder is a bus.Replies that remembers everything it is told.
type Recorder struct {
	mu            sync.Mutex
	bodies        map[string][][]byte
	returned      map[string]int
	lanes         []*bus.Lane
	interruptions int
}

var _ bus.Replies = (*Recorder)(nil)

// NewRecorder returns an empty Recorder.
func NewRecorder() *Recorder {
	return &Recorder{bodies: map[string][][]byte{}, returned: map[string]int{}}
}

// Deliver implements bus.Replies.
func (r *Recorder) Deliver(id string, body *pool.Buffer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	// The key is built anew: id is only valid during the call.
	key := string([]byte(id))
	r.bodies[key] = append(r.bodies[key], append([]byte{}, body.B...))
	body.Release()
}

// Return implements bus.Replies.
func (r *Recorder) Return(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.returned[string([]byte(id))]++
}

// Lost implements bus.Replies.
func (r *Recorder) Lost(lane *bus.Lane) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lanes = append(r.lanes, lane)
}

// Interrupted implements bus.Replies.
func (r *Recorder) Interrupted() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.interruptions++
}

// Bodies returns the replies delivered with id so far, in order.
func (r *Recorder) Bodies(id string) [][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([][]byte(nil), r.bodies[id]...)
}

// Returned counts the returns of id so far.
func (r *Recorder) Returned(id string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.returned[id]
}

// Lanes returns the lanes reported lost so far.
func (r *Recorder) Lanes() []*bus.Lane {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]*bus.Lane(nil), r.lanes...)
}

// Interruptions counts the calls of Interrupted so far.
func (r *Recorder) Interruptions() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.interruptions
}
