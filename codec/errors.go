package codec

import (
	"fmt"
	"strconv"
)

// SyntaxError says that a text is not JSON, or is JSON beyond the limits of
// this package (see the package comment).
type SyntaxError struct {
	Offset int    // in bytes, from 0: where reading stopped
	Reason string // what is wrong there; a constant, never the client's data
}

// Error returns for example `invalid JSON at byte 17: expected a value`.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("invalid JSON at byte %d: %s", e.Offset, e.Reason)
}

// Error says that a text is JSON but cannot be translated. It names members and
// never shows their values.
type Error struct {
	Member   string // path of the member, as `keys[2].type`; empty for the text as a whole
	Reason   string // what is wrong with it; empty when it is missing
	Response bool   // the text came from a service, not from a client
	cause    *SyntaxError
}

// Unwrap returns the *SyntaxError of an answer that is not JSON.
func (e *Error) Unwrap() error {
	if e.cause == nil {
		return nil
	}
	return e.cause
}

// Error returns for example `missing required member "query"` or
// `"limit" must be an integer`.
func (e *Error) Error() string {
	text := e.Reason
	switch {
	case e.Reason == "":
		text = "missing required member " + strconv.Quote(e.Member)
	case e.Member != "":
		text = strconv.Quote(e.Member) + " " + e.Reason
	}
	if e.Response {
		return "malformed answer of the service: " + text
	}
	return text
}

// wrong is an Error about the value at hand; callers further out add the path.
func wrong(reason string) *Error { return &Error{Reason: reason} }

// in puts the name of the enclosing member in front of the path.
func (e *Error) in(name string) *Error {
	switch {
	case e.Member == "":
		e.Member = name
	case e.Member[0] == '[':
		e.Member = name + e.Member
	default:
		e.Member = name + "." + e.Member
	}
	return e
}

// at puts the index of the enclosing list's element in front of the path.
func (e *Error) at(index int) *Error {
	return e.in("[" + strconv.Itoa(index) + "]")
}

const (
	wantObject  = "must be an object"
	wantList    = "must be a list"
	wantString  = "must be a string"
	wantInteger = "must be an integer"
)
