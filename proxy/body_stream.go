package proxy

import (
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/valyala/fasthttp"
)

// stream is read for a body that may be longer than anybody would hold: it returns
// its bytes, decompressed, as they arrive, and what must be called in the end. The
// bytes are counted, and the client is held to the pace of any other body, but
// nothing limits their sum. What the caller keeps of them it must take from the
// budget itself, with hold.
//
// The rules are the caller's own and are changed.
func (b *body) stream(ctx *fasthttp.RequestCtx, rules *bodyRules) (src io.Reader, done func(), err error) {
	h := &ctx.Request.Header
	coding, err := codingOf(h.ContentEncoding())
	if err != nil {
		return nil, nil, err
	}
	rules.max = math.MaxInt64
	b.wire.open(ctx, rules, int64(h.ContentLength()))
	if coding == identity {
		return &b.wire, func() {}, nil
	}
	f := inflaters.Get().(*inflater) //nolint:forcetypeassert // the pool's own
	return &inflating{coding: coding, inflater: f, wire: &b.wire}, f.giveBack, nil
}

// hold takes n more bytes from the budget, until release.
func (b *body) hold(n int, rules *bodyRules) error {
	if !rules.budget.take(int64(n)) {
		return errBudget
	}
	b.taken += int64(n)
	return nil
}

// excuse gives the client the time back that we have kept it waiting.
func (w *wire) excuse(d time.Duration) {
	w.start = w.start.Add(d)
	w.setDeadline()
}

// inflating is a compressed body, decompressed as it is read.
type inflating struct {
	coding   coding
	inflater *inflater
	wire     *wire
	src      io.Reader // nil until first used: opening reads
}

// Read fails with one of this package's errors, or io.EOF at the true end.
func (f *inflating) Read(p []byte) (n int, err error) {
	if f.src == nil {
		f.src, err = f.inflater.open(f.coding, f.wire)
	}
	if err == nil {
		n, err = f.src.Read(p)
		if err == nil {
			return n, nil
		}
		if err == io.EOF { //nolint:errorlint // the contract of io.Reader; a broken chunk may wrap one
			if err = atEnd(f.inflater.in); err == nil {
				return n, io.EOF
			}
		}
	}
	switch {
	case ours(err):
		return n, err
	case errors.Is(err, io.EOF) && f.wire.got == 0: // an empty body, labelled all the same
		return n, io.EOF
	}
	return n, fmt.Errorf("%w: %w", errUndecodable, err)
}
