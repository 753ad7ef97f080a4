package dispatch

import (
	"errors"
	"sync"
	"testing"

	"sluice/bus"
)

func TestInterruptedFailsWhatWasSent(t *testing.T) {
	p := NewPending(4)
	sent := openSlot(t, p)
	unsent := p.open(newTestService())
	streaming := openSlot(t, p)
	p.Deliver(streaming.idView(), buffer(part("one", false)))
	p.Interrupted()
	if _, err := taken(sent); !errors.Is(err, ErrLost) {
		t.Errorf("sent: %v", err)
	}
	if _, err := taken(unsent); err != nil {
		t.Errorf("not yet sent: %v", err)
	}
	if got, err := taken(streaming); got != part("one", false) || err != nil {
		t.Errorf("streaming: %q, %v", got, err)
	}
	if _, err := taken(streaming); !errors.Is(err, ErrLost) {
		t.Errorf("streaming, after its part: %v", err)
	}
	for _, s := range []*slot{sent, unsent, streaming} {
		p.close(s)
	}
}

func TestLostLaneFailsOnlyWhatItCannotAccountFor(t *testing.T) {
	p := NewPending(8)
	lane, other := new(bus.Lane), new(bus.Lane)
	slots := make([]*slot, 6)
	for i := range slots {
		slots[i] = openSlot(t, p)
	}
	for i, s := range slots[:5] {
		s.published(bus.Receipt{Lane: lane, Seq: uint64(i + 1)})
	}
	slots[5].published(bus.Receipt{Lane: other, Seq: 9})
	// The broker answered the third: it has seen the first two as well.
	p.Deliver(slots[2].idView(), buffer(part("x", false)))
	if n := lane.Accounted(); n != 3 {
		t.Errorf("accounted for %d, want 3", n)
	}
	lane.MarkLost()
	p.Lost(lane)
	for i, want := range []error{nil, nil, nil, ErrLost, ErrLost, nil} {
		if err := slots[i].failure(); !errors.Is(err, want) {
			t.Errorf("request %d: %v, want %v", i+1, err, want)
		}
	}
	for _, s := range slots {
		p.close(s)
	}
}

func TestReturnAccounts(t *testing.T) {
	p := NewPending(2)
	lane := new(bus.Lane)
	first, second := openSlot(t, p), openSlot(t, p)
	first.published(bus.Receipt{Lane: lane, Seq: 1})
	second.published(bus.Receipt{Lane: lane, Seq: 2})
	p.Return(second.idView())
	lane.MarkLost()
	p.Lost(lane)
	if err := first.failure(); err != nil {
		t.Errorf("the first: %v", err)
	}
	p.close(first)
	p.close(second)
}

func TestReceiptAfterTheFact(t *testing.T) {
	p := NewPending(4)
	lane := new(bus.Lane)
	answered, silent := openSlot(t, p), openSlot(t, p)
	// Everything happens before Publish has returned.
	p.Deliver(answered.idView(), buffer(part("quick", true)))
	lane.MarkLost()
	p.Lost(lane)
	silent.published(bus.Receipt{Lane: lane, Seq: 8})
	if err := silent.failure(); !errors.Is(err, ErrLost) {
		t.Errorf("silent: %v", err)
	}
	answered.published(bus.Receipt{Lane: lane, Seq: 7})
	if err := answered.failure(); err != nil {
		t.Errorf("answered: %v", err)
	}
	if n := lane.Accounted(); n != 7 {
		t.Errorf("accounted for %d, want 7", n)
	}
	p.close(answered)
	p.close(silent)
}

// TestLostRacesWithReceipts checks that no call on a lost lane is forgotten,
// whatever comes first.
func TestLostRacesWithReceipts(t *testing.T) {
	for range 200 {
		p := NewPending(16)
		lane := new(bus.Lane)
		var slots []*slot
		for range 8 {
			slots = append(slots, openSlot(t, p))
		}
		var wg sync.WaitGroup
		for i, s := range slots {
			wg.Go(func() { s.published(bus.Receipt{Lane: lane, Seq: uint64(i + 1)}) })
		}
		wg.Go(func() {
			lane.MarkLost()
			p.Lost(lane)
		})
		wg.Wait()
		for i, s := range slots {
			if err := s.failure(); !errors.Is(err, ErrLost) {
				t.Fatalf("request %d: %v", i+1, err)
			}
			p.close(s)
		}
	}
}
