package proxy

import (
	"errors"
	"io"
	"sync"

	"sluice/proxy/dispatch"
)

// relay hands the pieces of a response's body from the goroutine that produces
// them to the connection's, one at a time and without copying: a slow reader holds
// the producer back. A body that failed midway ends without the final chunk,
// since WriteTo returns the error (pitfalls F31).
type relay struct {
	pieces  chan []byte
	written chan struct{}

	stopping sync.Once
	stopped  chan struct{} // closed when nobody reads any more
	ending   sync.Once
	ended    chan struct{} // closed when the producer is done
	err      error         // how; nil for a whole body. Set before ended is closed.

	// Owned by the connection's goroutine.

	first, rest []byte
	gone        <-chan struct{}
	// onClose is told whether the body was written whole.
	onClose func(whole bool)
	whole   bool
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

// stop tells the producer that nobody reads any more.
func (r *relay) stop() { r.stopping.Do(func() { close(r.stopped) }) }

// next waits for a piece; io.EOF is the end of a whole body.
func (r *relay) next() ([]byte, error) {
	select {
	case piece := <-r.pieces:
		return piece, nil
	case <-r.gone:
		return nil, dispatch.ErrGone
	case <-r.ended:
	}
	if r.err != nil {
		return nil, r.err
	}
	return nil, io.EOF
}

// wait returns once the first piece is there, or says how the body ended without
// one.
func (r *relay) wait() (err error) {
	r.first, err = r.next()
	return err
}

// done tells the producer that its piece is written.
func (r *relay) done() {
	select {
	case r.written <- struct{}{}:
	case <-r.stopped:
	}
}

// WriteTo implements fasthttp.BodyWriterTo: every piece is a chunk, sent at once.
func (r *relay) WriteTo(w io.Writer) (int64, error) {
	var sent int64
	for {
		piece := r.first
		r.first = nil
		if piece == nil {
			var err error
			if piece, err = r.next(); errors.Is(err, io.EOF) {
				r.whole = true
				return sent, nil
			} else if err != nil {
				return sent, err
			}
		}
		n, err := w.Write(piece)
		sent += int64(n)
		if err != nil {
			return sent, err
		}
		r.done()
	}
}

// SupportsBodyWriteTo implements fasthttp.BodyWriterTo.
func (r *relay) SupportsBodyWriteTo() bool { return true }

// Read implements io.Reader, which the server asks for and does not use.
func (r *relay) Read(p []byte) (int, error) {
	if r.first != nil {
		r.rest, r.first = r.first, nil
	}
	for len(r.rest) == 0 {
		piece, err := r.next()
		if err != nil {
			r.whole = errors.Is(err, io.EOF)
			return 0, err
		}
		r.rest = piece
	}
	n := copy(p, r.rest)
	if r.rest = r.rest[n:]; len(r.rest) == 0 {
		r.done()
	}
	return n, nil
}

// Close implements io.Closer. The server calls it when the response has been
// written, or could not be.
func (r *relay) Close() error {
	r.stop()
	if r.onClose != nil {
		r.onClose(r.whole)
		r.onClose = nil
	}
	return nil
}
