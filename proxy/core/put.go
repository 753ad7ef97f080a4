package core

import (
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/tinylib/msgp/msgp"

	"sluice/codec"
)

// maxNesting is how deep a term may nest, as statements about statements: as deep
// as the codec takes the request that it becomes a part of.
const maxNesting = 250

// AppendPut appends the body of the put-kg-core request that stores one value under
// that id. kept is false for a value with another tag, which is none of the
// format's: nothing is appended then. The error is a *FormatError, and dst comes
// back as it was.
func AppendPut(dst []byte, id string, value []byte) (body []byte, kept bool, err error) {
	tag, rest, err := openValue(value)
	if err != nil {
		return dst, false, err
	}
	out := append(dst, `{"operation":"put-kg-core","id":`...)
	out = codec.AppendQuoted(out, id)
	switch tag {
	case "t":
		out, err = appendBlock(out, id, rest, "t", `,"triples":{"metadata":{"id":`, `"triples":[`, appendTerm)
	case "ge":
		out, err = appendBlock(out, id, rest, "e", `,"graph-embeddings":{"metadata":{"id":`, `"entities":[`, appendEntity)
	default:
		return dst, false, nil
	}
	if err != nil {
		return dst, false, err
	}
	return append(out, "]}}"...), true, nil
}

// openValue returns a value's tag, "" for one of another type, and what follows it.
func openValue(b []byte) (tag string, rest []byte, err error) {
	n, b, err := msgp.ReadArrayHeaderBytes(b)
	if err != nil || n == 0 {
		return "", nil, malformed("a value that is no array")
	}
	if msgp.NextType(b) != msgp.StrType {
		return "", nil, nil
	}
	text, b, err := msgp.ReadStringZC(b)
	switch {
	case err != nil:
		return "", nil, errNoMessagePack
	case string(text) == "t" && n >= 2:
		return "t", b, nil
	case string(text) == "ge" && n >= 2:
		return "ge", b, nil
	case string(text) == "t" || string(text) == "ge":
		return "", nil, malformed("a value without content")
	}
	return "", nil, nil
}

// element appends the JSON of one element of a block and returns what follows it.
type element func(dst, b []byte, depth int) (out, rest []byte, err error)

// appendBlock writes the member of the request that holds a value's list.
func appendBlock(dst []byte, id string, content []byte, list, open, openList string, one element) ([]byte, error) {
	span, err := member(content, list)
	if err != nil {
		return dst, err
	}
	n, b, err := msgp.ReadArrayHeaderBytes(span)
	if err != nil {
		return dst, malformed(strconv.Quote(list) + " is missing or no array")
	}
	dst = append(dst, open...)
	dst = codec.AppendQuoted(dst, id)
	dst = append(append(dst, `,"collection":"default"},`...), openList...)
	for i := range n {
		if i > 0 {
			dst = append(dst, ',')
		}
		if msgp.NextType(b) != msgp.MapType {
			return dst, malformed(strconv.Quote(list) + " holds something that is no map")
		}
		if dst, b, err = one(dst, b, 0); err != nil {
			return dst, err
		}
	}
	return dst, nil
}

// member returns the value of a map's member, the last one of several, or nil.
func member(b []byte, name string) ([]byte, error) {
	n, b, err := msgp.ReadMapHeaderBytes(b)
	if err != nil {
		return nil, malformed("a value whose content is no map")
	}
	var found []byte
	for range n {
		key, value, err := readKey(b)
		if err != nil {
			return nil, err
		}
		if b, err = skip(value); err != nil {
			return nil, err
		}
		if key == name {
			found = value[:len(value)-len(b)]
		}
	}
	return found, nil
}

// readKey reads a map's key: "" for one that the format does not have, also for
// one that is no text.
func readKey(b []byte) (key string, rest []byte, err error) {
	if msgp.NextType(b) != msgp.StrType {
		rest, err = skip(b)
		return "", rest, err
	}
	text, rest, err := msgp.ReadStringZC(b)
	if err != nil {
		return "", nil, errNoMessagePack
	}
	return known[string(text)], rest, nil
}

// known are the names of the format, so that reading them costs nothing.
var known = func() map[string]string {
	names := make(map[string]string)
	for _, name := range []string{"t", "e", "v", "i", "d", "dt", "ln", "tr", "s", "p", "o", "g"} {
		names[name] = name
	}
	return names
}()

