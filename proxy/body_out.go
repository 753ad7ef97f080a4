package proxy

import (
	"errors"
	"io"
)

// pieces is where a streamed body comes from.
type pieces interface {
	// next waits for a piece, which stays as it is until done. The error is io.EOF
	// behind a whole body; after any other the body must not look whole. It gives
	// up when gone gets a token.
	next(gone <-chan struct{}) ([]byte, error)
	// done says that the piece is written, and stop that nobody wants any more.
	done()
	stop()
}

// bodyOut is the body of a response that is written while it comes into being.
// A body that failed midway ends without the final chunk, since WriteTo returns
// the error (pitfalls F31). The connection's goroutine owns it.
type bodyOut struct {
	from pieces
	// gone gets a token when the client has left.
	gone        <-chan struct{}
	first, rest []byte
	whole       bool
	// onClose is told whether the body was written whole.
	onClose func(whole bool)
}

// wait returns once the first piece is there, or says how the body ended without
// one.
func (b *bodyOut) wait() (err error) {
	b.first, err = b.from.next(b.gone)
	return err
}

func (b *bodyOut) next() ([]byte, error) {
	if piece := b.first; piece != nil {
		b.first = nil
		return piece, nil
	}
	piece, err := b.from.next(b.gone)
	b.whole = errors.Is(err, io.EOF)
	return piece, err
}

// WriteTo implements fasthttp.BodyWriterTo: every piece is a chunk, sent at once.
func (b *bodyOut) WriteTo(w io.Writer) (sent int64, err error) {
	for {
		piece, err := b.next()
		if b.whole {
			return sent, nil
		}
		if err != nil {
			return sent, err
		}
		n, err := w.Write(piece)
		sent += int64(n)
		if err != nil {
			return sent, err
		}
		b.from.done()
	}
}

// SupportsBodyWriteTo implements fasthttp.BodyWriterTo.
func (b *bodyOut) SupportsBodyWriteTo() bool { return true }

// Read implements io.Reader, which the server asks for and does not use.
func (b *bodyOut) Read(p []byte) (int, error) {
	if len(b.rest) == 0 {
		piece, err := b.next()
		if err != nil {
			return 0, err
		}
		b.rest = piece
	}
	n := copy(p, b.rest)
	if b.rest = b.rest[n:]; len(b.rest) == 0 {
		b.from.done()
	}
	return n, nil
}

// Close implements io.Closer. The server calls it when the response has been
// written, or could not be.
func (b *bodyOut) Close() error {
	b.from.stop()
	if b.onClose != nil {
		b.onClose(b.whole)
		b.onClose = nil
	}
	return nil
}
