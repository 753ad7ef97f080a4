package codec

import (
	"sluice/pool"
)

// appendTextLoad writes the bus message of a text-load: metadata made of members
// of the body, and the text in clear.
func appendTextLoad(dst []byte, m [][]byte) ([]byte, *Error) {
	dst, err := appendLoadMetadata(dst, m)
	if err != nil {
		return dst, err
	}
	text := m[textLoad.slot("text")]
	if text == nil {
		return dst, &Error{Member: "text"}
	}
	dst, err = appendPayload(append(dst, `"text":`...), text, m[textLoad.slot("charset")])
	return append(dst, `,"document_id":""}`...), err
}

// appendDocumentLoad writes the bus message of a document-load. Unlike text, data
// stays base64 on the bus.
func appendDocumentLoad(dst []byte, m [][]byte) ([]byte, *Error) {
	dst, err := appendLoadMetadata(dst, m)
	if err != nil {
		return dst, err
	}
	data := m[documentLoad.slot("data")]
	if data == nil {
		return dst, &Error{Member: "data"}
	}
	dst, err = appendBase64(append(dst, `"data":`...), data, false)
	if err != nil {
		return dst, err.in("data")
	}
	return append(dst, `,"document_id":""}`...), nil
}

// appendLoadMetadata opens the bus message of a load. The members that make the
// metadata have the same slots in both kinds.
func appendLoadMetadata(dst []byte, m [][]byte) ([]byte, *Error) {
	dst = append(dst, `{"metadata":{`...)
	for _, f := range loadMetadata.fields {
		if m[f.slot] == nil {
			dst = append(dst, f.blank...)
			continue
		}
		var err *Error
		if dst, err = appendDeeper(append(dst, f.label...), m[f.slot]); err != nil {
			return dst, err.in(f.name)
		}
		dst = append(dst, ',')
	}
	return append(closeObject(dst), ','), nil
}

// appendPayload writes the text of a text-load in clear. It may come as base64 of
// a text in some charset; whatever does not decode is taken to be the text itself.
// charset is nil when absent.
func appendPayload(dst, raw, charset []byte) ([]byte, *Error) {
	if raw[0] != '"' {
		return dst, wrong(wantString).in("text")
	}
	text := raw[1 : len(raw)-1]
	if hasEscape(text) {
		scratch := pool.Acquire(len(text))
		defer scratch.Release()
		var whole bool
		if scratch.B, whole = appendUnquoted(scratch.B, raw); !whole {
			return dst, wrong(wantText).in("text")
		}
		text = scratch.B
	}
	if !isASCII(text) {
		return append(dst, raw...), nil
	}
	decoded := pool.Acquire(len(text))
	defer decoded.Release()
	var ok bool
	if decoded.B, ok = appendStrictBase64(decoded.B, text); !ok {
		return append(dst, raw...), nil
	}
	return appendDecoded(dst, raw, decoded.B, charset)
}

// appendDecoded writes bytes in a charset as a string, or the original raw string
// when they are not valid in it.
func appendDecoded(dst, raw, data, charset []byte) ([]byte, *Error) {
	cs := utf8Charset
	if charset != nil {
		name, ok := Value{charset}.String()
		if !ok {
			return dst, wrong(wantString).in("charset")
		}
		if len(data) == 0 {
			return append(dst, raw...), nil // the name is not looked up
		}
		if cs, ok = parseCharset(name); !ok {
			return dst, wrong("names no character set that is known here").in("charset")
		}
	}
	if out, ok := cs.appendQuoted(dst, data); ok {
		return out, nil
	}
	return append(dst, raw...), nil
}
