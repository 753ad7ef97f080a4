package codec

import "sluice/pool"

const base64Alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

// sextets maps a character of the base64 alphabet to its six bits, others to notSextet.
var sextets = func() (table [256]byte) {
	for i := range table {
		table[i] = notSextet
	}
	for i := range len(base64Alphabet) {
		table[base64Alphabet[i]] = byte(i)
	}
	return table
}()

const notSextet = 0xff

const (
	wantBase64 = "must be base64"
	wantASCII  = "must be base64 in ASCII"
	wantText   = "must be text without unpaired surrogates"
)

// appendBase64 writes the raw string as canonical base64. Like the contract's
// reference it reads leniently: what is not in the alphabet is skipped, and
// nothing after the padding counts. anyJunk says that characters beyond ASCII
// may be skipped too.
func appendBase64(dst, raw []byte, anyJunk bool) ([]byte, *Error) {
	if raw[0] != '"' {
		return dst, wrong(wantString)
	}
	text := raw[1 : len(raw)-1]
	if hasEscape(text) {
		scratch := pool.Acquire(len(text))
		defer scratch.Release()
		var whole bool
		if scratch.B, whole = appendUnquoted(scratch.B, raw); !whole {
			return dst, wrong(wantText)
		}
		text = scratch.B
	}
	if !anyJunk && !isASCII(text) {
		return dst, wrong(wantASCII)
	}
	dst, ok := appendCanonical(append(dst, '"'), text)
	if !ok {
		return dst, wrong(wantBase64)
	}
	return append(dst, '"'), nil
}

// appendCanonical copies the characters of the alphabet, clears the bits that the
// last one has too many, and pads. It needs no decoding: whatever is skipped in
// between, the bits of the data follow each other.
func appendCanonical(dst, text []byte) (canonical []byte, ok bool) {
	quad, pads := 0, 0
	for i := 0; i < len(text); {
		run := base64Run(text, i)
		if run > i {
			dst = append(dst, text[i:run]...)
			quad, pads, i = (quad+run-i)&3, 0, run
			continue
		}
		if text[i] == '=' && quad >= 2 {
			if pads++; quad+pads == 4 {
				break
			}
		}
		i++
	}
	switch {
	case quad == 0:
		return dst, true
	case quad+pads != 4:
		return dst, false
	}
	last := len(dst) - 1
	if quad == 2 {
		dst[last] = base64Alphabet[sextets[dst[last]]&0x30]
		return append(dst, "=="...), true
	}
	dst[last] = base64Alphabet[sextets[dst[last]]&0x3c]
	return append(dst, '='), true
}

// base64Run returns the index of the first byte from i on outside the alphabet.
func base64Run(text []byte, i int) int {
	for i < len(text) && sextets[text[i]] != notSextet {
		i++
	}
	return i
}

// appendStrictBase64 decodes text, or fails where the contract says that it is
// not base64 at all but plain text. Unlike Go's decoder it refuses line breaks
// and accepts surplus padding and left-over bits.
func appendStrictBase64(dst, text []byte) (decoded []byte, ok bool) {
	data := base64Run(text, 0)
	quad := data & 3
	pads := len(text) - data
	for _, c := range text[data:] {
		if c != '=' {
			return dst, false
		}
	}
	switch {
	case quad == 1, data == 0 && pads > 0:
		return dst, false
	case quad != 0 && quad+pads != 4:
		return dst, false
	}
	for ; len(text) >= 4 && data >= 4; data -= 4 {
		a, b, c, d := sextets[text[0]], sextets[text[1]], sextets[text[2]], sextets[text[3]]
		dst = append(dst, a<<2|b>>4, b<<4|c>>2, c<<6|d)
		text = text[4:]
	}
	if quad >= 2 {
		dst = append(dst, sextets[text[0]]<<2|sextets[text[1]]>>4)
	}
	if quad == 3 {
		dst = append(dst, sextets[text[1]]<<4|sextets[text[2]]>>2)
	}
	return dst, true
}
