package codec

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/bytedance/sonic"
)

// recordJSON reads and writes the documents that this process itself
// understands. Everything is spelled out because sonic's defaults match keys
// whatever their case, let decoded strings point into the input, and accept raw
// control characters.
var recordJSON = sonic.Config{
	CaseSensitive:    true,
	CopyString:       true,
	ValidateString:   true,
	UseUnicodeErrors: true, // half a surrogate pair is no text: two passwords must not become one
	NoNullSliceOrMap: true,
	EscapeHTML:       false,
}.Froze()

var (
	errNotUTF8   = errors.New("invalid UTF-8")
	errNotObject = errors.New("expected a JSON object")
)

// RecordError says that a member of a typed record has the wrong JSON type. The
// document around it is well-formed.
type RecordError struct {
	// Member is the path of the member, e.g. `user.roles`.
	Member string
	// Want says what it must be, e.g. `a string`.
	Want string
}

// Error names the member and never shows its value.
func (e *RecordError) Error() string { return fmt.Sprintf("%q must be %s", e.Member, e.Want) }

// ServiceError is the `error` member of a reply on the bus.
type ServiceError struct {
	Type    string `json:"type"`
	Message string `json:"message"`
}

// Error returns `type: message`.
func (e *ServiceError) Error() string { return e.Type + ": " + e.Message }

// PretouchRecords compiles the record types for sonic, which takes some tens of
// milliseconds and would otherwise be paid by the first message of each type.
// Calling it is optional; it works once per process and may run concurrently
// with the parsers.
func PretouchRecords() { pretouchRecords() }

var pretouchRecords = sync.OnceFunc(func() {
	// A type that fails to compile is compiled again, and its error reported,
	// where it is used.
	_ = sonic.PretouchMany([]reflect.Type{
		reflect.TypeFor[flowMembers](), reflect.TypeFor[interfaceMembers](),
		reflect.TypeFor[configReplyMembers](), reflect.TypeFor[configPushMembers](),
		reflect.TypeFor[iamRequestMembers](), reflect.TypeFor[iamUserMembers](),
		reflect.TypeFor[iamRequestWire](), reflect.TypeFor[IAMReply](),
	})
})

// decodeRecord reads one JSON object into v. Text is borrowed by raw members of
// v, so it must be a string: those cannot change.
func decodeRecord(text string, v any) error {
	if !utf8.ValidString(text) {
		return errNotUTF8 // sonic would put U+FFFD in its place
	}
	if firstByte(text) != '{' {
		return errNotObject
	}
	if err := recordJSON.UnmarshalFromString(text, v); err != nil {
		return shortError(err)
	}
	return nil
}

// shortError drops what sonic adds to its errors for people at a terminal: a
// picture of the surrounding input, which may hold secrets.
func shortError(err error) error {
	var pos interface{ Description() string }
	text := err.Error()
	if errors.As(err, &pos) {
		text = pos.Description()
	}
	line, _, _ := strings.Cut(text, "\n")
	return errors.New(strings.Trim(line, `" `))
}

// firstByte is the first byte of a JSON text that is not white space, or 0.
func firstByte(raw string) byte {
	for i := range len(raw) {
		switch raw[i] {
		case ' ', '\t', '\n', '\r':
		default:
			return raw[i]
		}
	}
	return 0
}

// rawText reads a raw member that should be a string. Absent and null give "".
func rawText(raw sonic.NoCopyRawMessage) (text string, ok bool) {
	switch {
	case isNull(raw), string(raw) == `""`:
		return "", true
	case raw[0] != '"':
		return "", false
	}
	return text, recordJSON.Unmarshal(raw, &text) == nil
}

// isNull reports whether a raw member is absent or null.
func isNull(raw sonic.NoCopyRawMessage) bool { return len(raw) == 0 || string(raw) == "null" }
