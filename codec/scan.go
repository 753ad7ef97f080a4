package codec

import "strconv"

const (
	// maxNesting is how deep arrays and objects may nest in one text. Services
	// read recursively and give up at about a thousand.
	maxNesting = 256
	// maxIntegerDigits is the longest integer that the services' parser reads.
	maxIntegerDigits = 4300
)

// fault says why scanning stopped. The zero fault is success.
type fault uint8

const (
	sound fault = iota
	faultValue
	faultName
	faultColon
	faultObjectComma
	faultArrayComma
	faultUnterminated
	faultControl
	faultEscape
	faultUTF8
	faultLongInteger
	faultOverflow
	faultNesting
	faultTrailing
)

// reasons are the texts of the faults, for clients.
var reasons = [...]string{
	faultValue:        "expected a value",
	faultName:         "expected a member name in double quotes",
	faultColon:        "expected ':'",
	faultObjectComma:  "expected ',' or '}'",
	faultArrayComma:   "expected ',' or ']'",
	faultUnterminated: "string without end",
	faultControl:      "control character in a string",
	faultEscape:       "invalid escape in a string",
	faultUTF8:         "invalid UTF-8",
	faultLongInteger:  "integer of more than 4300 digits",
	faultOverflow:     "number out of range",
	faultNesting:      "nested deeper than 256",
	faultTrailing:     "text after the value",
}

// syntaxError makes a fault an error. Its caller has seen that f is not sound.
func syntaxError(at int, f fault) *SyntaxError {
	return &SyntaxError{Offset: at, Reason: reasons[f]}
}

// scanText validates a whole text: one value, with white space around it. It
// returns the value's bounds, or a fault and where it is (in start).
func scanText(b []byte) (start, end int, f fault) {
	start = skipSpace(b, 0)
	end, f = scanValue(b, start, 0)
	if f != sound {
		return end, end, f
	}
	if rest := skipSpace(b, end); rest != len(b) {
		return rest, rest, faultTrailing
	}
	return start, end, sound
}

// skipSpace returns the index of the first byte from i on that is not white space.
func skipSpace(b []byte, i int) int {
	for i < len(b) && b[i] <= ' ' && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// scanValue validates the value that starts at b[i] inside depth containers. It
// returns the index after the value, or a fault and where it is.
func scanValue(b []byte, i, depth int) (int, fault) {
	if i >= len(b) {
		return i, faultValue
	}
	switch c := b[i]; {
	case c == '"':
		return scanString(b, i+1)
	case c == '-' || isDigit(c):
		return scanNumber(b, i)
	case c == '{':
		return scanObject(b, i, depth+1)
	case c == '[':
		return scanArray(b, i, depth+1)
	case c == 't':
		return scanWord(b, i, "true")
	case c == 'f':
		return scanWord(b, i, "false")
	case c == 'n':
		return scanWord(b, i, "null")
	}
	return i, faultValue
}

func scanWord(b []byte, i int, word string) (int, fault) {
	if len(b)-i < len(word) || string(b[i:i+len(word)]) != word {
		return i, faultValue
	}
	return i + len(word), sound
}

// scanArray validates an array whose bracket is b[i]; depth includes it.
func scanArray(b []byte, i, depth int) (int, fault) {
	if depth > maxNesting {
		return i, faultNesting
	}
	i = skipSpace(b, i+1)
	if i < len(b) && b[i] == ']' {
		return i + 1, sound
	}
	for {
		var f fault
		if i, f = scanValue(b, i, depth); f != sound {
			return i, f
		}
		if i = skipSpace(b, i); i >= len(b) {
			return i, faultArrayComma
		}
		switch b[i] {
		case ',':
			i = skipSpace(b, i+1)
		case ']':
			return i + 1, sound
		default:
			return i, faultArrayComma
		}
	}
}

// scanObject validates an object whose brace is b[i]; depth includes it.
func scanObject(b []byte, i, depth int) (int, fault) {
	if depth > maxNesting {
		return i, faultNesting
	}
	i = skipSpace(b, i+1)
	if i < len(b) && b[i] == '}' {
		return i + 1, sound
	}
	for {
		_, i2, f := scanName(b, i)
		if f != sound {
			return i2, f
		}
		if i, f = scanValue(b, i2, depth); f != sound {
			return i, f
		}
		end, more, f := scanComma(b, i)
		if f != sound || !more {
			return end, f
		}
		i = end
	}
}

// scanName validates a member's name at b[i] and the colon after it. It returns
// the index after the name and the index where the value should start.
func scanName(b []byte, i int) (end, value int, f fault) {
	if i >= len(b) || b[i] != '"' {
		return i, i, faultName
	}
	if end, f = scanString(b, i+1); f != sound {
		return end, end, f
	}
	i = skipSpace(b, end)
	if i >= len(b) || b[i] != ':' {
		return end, i, faultColon
	}
	return end, skipSpace(b, i+1), sound
}

// scanComma reads what follows a member: more says that another one must start
// at next; otherwise next is the index after the object.
func scanComma(b []byte, i int) (next int, more bool, f fault) {
	if i = skipSpace(b, i); i >= len(b) {
		return i, false, faultObjectComma
	}
	switch b[i] {
	case ',':
		return skipSpace(b, i+1), true, sound
	case '}':
		return i + 1, false, sound
	}
	return i, false, faultObjectComma
}

// scanNumber validates a number that starts at b[i].
func scanNumber(b []byte, i int) (int, fault) {
	start := i
	if b[i] == '-' {
		i++
	}
	first := i
	i = skipDigits(b, i)
	whole := i - first
	if whole == 0 || whole > 1 && b[first] == '0' {
		return start, faultValue
	}
	integer, power := true, 0
	if i < len(b) && b[i] == '.' {
		integer = false
		end := skipDigits(b, i+1)
		if end == i+1 {
			return end, faultValue
		}
		i = end
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		integer = false
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		end := skipDigits(b, i)
		if end == i {
			return end, faultValue
		}
		i, power = end, end-i
	}
	switch {
	case integer && whole > maxIntegerDigits:
		return start, faultLongInteger
	case !integer && (power > 2 || whole > 200) && overflows(b[start:i]):
		// Two digits of exponent cannot lift two hundred digits over 1e308.
		return start, faultOverflow
	}
	return i, sound
}

// overflows reports whether a number that is not an integer is too large for a
// double.
func overflows(number []byte) bool {
	_, err := strconv.ParseFloat(string(number), 64)
	return err != nil
}

func isDigit(c byte) bool { return c-'0' < 10 }
