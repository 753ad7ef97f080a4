package dispatch

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/bus"
)

// reader is a tap that keeps what it is offered, and insists on one call at a
// time.
type reader struct {
	testing.TB
	onOffer func() // may be nil

	mu     sync.Mutex
	busy   bool
	frames []*Frame
	ended  bool
	why    error
	end    chan struct{}
}

func newReader(t testing.TB) *reader { return &reader{TB: t, end: make(chan struct{})} }

func (r *reader) enter() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.busy || r.ended {
		r.Errorf("called while busy (%v) or after the end (%v)", r.busy, r.ended)
	}
	r.busy = true
}

func (r *reader) Offer(f *Frame) {
	r.enter()
	f.Retain()
	if r.onOffer != nil {
		r.onOffer()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.frames = append(r.frames, f)
	r.busy = false
}

func (r *reader) Ended(err error) {
	r.enter()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended, r.why, r.busy = true, err, false
	close(r.end)
}

func (r *reader) len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.frames)
}

// release returns the text of what came, and the frames.
func (r *reader) release() (texts []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.frames {
		texts = append(texts, string(f.Bytes()))
		f.Release()
	}
	r.frames = nil
	return texts
}

// shout is an encoding that refuses "bad" and panics at "worse".
func shout(dst, msg []byte) ([]byte, error) {
	switch string(msg) {
	case "bad":
		return dst, errors.New("bad")
	case "worse":
		panic("worse")
	}
	return append(append(dst, msg...), '!'), nil
}

func (f *fixture) publish(id string, texts ...string) {
	f.Helper()
	for _, text := range texts {
		if _, err := f.bus.Publish(context.Background(), &bus.Message{To: topic(f, id), Body: []byte(text)}); err != nil {
			f.Fatal(err)
		}
	}
}

func counterValue(t testing.TB, name string) int {
	t.Helper()
	families, err := prometheus.DefaultGatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name {
			m := family.GetMetric()[0]
			return int(m.GetCounter().GetValue() + m.GetGauge().GetValue())
		}
	}
	t.Fatalf("no %s", name)
	return 0
}
