package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

// member is a key and a value of a body. Values are string, bool, []string,
// object, or nil for null.
type member struct {
	name  string
	value any
}

// object is a JSON object that keeps its order.
type object []member

// with adds a member unless its value is empty.
func (o object) with(name, value string) object {
	if value == "" {
		return o
	}
	return append(o, member{name, value})
}

func (o object) holdsPassword() bool {
	for _, m := range o {
		inner, _ := m.value.(object)
		switch m.name {
		case "password", "current_password", "new_password":
			return true
		}
		if inner.holdsPassword() {
			return true
		}
	}
	return false
}

func appendJSON(dst []byte, value any) []byte {
	switch v := value.(type) {
	case string:
		return appendString(dst, v)
	case bool:
		return fmt.Append(dst, v)
	case []string:
		dst = append(dst, '[')
		for i, s := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendString(dst, s)
		}
		return append(dst, ']')
	case object:
		dst = append(dst, '{')
		for i, m := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendString(dst, m.name)
			dst = append(dst, ':')
			dst = appendJSON(dst, m.value)
		}
		return append(dst, '}')
	}
	return append(dst, "null"...)
}

// appendString appends s in ASCII. Bytes that are no UTF-8 become the surrogates
// that Python makes of such arguments, rather than a character that says nothing.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && size == 1:
			dst = fmt.Appendf(dst, `\udc%02x`, s[0])
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r < 0x20 || r > 0x7e && r < 0x10000:
			dst = fmt.Appendf(dst, `\u%04x`, r)
		case r >= 0x10000:
			r -= 0x10000
			dst = fmt.Appendf(dst, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		default:
			dst = append(dst, byte(r))
		}
		s = s[size:]
	}
	return append(dst, '"')
}

// record is a JSON object of a reply. What is missing, null or of another type
// reads as empty.
type record map[string]json.RawMessage

func (r record) text(name string) string {
	if string(r[name]) == "null" {
		return ""
	}
	return literal(r[name])
}

// yes reports whether a member holds something: Python's truth.
func (r record) yes(name string) bool { return truth(r[name]) }

func (r record) texts(name string) (out []string) {
	var list []json.RawMessage
	if json.Unmarshal(r[name], &list) != nil {
		return nil
	}
	for _, v := range list {
		out = append(out, literal(v))
	}
	return out
}

func (r record) record(name string) (inner record) {
	_ = json.Unmarshal(r[name], &inner) // another type reads as empty
	return inner
}

func truth(raw json.RawMessage) bool {
	var compact bytes.Buffer
	_ = json.Compact(&compact, raw) // a missing one is empty
	switch compact.String() {
	case "", "null", "false", `""`, "0", "[]", "{}":
		return false
	}
	return true
}

// literal is a value as Python prints it: strings without quotes.
func literal(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil && string(raw) != "null" {
		return s
	}
	switch string(raw) {
	case "null":
		return "None"
	case "true":
		return "True"
	case "false":
		return "False"
	}
	return string(raw)
}
