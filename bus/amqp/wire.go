package amqp

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// largePiece is the size from which a write is part of a body that does not
	// fit the buffer, and waits for the socket instead of growing it.
	largePiece = 64 << 10
	// keepBytes is the largest buffer that is kept between writes, keepBusyBytes the
	// largest under load.
	keepBytes     = 1 << 20
	keepBusyBytes = 8 << 20
	// closeGrace bounds the last flush when nobody set a deadline for it.
	closeGrace = time.Second
)

// wire is the socket as the library sees it. Write only appends to a buffer; one
// goroutine writes what has gathered, so that everything published during a system
// call goes out with the next one and an idle connection writes at once. Reads and
// their deadlines (heartbeats) go straight to the socket.
type wire struct {
	net.Conn
	limit   int
	timeout time.Duration
	// blocked is set while the broker refuses to read: then a socket that takes
	// nothing is what it announced, not a fault.
	blocked atomic.Bool

	mu       sync.Mutex
	more     sync.Cond // pending grew, or closing
	less     sync.Cond // pending shrank, or err
	pending  []byte
	spare    []byte
	reserved int // bytes that publishers were promised and have not written yet
	err      error
	closing  bool
	closeBy  time.Time

	done chan struct{} // the flusher has ended
}

func newWire(conn net.Conn, limit int, timeout time.Duration) *wire {
	w := &wire{Conn: conn, limit: limit, timeout: timeout, done: make(chan struct{})}
	w.more.L, w.less.L = &w.mu, &w.mu
	go w.flush()
	return w
}

// reserve asks for room for a message of n bytes. A message of any size gets it
// when little else is waiting: it passes through piece by piece. What is promised
// must be given back with release after the message was written.
func (w *wire) reserve(n int) bool {
	n = w.cost(n)
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.pending)+w.reserved+n > w.limit {
		return false
	}
	w.reserved += n
	return true
}

func (w *wire) release(n int) {
	w.mu.Lock()
	w.reserved -= w.cost(n)
	w.mu.Unlock()
}

// cost is what a message of n bytes occupies: never more than the half that Write
// lets large bodies fill, so that small messages find room beside them.
func (w *wire) cost(n int) int { return min(n, w.limit/2) }

// Write appends p to what the flusher sends next. It waits only with pieces of
// large bodies, and no longer than the flusher takes to give up on the socket.
func (w *wire) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.err == nil && len(p) >= largePiece && len(w.pending) > w.limit/2-len(p) {
		w.less.Wait()
	}
	if w.err != nil {
		return 0, w.err
	}
	if w.closing {
		return 0, net.ErrClosed
	}
	w.pending = append(w.pending, p...)
	w.more.Signal()
	return len(p), nil
}

func (w *wire) flush() {
	defer close(w.done)
	for {
		batch := w.take()
		if batch == nil {
			return
		}
		if err := w.send(batch); err != nil {
			w.fail(err)
			return
		}
		w.giveBack(batch)
	}
}

// take waits for bytes and returns all there are; nil when closing and empty.
func (w *wire) take() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.pending) == 0 && !w.closing {
		w.more.Wait()
	}
	if len(w.pending) == 0 {
		return nil
	}
	batch := w.pending
	w.pending, w.spare = w.spare[:0], nil
	w.less.Broadcast()
	return batch
}

// giveBack keeps a buffer for what comes next: a large one while there is much to
// do, or work in bulk would make one anew for each write.
func (w *wire) giveBack(batch []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	keep := keepBytes
	if len(w.pending) > keepBytes/4 {
		keep = keepBusyBytes
	} else if cap(w.pending) > keepBytes && len(w.pending) == 0 {
		w.pending = nil
	}
	if cap(batch) > keep {
		batch = nil
	}
	w.spare = batch
}

func (w *wire) send(batch []byte) error {
	for len(batch) > 0 {
		if err := w.arm(); err != nil {
			return err
		}
		n, err := w.Conn.Write(batch)
		batch = batch[n:]
		socketWrites.Inc()
		socketBytes.Add(float64(n))
		if err != nil && !w.mayGoOn(n, err) {
			return err
		}
	}
	return nil
}

// arm sets the deadline of the next write. Under mu, so that it cannot undo the
// shorter one that Close sets.
func (w *wire) arm() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	by := time.Now().Add(w.timeout)
	if w.closing && w.closeBy.Before(by) {
		by = w.closeBy
	}
	return w.Conn.SetWriteDeadline(by)
}

// mayGoOn tells whether a failed write was only slow.
func (w *wire) mayGoOn(n int, err error) bool {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.closing && (n > 0 || w.blocked.Load())
}

// fail makes the library's reader notice as well.
func (w *wire) fail(err error) {
	w.mu.Lock()
	w.err = err
	w.pending = nil
	w.less.Broadcast()
	w.mu.Unlock()
	_ = w.Conn.Close()
}

// SetDeadline is what the library calls to bound a handshake, a close, or nothing
// any more. Writes have a deadline of their own; only the last flush obeys this one.
func (w *wire) SetDeadline(t time.Time) error {
	_ = w.SetWriteDeadline(t)
	return w.SetReadDeadline(t)
}

// SetWriteDeadline bounds the flush that Close does.
func (w *wire) SetWriteDeadline(t time.Time) error {
	w.mu.Lock()
	w.closeBy = t
	w.mu.Unlock()
	return nil
}

// Close writes what is buffered, within the deadline set or a second, and closes
// the socket.
func (w *wire) Close() error {
	w.mu.Lock()
	if !w.closing {
		w.closing = true
		if limit := time.Now().Add(closeGrace); w.closeBy.IsZero() || w.closeBy.After(limit) {
			w.closeBy = limit
		}
		_ = w.Conn.SetWriteDeadline(w.closeBy) // for a write that is under way
		w.more.Signal()
		w.less.Broadcast()
	}
	w.mu.Unlock()
	<-w.done
	return w.Conn.Close()
}

// abort drops the connection as if the network had.
func (w *wire) abort() { _ = w.Conn.Close() }
