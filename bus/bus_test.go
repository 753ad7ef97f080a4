package bus

import (
	"sync"
	"testing"
	"time"
)

func TestExpirationMillis(t *testing.T) {
	for _, c := range []struct {
		class Class
		in    time.Duration
		want  int64
	}{
		{Request, 0, 0},
		{Request, -time.Second, 0},
		{Request, 1, 1},
		{Request, time.Millisecond - 1, 1},
		{Request, time.Millisecond, 1},
		{Request, 2*time.Millisecond - 1, 1},
		{Request, 120 * time.Second, 120_000},
		{Response, 1500 * time.Microsecond, 1},
		{Flow, time.Second, 0},
	} {
		m := Message{To: Topic{Class: c.class}, Expiration: c.in}
		if got := m.ExpirationMillis(); got != c.want {
			t.Errorf("%s %v: %d ms, want %d", c.class, c.in, got, c.want)
		}
	}
}

func TestLane(t *testing.T) {
	var l Lane
	if l.Accounted() != 0 || l.Lost() {
		t.Fatal("a new lane accounts for something or is lost")
	}
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 100 {
				l.Account(uint64(i*4 + g))
			}
		})
	}
	wg.Wait()
	l.Account(7)
	if got := l.Accounted(); got != 399 {
		t.Errorf("accounted for %d, want the highest, 399", got)
	}
	l.MarkLost()
	if !l.Lost() {
		t.Error("not lost")
	}
}
