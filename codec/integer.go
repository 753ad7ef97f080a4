package codec

import (
	"bytes"
	"math"
	"strconv"
)

// appendInteger writes a value that has to be an integer of any size: integers as
// they are, numbers that equal one exactly, and texts of decimal digits. The
// contract's reference also rounds fractions, and takes booleans, underscores and
// other scripts' digits; those are refused.
func appendInteger(dst, raw []byte) ([]byte, *Error) {
	switch c := raw[0]; {
	case c == '"':
		return appendIntegerText(dst, raw)
	case c != '-' && !isDigit(c):
		return dst, wrong(wantInteger)
	case isInteger(raw):
		return append(dst, raw...), nil
	}
	number, _ := strconv.ParseFloat(string(raw), 64) // the scanner refuses overflows
	if number != math.Trunc(number) {
		return dst, wrong(wantInteger)
	}
	return strconv.AppendFloat(dst, number, 'f', 0, 64), nil
}

// appendIntegerText writes the integer that a raw string spells: white space
// around it, a sign and leading zeros are fine.
func appendIntegerText(dst, raw []byte) ([]byte, *Error) {
	text, _ := Value{raw}.String()
	text = bytes.TrimFunc(text, isPadding)
	negative := false
	if len(text) > 0 && (text[0] == '+' || text[0] == '-') {
		negative, text = text[0] == '-', text[1:]
	}
	if len(text) == 0 || len(text) > maxIntegerDigits || skipDigits(text, 0) != len(text) {
		return dst, wrong(wantInteger)
	}
	for len(text) > 1 && text[0] == '0' {
		text = text[1:]
	}
	if negative && text[0] != '0' {
		dst = append(dst, '-')
	}
	return append(dst, text...), nil
}

// isPadding reports whether the contract strips r from the ends of a number's text.
func isPadding(r rune) bool {
	switch r {
	case ' ', '\t', '\n', '\v', '\f', '\r', 0x85, 0xa0, 0x1680, 0x2028, 0x2029, 0x202f, 0x205f, 0x3000:
		return true
	}
	return r >= 0x2000 && r <= 0x200a
}
