package amqp

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"
)

// socket is the end of a wire that the test holds.
type socket struct {
	net.Conn // nil: only what is below is used

	mu       sync.Mutex
	cond     sync.Cond
	got      bytes.Buffer
	writes   int
	open     bool // takes bytes; else a Write waits for its deadline
	part     int  // if positive, what a Write takes before it times out
	deadline time.Time
	closed   bool
}

func newSocket(open bool) *socket {
	s := &socket{open: open}
	s.cond.L = &s.mu
	return s
}

func (s *socket) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes++
	for !s.open && !s.closed {
		if s.part > 0 {
			n := min(s.part, len(p))
			s.got.Write(p[:n])
			return n, os.ErrDeadlineExceeded
		}
		if !s.deadline.IsZero() && !time.Now().Before(s.deadline) {
			return 0, os.ErrDeadlineExceeded
		}
		s.cond.Wait()
	}
	if s.closed {
		return 0, net.ErrClosed
	}
	return s.got.Write(p)
}

func (s *socket) SetWriteDeadline(t time.Time) error {
	s.mu.Lock()
	s.deadline = t
	s.mu.Unlock()
	time.AfterFunc(time.Until(t), func() { s.set(func() {}) }) // not between a look at the clock and the wait
	return nil
}

func (s *socket) SetReadDeadline(time.Time) error { return nil }

func (s *socket) Close() error {
	s.mu.Lock()
	s.closed = true
	s.cond.Broadcast()
	s.mu.Unlock()
	return nil
}

func (s *socket) set(change func()) {
	s.mu.Lock()
	change()
	s.cond.Broadcast()
	s.mu.Unlock()
}

func (s *socket) look() (got string, writes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.got.String(), s.writes
}

const testLimit = 4 * largePiece

func TestWireCommitsInGroups(t *testing.T) {
	s := newSocket(false)
	w := newWire(s, testLimit, time.Minute)
	write(t, w, "first ")
	until(t, "the first write is under way", func() bool { _, n := s.look(); return n == 1 })
	want := "first "
	for range 100 {
		write(t, w, "more ")
		want += "more "
	}
	s.set(func() { s.open = true })
	until(t, "everything is written", func() bool { got, _ := s.look(); return got == want })
	if _, writes := s.look(); writes != 2 {
		t.Errorf("101 messages took %d writes, not 2", writes)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}

func TestWireFlushesBeforeClose(t *testing.T) {
	s := newSocket(true)
	w := newWire(s, testLimit, time.Minute)
	write(t, w, "last words")
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	if got, _ := s.look(); got != "last words" {
		t.Errorf("the socket got %q", got)
	}
	if _, err := w.Write([]byte("too late")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a write after Close: %v", err)
	}
}

func TestWireGivesUpOnStalledSocket(t *testing.T) {
	s := newSocket(false)
	w := newWire(s, testLimit, 10*time.Millisecond)
	write(t, w, "x")
	until(t, "writes fail", func() bool { _, err := w.Write([]byte("y")); return errors.Is(err, os.ErrDeadlineExceeded) })
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}

func TestWireCloseIsBounded(t *testing.T) {
	s := newSocket(false)
	w := newWire(s, testLimit, time.Hour)
	write(t, w, "x")
	until(t, "a write is under way", func() bool { _, n := s.look(); return n == 1 })
	_ = w.SetDeadline(time.Now().Add(10 * time.Millisecond))
	if err := w.Close(); err != nil { // would hang for an hour
		t.Error(err)
	}
}

func TestWireGoesOnWhenSlow(t *testing.T) {
	s := newSocket(false)
	s.part = 3
	w := newWire(s, testLimit, time.Millisecond)
	write(t, w, "0123456789")
	until(t, "it is written piece by piece", func() bool { got, _ := s.look(); return got == "0123456789" })
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}

func TestWireWaitsWhileBlocked(t *testing.T) {
	s := newSocket(false)
	w := newWire(s, testLimit, time.Millisecond)
	w.blocked.Store(true)
	write(t, w, "patience")
	until(t, "several deadlines have passed", func() bool { _, n := s.look(); return n > 3 })
	s.set(func() { s.open = true })
	until(t, "it is written after all", func() bool { got, _ := s.look(); return got == "patience" })
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}

func TestWireRoom(t *testing.T) {
	s := newSocket(false)
	w := newWire(s, testLimit, time.Minute)
	if !w.reserve(100 * testLimit) {
		t.Fatal("a large body got no room on an idle connection")
	}
	if !w.reserve(testLimit / 2) {
		t.Error("a large body took the room of all others")
	}
	if w.reserve(1) {
		t.Error("there was room beyond the limit")
	}
	w.release(100 * testLimit)
	w.release(testLimit / 2)
	if w.reserved != 0 {
		t.Errorf("%d bytes stay reserved", w.reserved)
	}
	// Small messages are never held up, even where large ones are.
	write(t, w, "first")
	until(t, "a write is under way", func() bool { _, n := s.look(); return n == 1 })
	piece := string(make([]byte, largePiece))
	write(t, w, piece)
	held := make(chan struct{})
	go func() {
		defer close(held)
		for range 10 {
			_, _ = io.WriteString(w, piece)
		}
	}()
	until(t, "large pieces wait", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.pending) >= testLimit/2
	})
	write(t, w, "small")
	s.set(func() { s.open = true })
	<-held
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	if got, _ := s.look(); len(got) != 11*largePiece+len("firstsmall") {
		t.Errorf("the socket got %d bytes", len(got))
	}
}

func write(t *testing.T, w io.Writer, s string) {
	t.Helper()
	if _, err := io.WriteString(w, s); err != nil {
		t.Fatal(err)
	}
}
