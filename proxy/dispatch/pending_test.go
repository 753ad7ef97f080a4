package dispatch

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"sluice/codec"
	"sluice/pool"
)

func newTestService() *service {
	return &service{key: completion}
}

// openSlot opens a slot that has sent its request.
func openSlot(t testing.TB, p *Pending) *slot {
	t.Helper()
	s := p.open(newTestService())
	if s == nil {
		t.Fatal("no slot")
	}
	if err := s.sending(0); err != nil {
		t.Fatal(err)
	}
	return s
}

func buffer(text string) *pool.Buffer {
	b := pool.Acquire(len(text))
	b.B = append(b.B, text...)
	return b
}

// taken returns the part and error that wait in a slot.
func taken(s *slot) (string, error) {
	body, err := s.takePart()
	if body == nil {
		return "", err
	}
	defer body.Release()
	return string(body.B), err
}

func TestDeliverFindsItsCall(t *testing.T) {
	p := NewPending(8)
	a, b := openSlot(t, p), openSlot(t, p)
	p.Deliver(b.idView(), buffer(part("for b", true)))
	p.Deliver(a.idView(), buffer(part("for a", true)))
	if got, err := taken(a); got != part("for a", true) || err != nil {
		t.Errorf("a got %q, %v", got, err)
	}
	if got, err := taken(b); got != part("for b", true) || err != nil {
		t.Errorf("b got %q, %v", got, err)
	}
	p.close(a)
	p.close(b)
	if n := p.Waiting(); n != 0 {
		t.Errorf("%d slots in use", n)
	}
}

func TestUnwantedRepliesAreCounted(t *testing.T) {
	p, other := NewPending(4), NewPending(4)
	s, theirs := openSlot(t, p), openSlot(t, other)
	old := s.id
	p.close(s)
	s = openSlot(t, p)
	if s.id == old {
		t.Fatal("an id was used twice")
	}
	var neverMade, beyond idText
	neverMade.encode(p.prefix, 3, 1)
	beyond.encode(p.prefix, 4, 1)
	for _, c := range []struct{ reason, id string }{
		{"foreign", theirs.idView()},
		{"malformed", ""},
		{"malformed", "not an id"},
		{"malformed", p.prefix + "zzzz-000000000000"},
		{"stale", string(old[:])},
		{"stale", string(neverMade[:])},
		{"stale", string(beyond[:])},
	} {
		before := dropped(t, c.reason)
		p.Deliver(c.id, buffer("not even JSON"))
		p.Return(c.id)
		if n := dropped(t, c.reason) - before; n != 2 {
			t.Errorf("%q was counted %d times as %s, want 2", c.id, n, c.reason)
		}
	}
	if got, err := taken(s); got != "" || err != nil {
		t.Errorf("the open call got %q, %v", got, err)
	}
	p.close(s)
	other.close(theirs)
}

func TestClosedSlotTakesNothing(t *testing.T) {
	p := NewPending(1)
	s := openSlot(t, p)
	id := string(s.id[:])
	p.Deliver(id, buffer(part("unread", false)))
	p.close(s)
	p.Deliver(id, buffer(part("late", true)))
	p.Return(id)
	p.Interrupted()
	again := openSlot(t, p)
	if again != s {
		t.Fatal("the only slot was not used again")
	}
	if got, err := taken(again); got != "" || err != nil || len(again.ready) != 0 {
		t.Errorf("the next call found %q, %v and %d tokens", got, err, len(again.ready))
	}
	p.close(again)
}

func TestNewerPartReplacesUnread(t *testing.T) {
	p := NewPending(1)
	s := openSlot(t, p)
	for i := range 5 {
		p.Deliver(s.idView(), buffer(part(fmt.Sprint(i), false)))
	}
	if got, _ := taken(s); got != part("4", false) {
		t.Errorf("got %q, want the newest", got)
	}
	p.close(s)
}

func TestLastPartIsNeverReplaced(t *testing.T) {
	for name, last := range map[string]string{
		"final":   part("the end", true),
		"error":   `{"error":{"type":"t","message":"m"},"response":"","end_of_stream":false}`,
		"garbage": `}{`,
	} {
		t.Run(name, func(t *testing.T) {
			p := NewPending(1)
			s := openSlot(t, p)
			p.Deliver(s.idView(), buffer(part("first", false)))
			p.Deliver(s.idView(), buffer(last))
			p.Deliver(s.idView(), buffer(part("after", false)))
			p.Deliver(s.idView(), buffer(part("after", true)))
			// Neither does a failure hide it.
			p.Interrupted()
			if got, err := taken(s); got != last || err != nil {
				t.Errorf("got %q, %v", got, err)
			}
			p.close(s)
		})
	}
}

func TestReturnFailsTheCall(t *testing.T) {
	p := NewPending(1)
	s := openSlot(t, p)
	p.Return(s.idView())
	if _, err := taken(s); !errors.Is(err, ErrNoService) {
		t.Errorf("err = %v", err)
	}
	p.close(s)
}

func TestSlotsRunOut(t *testing.T) {
	p := NewPending(3)
	var open []*slot
	for range 3 {
		open = append(open, openSlot(t, p))
	}
	if s := p.open(newTestService()); s != nil {
		t.Fatal("a fourth slot of three")
	}
	p.close(open[1])
	s := p.open(newTestService())
	if s == nil || p.open(newTestService()) != nil {
		t.Fatal("a freed slot is not available exactly once")
	}
	p.close(s)
	p.close(open[0])
	p.close(open[2])
	for n, want := range map[int]int{0: MaxSlots, -1: MaxSlots, 1: 1, MaxSlots + 1: MaxSlots} {
		if got := len(NewPending(n).slots); got != want {
			t.Errorf("NewPending(%d) has %d slots", n, got)
		}
	}
}

// TestSlotsAreNeverShared lets many goroutines fight for few slots.
func TestSlotsAreNeverShared(t *testing.T) {
	p := NewPending(5)
	var users [5]sync.Mutex
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			svc := newTestService()
			for range 2000 {
				s := p.open(svc)
				if s == nil {
					continue
				}
				if !users[s.index].TryLock() {
					t.Error("two calls have one slot")
					return
				}
				p.Deliver(s.idView(), buffer("x"))
				if got, err := taken(s); got != "x" || err != nil {
					t.Errorf("got %q, %v", got, err)
				}
				users[s.index].Unlock()
				p.close(s)
			}
		})
	}
	wg.Wait()
	if n := p.Waiting(); n != 0 {
		t.Errorf("%d slots in use", n)
	}
}

func TestEndsSurvivesAnything(t *testing.T) {
	for _, kind := range append(codec.Kinds(), 0, 255) {
		_ = ends(kind, []byte(`{"error":`))
		_ = ends(kind, nil)
	}
}
