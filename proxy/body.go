package proxy

import (
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/valyala/fasthttp"

	"sluice/pool"
)

const (
	// bodyStart is how much room a body gets before anything has arrived.
	bodyStart = 4 << 10
	// deadlineStep is after how many bytes the read deadline moves on.
	deadlineStep = 128 << 10
	// drainBytes is how much of an unread body an early answer takes in to keep
	// the connection; with more left, the connection is closed.
	drainBytes = 64 << 10
)

// Errors of reading a body; status.go knows what they mean to the client.
var (
	errBudget      = errors.New("too many request bodies at once, try again later")
	errTruncated   = errors.New("request body ended early")
	errBodyTimeout = errors.New("request body took too long")
	errFraming     = errors.New("malformed request body framing")
	errEncoding    = errors.New("unsupported content encoding")
	errCharset     = errors.New("unsupported charset")
	errUndecodable = errors.New("request body does not decode")
)

// tooLargeError is a body above the limit. Actual is its declared length, or what
// had arrived when reading stopped.
type tooLargeError struct{ limit, actual int64 }

func (e *tooLargeError) Error() string {
	return fmt.Sprintf("Maximum request body size %d exceeded, actual body size %d", e.limit, e.actual)
}

// bodyRules are the bounds of every body. Set once.
type bodyRules struct {
	max    int64
	budget *budget
	// timeout plus the arrived bytes at rate bytes a second is how long a body
	// may take.
	timeout time.Duration
	rate    int64
}

// body is one request body, read whole: decompressed, in UTF-8, counted against
// limit and budget as it arrives. The zero body is ready; release must follow.
type body struct {
	buf   *pool.Buffer
	taken int64 // of the budget
	wire  wire
	whole bool // nothing of it is left on the connection
}

// bytes is the body. It is valid until release.
func (b *body) bytes() []byte {
	if b.buf == nil {
		return nil
	}
	return b.buf.B
}

func (b *body) release(rules *bodyRules) {
	b.buf.Release()
	b.buf = nil
	rules.budget.give(b.taken)
	b.taken, b.wire, b.whole = 0, wire{}, false
}

// read takes in the body of ctx's request, once.
func (b *body) read(ctx *fasthttp.RequestCtx, rules *bodyRules) error {
	h := &ctx.Request.Header
	charset, err := charsetOf(h.ContentType())
	if err != nil {
		return err
	}
	coding, err := codingOf(h.ContentEncoding())
	if err != nil {
		return err
	}
	declared := int64(h.ContentLength())
	if declared > rules.max {
		return &tooLargeError{rules.max, declared}
	}
	b.buf = pool.Acquire(bodyStart)
	b.wire.open(ctx, rules, declared)
	if coding == identity {
		err = b.fill(&b.wire, rules, declared)
	} else {
		err = b.inflate(coding, &b.wire, rules)
	}
	b.whole = err == nil
	if err == nil && charset != utf8Text {
		err = b.transcode(charset, rules)
	}
	return err
}

// wire reads the raw bytes of a body and knows how its end looks.
type wire struct {
	src      io.Reader
	conn     *conn
	declared int64 // -1 when chunked
	got      int64
	moved    int64 // got when the deadline was last moved
	start    time.Time
	rules    *bodyRules
}

func (w *wire) open(ctx *fasthttp.RequestCtx, rules *bodyRules, declared int64) {
	c, _ := ctx.Conn().(*conn)
	*w = wire{src: ctx.RequestBodyStream(), conn: c, declared: max(declared, -1), rules: rules, start: ctx.Time()}
	if declared < -1 { // neither length nor chunks: no body
		w.declared = 0
	}
}

// Read fails with one of this file's errors, or io.EOF at the true end.
func (w *wire) Read(p []byte) (int, error) {
	if w.src == nil {
		return 0, io.EOF
	}
	n, err := w.src.Read(p)
	w.got += int64(n)
	if w.got > w.rules.max {
		return n, &tooLargeError{w.rules.max, w.got}
	}
	if err == nil {
		w.moveDeadline()
		return n, nil
	}
	return n, w.explain(err)
}

