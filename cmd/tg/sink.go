package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// sink is standard output or standard error; it remembers that a write failed.
type sink struct {
	to     io.Writer
	screen bool // somebody looks at it
	err    error
}

// standardError is standard error whose reader may leave: writing to Go's own would
// then end the process, before a secret has gone to standard output. It does so for
// the descriptors 1 and 2 only.
func standardError() *os.File {
	fd, err := unix.Dup(2)
	if err != nil {
		return os.Stderr
	}
	return os.NewFile(uintptr(fd), os.Stderr.Name())
}

func newSink(f *os.File) *sink { return &sink{to: f, screen: term.IsTerminal(int(f.Fd()))} }

func (s *sink) Write(p []byte) (int, error) {
	_, err := io.WriteString(s.to, s.shown(string(p)))
	if err == nil {
		return len(p), nil
	}
	if s.err == nil {
		s.err = err
	}
	return 0, err
}

// shown is text as it goes to s: a terminal obeys control characters, and what a
// server says must not command it. Scripts get every byte as it is.
func (s *sink) shown(text string) string {
	if s.screen {
		return visible(text)
	}
	return text
}

// visible writes control characters as escapes, but for line ends and tabs, which
// change nothing that was printed before.
func visible(text string) string {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	var b strings.Builder
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		switch {
		case r == utf8.RuneError && size == 1: // 0x9b alone commands some terminals too
			fmt.Fprintf(&b, `\x%02x`, text[0])
		case r < 0x20 && r != '\n' && r != '\t':
			fmt.Fprintf(&b, `\x%02x`, r)
		case r >= 0x7f && r <= 0x9f:
			// These may stand in JSON, and are the same there when escaped so.
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteString(text[:size])
		}
		text = text[size:]
	}
	return b.String()
}