// appendEntity writes an element of "e".
func appendEntity(dst, b []byte, _ int) (out, rest []byte, err error) {
	rest, err = skip(b)
	if err != nil {
		return dst, nil, err
	}
	entity, err := member(b, "e")
	if err != nil {
		return dst, nil, err
	}
	vector, err := member(b, "v")
	if err != nil {
		return dst, nil, err
	}
	if msgp.NextType(entity) != msgp.MapType || msgp.NextType(vector) != msgp.ArrayType {
		return dst, nil, malformed(`an entity without "e" or "v"`)
	}
	dst, _, err = appendTerm(append(dst, `{"entity":`...), entity, 0)
	if err != nil {
		return dst, nil, err
	}
	dst, err = appendVector(append(dst, `,"vector":[`...), vector)
	return append(dst, "]}"...), rest, err
}

func appendVector(dst, b []byte) ([]byte, error) {
	n, b, err := msgp.ReadArrayHeaderBytes(b)
	if err != nil {
		return dst, errNoMessagePack
	}
	for i := range n {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, b, err = appendNumber(dst, b); err != nil {
			return dst, err
		}
	}
	return dst, nil
}

// appendTerm writes a term or a triple: a map of texts and further terms, of
// which the members are kept that the API knows.
func appendTerm(dst, b []byte, depth int) (out, rest []byte, err error) {
	if depth == maxNesting {
		return dst, nil, errNesting
	}
	n, b, err := msgp.ReadMapHeaderBytes(b)
	if err != nil {
		return dst, nil, errNoMessagePack
	}
	dst = append(dst, '{')
	for range n {
		key, value, err := readKey(b)
		if err != nil {
			return dst, nil, err
		}
		if key == "" || key == "e" || key == "v" && msgp.NextType(value) == msgp.ArrayType {
			if b, err = skip(value); err != nil {
				return dst, nil, err
			}
			continue
		}
		if dst[len(dst)-1] != '{' {
			dst = append(dst, ',')
		}
		dst = append(append(append(dst, '"'), key...), `":`...)
		if dst, b, err = appendMember(dst, value, depth); err != nil {
			return dst, nil, err
		}
	}
	return append(dst, '}'), b, nil
}

func appendMember(dst, b []byte, depth int) (out, rest []byte, err error) {
	switch msgp.NextType(b) {
	case msgp.StrType:
		text, rest, err := msgp.ReadStringZC(b)
		if err != nil {
			return dst, nil, errNoMessagePack
		}
		if !utf8.Valid(text) {
			return dst, nil, errText
		}
		return codec.AppendQuoted(dst, string(text)), rest, nil
	case msgp.MapType:
		return appendTerm(dst, b, depth+1)
	case msgp.NilType:
		return append(dst, "null"...), b[1:], nil
	}
	return dst, nil, errTermMember
}

// appendNumber writes a number of any width. Fractions stay fractions: 1.0 is
// written as such.
func appendNumber(dst, b []byte) (out, rest []byte, err error) {
	switch msgp.NextType(b) {
	case msgp.Float64Type:
		f, rest, err := msgp.ReadFloat64Bytes(b)
		return appendFloat(dst, f, rest, err)
	case msgp.Float32Type:
		f, rest, err := msgp.ReadFloat32Bytes(b)
		return appendFloat(dst, float64(f), rest, err)
	case msgp.IntType:
		n, rest, err := msgp.ReadInt64Bytes(b)
		return strconv.AppendInt(dst, n, 10), rest, err
	case msgp.UintType:
		n, rest, err := msgp.ReadUint64Bytes(b)
		return strconv.AppendUint(dst, n, 10), rest, err
	}
	return dst, nil, errNumber
}

func appendFloat(dst []byte, f float64, rest []byte, err error) ([]byte, []byte, error) {
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		return dst, nil, errNumber
	}
	from := len(dst)
	dst = strconv.AppendFloat(dst, f, 'g', -1, 64)
	for _, c := range dst[from:] {
		if c == '.' || c == 'e' {
			return dst, rest, nil
		}
	}
	return append(dst, ".0"...), rest, nil
}