// explain makes one of this file's errors of err, or the true io.EOF.
func (w *wire) explain(err error) error {
	end := err == io.EOF //nolint:errorlint // the contract of io.Reader; a broken chunk may wrap one
	switch {
	case end && w.declared < 0 && (w.conn == nil || !w.conn.ended):
		return io.EOF
	case end && w.declared >= 0 && w.got >= w.declared:
		return io.EOF
	case end || errors.Is(err, io.ErrUnexpectedEOF):
		return errTruncated
	}
	return explainBroken(err)
}

func explainBroken(err error) error {
	var timeout net.Error
	var chunk fasthttp.ErrBrokenChunk
	switch {
	case errors.As(err, &timeout) && timeout.Timeout():
		return errBodyTimeout
	case errors.As(err, &chunk):
		return errFraming
	}
	return fmt.Errorf("%w: %w", errTruncated, err)
}

// moveDeadline grants the time that the bytes so far have earned, so that large
// bodies may take long and slow ones may not.
func (w *wire) moveDeadline() {
	if w.conn == nil || w.got-w.moved < deadlineStep {
		return
	}
	w.moved = w.got
	w.setDeadline()
}

func (w *wire) setDeadline() {
	if w.conn == nil {
		return
	}
	earned := time.Duration(w.got) * time.Second / time.Duration(w.rules.rate)
	_ = w.conn.SetReadDeadline(w.start.Add(w.rules.timeout + earned))
}

// fill appends all of src to the buffer. declared, when positive, only keeps the
// last step from growing past the end.
func (b *body) fill(src io.Reader, rules *bodyRules, declared int64) error {
	for {
		if len(b.buf.B) == cap(b.buf.B) {
			b.grow(declared)
		}
		n, err := src.Read(b.buf.B[len(b.buf.B):cap(b.buf.B)])
		if cerr := b.count(n, rules); cerr != nil {
			return cerr
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// count accounts for n more bytes of the buffer.
func (b *body) count(n int, rules *bodyRules) error {
	if size := int64(len(b.buf.B) + n); size > rules.max {
		return &tooLargeError{rules.max, size}
	}
	if n > 0 && !rules.budget.take(int64(n)) {
		return errBudget
	}
	b.taken += int64(n)
	b.buf.B = b.buf.B[:len(b.buf.B)+n]
	return nil
}

// grow doubles the buffer, which has been filled by bytes that did arrive.
func (b *body) grow(declared int64) {
	size := int64(2 * cap(b.buf.B))
	if declared > int64(cap(b.buf.B)) && declared < size {
		size = declared
	}
	if size <= 1<<20 {
		bigger := pool.Acquire(int(size))
		if int64(cap(bigger.B)) >= size {
			bigger.B = append(bigger.B, b.buf.B...)
			b.buf.Release()
			b.buf = bigger
			return
		}
		bigger.Release()
	}
	bytes := make([]byte, len(b.buf.B), size)
	copy(bytes, b.buf.B)
	b.buf.Release()
	b.buf = pool.Wrap(bytes)
}

// abandon prepares an answer to a request whose body has not been read to its
// end: fasthttp discards what is left when it is little and its end is known,
// and here the connection is closed when it is not.
func abandon(ctx *fasthttp.RequestCtx, got int64) {
	declared := int64(ctx.Request.Header.ContentLength())
	if declared >= 0 && declared-got <= drainBytes || declared < -1 || ctx.RequestBodyStream() == nil {
		return
	}
	closeAfter(ctx)
}

// closeAfter ends the connection once the answer has been sent.
func closeAfter(ctx *fasthttp.RequestCtx) {
	ctx.SetConnectionClose()
	c, _ := ctx.Conn().(*conn)
	c.closeSoftly()
}
