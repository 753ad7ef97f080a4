package codec

import "sluice/pool"

// appendParsed writes the value that a raw string spells as JSON text.
func appendParsed(dst, raw []byte) ([]byte, *Error) {
	if raw[0] != '"' {
		return dst, wrong(wantString)
	}
	out, ok := appendParsedString(dst, raw)
	if !ok {
		return dst, wrong("must hold JSON text")
	}
	return out, nil
}

// appendParsedData is appendParsed for results: false values are null, and a text
// that is not JSON stands for itself.
func appendParsedData(dst, raw []byte) ([]byte, *Error) {
	if !truthy(raw) {
		return append(dst, "null"...), nil
	}
	if raw[0] != '"' {
		return dst, wrong(wantString)
	}
	return appendParsedLoose(dst, raw)
}

// appendParsedLoose is appendParsed, but the value stands for itself whenever
// that fails.
func appendParsedLoose(dst, raw []byte) ([]byte, *Error) {
	if raw[0] == '"' {
		if out, ok := appendParsedString(dst, raw); ok {
			return out, nil
		}
	}
	return append(dst, raw...), nil
}

// appendParsedString writes the value that a raw string spells. The text is held
// to the same limits as any other, since it is spliced like any other.
func appendParsedString(dst, raw []byte) (out []byte, ok bool) {
	text := raw[1 : len(raw)-1]
	if hasEscape(text) {
		scratch := pool.Acquire(len(text))
		defer scratch.Release()
		scratch.B, _ = appendUnquoted(scratch.B, raw)
		text = scratch.B
	}
	start, end, f := scanText(text)
	if f != sound {
		return dst, false
	}
	return append(dst, text[start:end]...), true
}
