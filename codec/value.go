package codec

import (
	"strconv"
	"unicode/utf8"
)

// Value is a view of one JSON value inside a valid text, or of none when a
// member is absent. It is good for as long as that text stays as it is.
type Value struct {
	// Raw is the value's own text without white space around it; nil when absent.
	Raw []byte
}

// ParseValue validates a whole text under the limits of this package and returns
// its value. The error is a *SyntaxError.
func ParseValue(text []byte) (Value, error) {
	start, end, f := scanText(text)
	if f != sound {
		return Value{}, syntaxError(start, f)
	}
	return Value{text[start:end:end]}, nil
}

// Present reports whether there is a value. Null is one.
func (v Value) Present() bool { return v.Raw != nil }

// IsNull reports whether the value is there and null.
func (v Value) IsNull() bool { return v.Raw != nil && v.Raw[0] == 'n' }

// IsObject reports whether the value is an object.
func (v Value) IsObject() bool { return v.Raw != nil && v.Raw[0] == '{' }

// Truthy reports whether the value is there and not null, false, zero, "", [] or {}.
func (v Value) Truthy() bool { return v.Raw != nil && truthy(v.Raw) }

// String returns the text of a string value, and false for any other value and
// for none. It is a view unless the string holds escapes. Halves of surrogate
// pairs come out as U+FFFD.
func (v Value) String() (text []byte, ok bool) {
	if v.Raw == nil || v.Raw[0] != '"' {
		return nil, false
	}
	if inner := v.Raw[1 : len(v.Raw)-1]; !hasEscape(inner) {
		return inner, true
	}
	text, _ = appendUnquoted(make([]byte, 0, len(v.Raw)), v.Raw)
	return text, true
}

// Get returns the member of an object value with that exact name, the last one
// of several. Other values have no members. It does not allocate.
func (v Value) Get(name string) Value {
	if !v.IsObject() {
		return Value{}
	}
	var found Value
	b := v.Raw
	for i := skipSpace(b, 1); b[i] != '}'; i = nextElement(b, i) {
		end := endOfString(b, i+1)
		match := isText(b[i:end], name)
		value := skipSpace(b, skipSpace(b, end)+1)
		i = endOfValue(b, value)
		if match {
			found = Value{b[value:i:i]}
		}
	}
	return found
}

// truthy is the contract's notion of truth for a raw value.
func truthy(raw []byte) bool {
	switch raw[0] {
	case 'n', 'f':
		return false
	case 't':
		return true
	case '"':
		return len(raw) > 2
	case '[', '{':
		return !isEmpty(raw)
	}
	return !isZero(raw)
}

// isEmpty reports whether the array or object that raw starts with has no elements.
func isEmpty(raw []byte) bool {
	c := raw[skipSpace(raw, 1)]
	return c == ']' || c == '}'
}

// isZero reports whether a raw number is zero, as an integer or as a double.
func isZero(raw []byte) bool {
	digits, exponent := false, false
	for _, c := range raw {
		if c|0x20 == 'e' {
			exponent = true
			break
		}
		digits = digits || c >= '1' && c <= '9'
	}
	if !digits || !exponent && len(raw) < 300 || isInteger(raw) {
		return !digits
	}
	f, _ := strconv.ParseFloat(string(raw), 64)
	return f == 0
}

// isInteger reports whether a raw value is a number without fraction and exponent.
func isInteger(raw []byte) bool {
	i := 0
	if raw[0] == '-' {
		i++
	}
	return skipDigits(raw, i) == len(raw)
}

// isNone reports whether a raw value is null.
func isNone(raw []byte) bool { return raw[0] == 'n' }

// isText reports whether a raw value is a string with that text.
func isText(raw []byte, text string) bool {
	if len(raw) < 2 || raw[0] != '"' {
		return false
	}
	inner := raw[1 : len(raw)-1]
	if !hasEscape(inner) {
		return string(inner) == text
	}
	for len(inner) > 0 {
		r, n := nextRune(inner)
		inner = inner[n:]
		want, size := utf8.DecodeRuneInString(text)
		if size == 0 || r != want {
			return false
		}
		text = text[size:]
	}
	return text == ""
}
