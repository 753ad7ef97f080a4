package core

import "errors"

var (
	// ErrTruncated: the stream ended inside a value.
	ErrTruncated = errors.New("the core ends inside a value")
	// ErrTooLarge: a value is longer than the Reader takes.
	ErrTooLarge = errors.New("a value of the core is too large")
)

// FormatError says what is wrong with a value. It names members and never shows
// what they hold.
type FormatError struct{ Reason string }

// Error returns for example `malformed core: no triples in a "t" value`.
func (e *FormatError) Error() string { return "malformed core: " + e.Reason }

func malformed(reason string) error { return &FormatError{reason} }

var (
	errNoMessagePack = malformed("not MessagePack")
	errText          = malformed("text that is not UTF-8")
	errTermMember    = malformed("a term holds something that is neither text nor a term")
	errNumber        = malformed("a vector holds something that is no finite number")
	errNesting       = malformed("terms nested too deeply")
)
