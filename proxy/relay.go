package proxy

import (
	"errors"
	"io"
	"sync"

	"sluice/proxy/dispatch"
)

// relay hands pieces from the goroutine that produces them to the connection's,
// one at a time and without copying: a slow reader holds the producer back.
type relay struct {
	pieces  chan []byte
	written chan struct{}

	stopping sync.Once
	stopped  chan struct{} // closed when nobody reads any more
	ending   sync.Once
	ended    chan struct{} // closed when the producer is done
	err      error         // how; nil for a whole body. Set before ended is closed.
}

var errStopped = errors.New("the reader of the stream has left")

func newRelay() *relay {
	return &relay{
		pieces: make(chan []byte), written: make(chan struct{}),
		stopped: make(chan struct{}), ended: make(chan struct{}),
	}
}

// put gives one piece to the reader and waits until it is written, so that the
// caller may use the memory again. It is for the producer.
func (r *relay) put(piece []byte) error {
	if len(piece) == 0 {
		return nil
	}
	select {
	case r.pieces <- piece:
	case <-r.stopped:
		return errStopped
	}
	select {
	case <-r.written:
		return nil
	case <-r.stopped:
		return errStopped
	}
}

// end says that no more pieces come, and why. Only the first call counts.
func (r *relay) end(err error) {
	r.ending.Do(func() {
		r.err = err
		close(r.ended)
	})
}

func (r *relay) next(gone <-chan struct{}) ([]byte, error) {
	select {
	case piece := <-r.pieces:
		return piece, nil
	case <-gone:
		return nil, dispatch.ErrGone
	case <-r.ended:
	}
	if r.err != nil {
		return nil, r.err
	}
	return nil, io.EOF
}

func (r *relay) done() {
	select {
	case r.written <- struct{}{}:
	case <-r.stopped:
	}
}

func (r *relay) stop() { r.stopping.Do(func() { close(r.stopped) }) }
