package core

import (
	"bytes"
	"strconv"

	"github.com/tinylib/msgp/msgp"

	"sluice/codec"
)

// AppendValues appends the MessagePack value of one part of a get-kg-core answer,
// given as the API's JSON. A part without triples and embeddings, such as the end
// marker, appends nothing.
//
// Numbers that are spelled as integers get the shortest integer, all others and
// those of more than 64 bits are float64.
func AppendValues(dst, part []byte) []byte {
	triples, embeddings := pair(codec.Value{Raw: part}, "triples", "graph-embeddings")
	if triples.IsObject() {
		metadata, list := pair(triples, "metadata", "triples")
		dst = appendList(appendHead(dst, "t", metadata, "t"), list, appendAny)
	}
	if embeddings.IsObject() {
		metadata, list := pair(embeddings, "metadata", "entities")
		dst = appendList(appendHead(dst, "ge", metadata, "e"), list, appendEmbedding)
	}
	return dst
}

// pair returns two members of an object, having looked at it once.
func pair(v codec.Value, name1, name2 string) (value1, value2 codec.Value) {
	for name, value := range v.Members() {
		switch text, _ := name.String(); string(text) {
		case name1:
			value1 = value
		case name2:
			value2 = value
		}
	}
	return value1, value2
}

func appendEmbedding(dst []byte, v codec.Value) []byte {
	entity, vector := pair(v, "entity", "vector")
	dst = msgp.AppendString(msgp.AppendMapHeader(dst, 2), "e")
	dst = appendAny(dst, entity)
	return appendAny(msgp.AppendString(dst, "v"), vector)
}

// appendHead writes a value up to its list.
func appendHead(dst []byte, tag string, metadata codec.Value, list string) []byte {
	dst = msgp.AppendString(msgp.AppendArrayHeader(dst, 2), tag)
	dst = msgp.AppendString(msgp.AppendMapHeader(dst, 2), "m")
	dst = msgp.AppendString(msgp.AppendMapHeader(dst, 2), "i")
	dst = appendAny(dst, metadata.Get("id"))
	dst = appendAny(msgp.AppendString(dst, "c"), metadata.Get("collection"))
	return msgp.AppendString(dst, list)
}

// appendAny writes a JSON value with its members in their order.
func appendAny(dst []byte, v codec.Value) []byte {
	if !v.Present() {
		return msgp.AppendNil(dst)
	}
	switch v.Raw[0] {
	case '"':
		text, _ := v.String()
		return msgp.AppendStringFromBytes(dst, text)
	case '[':
		return appendList(dst, v, appendAny)
	case '{':
		at, n := len(dst), 0
		dst = append(dst, 0)
		for name, value := range v.Members() {
			dst = appendAny(appendAny(dst, name), value)
			n++
		}
		var head [5]byte
		return insertHead(dst, at, msgp.AppendMapHeader(head[:0], uint32(n))) //nolint:gosec // a text has fewer bytes than that
	case 't', 'f':
		return msgp.AppendBool(dst, v.Raw[0] == 't')
	case 'n':
		return msgp.AppendNil(dst)
	}
	return appendJSONNumber(dst, v.Raw)
}

func appendList(dst []byte, v codec.Value, one func([]byte, codec.Value) []byte) []byte {
	at, n := len(dst), 0
	dst = append(dst, 0)
	for element := range v.Elements() {
		dst = one(dst, element)
		n++
	}
	var head [5]byte
	return insertHead(dst, at, msgp.AppendArrayHeader(head[:0], uint32(n))) //nolint:gosec // a text has fewer bytes than that
}

// insertHead puts the head of a map or an array, whose length is known only in the
// end, where one byte was left for it. Most need no more than that.
func insertHead(dst []byte, at int, head []byte) []byte {
	if more := len(head) - 1; more > 0 {
		end := len(dst)
		dst = append(dst, head[1:]...)
		copy(dst[at+1+more:], dst[at+1:end])
	}
	copy(dst[at:], head)
	return dst
}

func appendJSONNumber(dst, raw []byte) []byte {
	text := string(raw)
	if !bytes.ContainsAny(raw, ".eE") {
		if n, err := strconv.ParseUint(text, 10, 64); err == nil {
			return msgp.AppendUint64(dst, n)
		}
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return msgp.AppendInt64(dst, n)
		}
	}
	f, _ := strconv.ParseFloat(text, 64) // in range: the codec's scanner has made sure
	return msgp.AppendFloat64(dst, f)
}
