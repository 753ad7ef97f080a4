package codec

import "fmt"

// maxMembers bounds the names that one layout may know, nestedMembers those of
// the layouts inside others. Members are held in arrays of that size on the stack.
const (
	maxMembers    = 32
	nestedMembers = 10
)

// members holds the raw values that were found for the names of a layout, by
// slot; nil means absent.
type members [maxMembers][]byte

// layout describes one object: the names to look for when reading it, and what
// to write. The same description serves both ways: a client's body becoming a
// bus message and a bus message becoming a client's body.
type layout struct {
	keys   *keyset
	fields []field
	tail   string // members that are always written the same, each with a comma
}

// field is one member: read under name, written under out.
type field struct {
	name, out string
	absent    string // what is written for an absent member; "" writes nothing
	required  bool
	when      rule
	shape     shape
	sub       *layout // of the object, or of the list's objects

	slot  int
	label string // `"out":`
	blank string // the whole text for an absent member
}

// rule says which present values are written at all.
type rule uint8

const (
	ruleAlways rule = iota
	ruleSet         // not null
	ruleTruthy
)

// required is a member without which the text is refused.
func required(name string) field { return field{name: name, out: name, required: true} }

// optional is a member that is always written; absent stands in for it.
func optional(name, absent string) field { return field{name: name, out: name, absent: absent} }

// set is a member that is written unless it is null; absent as in optional, and
// "" when its default is null.
func set(name, absent string) field {
	return field{name: name, out: name, absent: absent, when: ruleSet}
}

// present is a member that is written when it is truthy. Its default is not.
func present(name string) field { return field{name: name, out: name, when: ruleTruthy} }

// to sets the name to write.
func (f field) to(out string) field { f.out = out; return f }

// as sets how the value is read.
func (f field) as(s shape) field { f.shape = s; return f }

// of is as for shapes that need the layout of a nested object.
func (f field) of(s shape, sub *layout) field { f.shape, f.sub = s, sub; return f }

// newLayout makes a layout of fields; extra names get slots but are not written
// by the fields.
func newLayout(fields []field, extra ...string) *layout {
	var names []string
	seen := map[string]bool{}
	for _, f := range fields {
		names, seen[f.name] = append(names, f.name), true
	}
	for _, name := range extra {
		if !seen[name] {
			names = append(names, name)
		}
	}
	if len(names) > maxMembers {
		panic(fmt.Sprintf("BUG: codec: a layout of %d members", len(names)))
	}
	return (&layout{keys: newKeyset(names...)}).with(fields...)
}

// with returns a layout that looks for the same names and writes other fields.
func (l *layout) with(fields ...field) *layout {
	fields = append([]field(nil), fields...)
	for i := range fields {
		f := &fields[i]
		f.slot = l.slot(f.name)
		f.label = string(AppendQuoted(nil, f.out)) + ":"
		if f.absent != "" {
			f.blank = f.label + f.absent + ","
		}
	}
	return &layout{keys: l.keys, fields: fields, tail: l.tail}
}

// and adds constant members, as `"root":"",`.
func (l *layout) and(tail string) *layout {
	l.tail = tail
	return l
}

// slot is the slot of a name that the layout is known to have.
func (l *layout) slot(name string) int {
	slot := slotOf(l.keys, name)
	if slot < 0 {
		panic("BUG: codec: no member " + name)
	}
	return slot
}

// append writes the object that the members m make under this layout. After an
// error dst holds part of it; callers of the package's functions never see that.
func (l *layout) append(dst []byte, m [][]byte) ([]byte, *Error) {
	dst = append(dst, '{')
	for i := range l.fields {
		f := &l.fields[i]
		raw := m[f.slot]
		if raw == nil {
			if f.required {
				return dst, &Error{Member: f.name}
			}
			dst = append(dst, f.blank...)
			continue
		}
		if f.when != ruleAlways && !f.written(raw) {
			continue
		}
		dst = append(dst, f.label...)
		if f.shape == copied {
			dst = append(dst, raw...)
		} else {
			var err *Error
			if dst, err = f.append(dst, raw); err != nil {
				return dst, err.in(f.name)
			}
		}
		dst = append(dst, ',')
	}
	dst = append(dst, l.tail...)
	return closeObject(dst), nil
}

// written applies the field's rule to a present value.
func (f *field) written(raw []byte) bool {
	if f.when == ruleSet {
		return !isNone(raw)
	}
	// A typed record counts as true even when it is empty.
	return truthy(raw) || f.shape == record && raw[0] == '{'
}

// closeObject ends an object whose members were written with a comma each.
func closeObject(dst []byte) []byte {
	if last := len(dst) - 1; dst[last] == ',' {
		dst[last] = '}'
		return dst
	}
	return append(dst, '}')
}

// appendNested writes the object raw, which is inside another, under a layout.
func (l *layout) appendNested(dst, raw []byte) ([]byte, *Error) {
	if raw[0] != '{' {
		return dst, wrong(wantObject)
	}
	var found [nestedMembers][]byte
	l.keys.collect(raw, 0, found[:])
	return l.append(dst, found[:])
}
