package proxy

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"sync"
)

// coding is a Content-Encoding of a request.
type coding uint8

const (
	identity coding = iota
	gzipped
	deflated // zlib, or raw deflate as some clients send
)

// codingOf reads the header; several codings on top of each other are refused.
func codingOf(header []byte) (coding, error) {
	switch name := bytes.TrimSpace(header); {
	case len(name) == 0 || equalFold(name, "identity"):
		return identity, nil
	case equalFold(name, "gzip") || equalFold(name, "x-gzip"):
		return gzipped, nil
	case equalFold(name, "deflate"):
		return deflated, nil
	}
	return identity, errEncoding
}

// equalFold compares with an ASCII word in lower case.
func equalFold(b []byte, word string) bool {
	if len(b) != len(word) {
		return false
	}
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != word[i] {
			return false
		}
	}
	return true
}

// inflater is what a compressed body passes through.
type inflater struct {
	in   *bufio.Reader
	gzip gzip.Reader
	zlib io.ReadCloser // nil until first used
	raw  io.ReadCloser
}

var inflaters = sync.Pool{New: func() any {
	return &inflater{in: bufio.NewReaderSize(nil, 4<<10), raw: flate.NewReader(nil)}
}}

func (f *inflater) giveBack() {
	f.in.Reset(nil)
	inflaters.Put(f)
}

func (f *inflater) open(c coding, src io.Reader) (io.Reader, error) {
	f.in.Reset(src)
	if c == gzipped {
		return &f.gzip, f.gzip.Reset(f.in)
	}
	head, err := f.in.Peek(2)
	if err != nil {
		return nil, err
	}
	if head[0]&0x0f != 8 || (uint(head[0])<<8|uint(head[1]))%31 != 0 {
		return f.raw, f.raw.(flate.Resetter).Reset(f.in, nil) //nolint:forcetypeassert // flate promises it
	}
	if f.zlib == nil {
		f.zlib, err = zlib.NewReader(f.in)
		return f.zlib, err
	}
	return f.zlib, f.zlib.(zlib.Resetter).Reset(f.in, nil) //nolint:forcetypeassert // zlib promises it
}

// inflate reads a compressed body. What counts against limit and budget is what
// comes out; what goes in is bounded by w, so that neither a bomb nor an endless
// stream of empty blocks gets far.
func (b *body) inflate(c coding, w *wire, rules *bodyRules) error {
	f := inflaters.Get().(*inflater) //nolint:forcetypeassert // the pool's own
	defer f.giveBack()
	src, err := f.open(c, w)
	if err == nil {
		err = b.fill(src, rules, 0)
	}
	if err == nil {
		err = atEnd(f.in)
	}
	if err == nil || ours(err) {
		return err
	}
	if errors.Is(err, io.EOF) && w.got == 0 { // an empty body, labelled all the same
		return nil
	}
	return fmt.Errorf("%w: %w", errUndecodable, err)
}

// atEnd makes sure that nothing follows the compressed data, and that the
// framing of the body was read to its end.
func atEnd(r *bufio.Reader) error {
	_, err := r.ReadByte()
	if err == nil {
		return errUndecodable
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// ours reports whether err is one of this package's errors rather than of the
// decompressor.
func ours(err error) bool {
	var large *tooLargeError
	if errors.As(err, &large) {
		return true
	}
	for _, e := range [...]error{errBudget, errTruncated, errBodyTimeout, errFraming, errUndecodable} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
