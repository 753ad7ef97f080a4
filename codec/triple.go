package codec

var tripleKeys = newKeyset("s", "p", "o", "g")

// Slots of a triple's members.
const (
	tripleSubject = iota
	triplePredicate
	tripleObject
	tripleGraph
)

// tripleTerms are the members of a triple that hold terms.
var tripleTerms = [...]struct{ name, label, null string }{
	tripleSubject:   {"s", `"s":`, `"s":null,`},
	triplePredicate: {"p", `"p":`, `"p":null,`},
	tripleObject:    {"o", `"o":`, `"o":null,`},
}

// tripleParts says where in the output the terms of a triple are, and what is wrong
// with them. A term whose name comes again replaces the earlier one, faults included.
type tripleParts [len(tripleTerms)]struct {
	from, to int
	err      *Error
}

// appendTriple writes the triple that starts at b[i], which has to be an object, and
// returns the index after it. That index is right even when there is an error.
//
// For the bus all four members are written, null for what is not there or false;
// for clients such members are left out, but an empty term counts as there.
func appendTriple(dst, b []byte, i int, f form) (out []byte, end int, err *Error) {
	dst = append(dst, '{')
	var parts tripleParts
	var graph []byte
	for i = skipSpace(b, i+1); b[i] != '}'; i = nextElement(b, i) {
		slot, value := tripleKeys.member(b, i)
		if slot >= 0 && slot != tripleGraph {
			dst, i = parts.append(parts.drop(dst, slot), slot, b, value, f)
			continue
		}
		i = endOfValue(b, value)
		if slot == tripleGraph {
			graph = b[value:i:i]
		}
	}
	for slot := range parts {
		if err := parts[slot].err; err != nil {
			return dst, i + 1, err.in(tripleTerms[slot].name)
		}
		if f == busForm && parts[slot].to == 0 {
			dst = append(dst, tripleTerms[slot].null...)
		}
	}
	switch {
	case graph != nil && (f == busForm || truthy(graph)):
		dst = append(append(dst, `"g":`...), graph...)
	case f == busForm:
		dst = append(dst, `"g":null`...)
	}
	return closeObject(dst), i + 1, nil
}

// append writes the term that starts at b[i] and returns the index after it. False
// values write nothing.
func (p *tripleParts) append(dst []byte, slot int, b []byte, i int, f form) (out []byte, end int) {
	part := &p[slot]
	if b[i] != '{' {
		end = endOfValue(b, i)
		if truthy(b[i:end]) {
			part.err = wrong(wantObject)
		}
		return dst, end
	}
	if f == busForm && isEmpty(b[i:]) {
		return dst, endOfValue(b, i)
	}
	from := len(dst)
	dst, end, part.err = appendTerm(append(dst, tripleTerms[slot].label...), b, i, f)
	dst = append(dst, ',')
	part.from, part.to = from, len(dst)
	return dst, end
}

// drop takes a term out of the output again. Each term can be moved only by those
// that were written before it, so that repeated names cost no more than their length.
func (p *tripleParts) drop(dst []byte, slot int) []byte {
	gone := p[slot]
	p[slot].from, p[slot].to, p[slot].err = 0, 0, nil
	size := gone.to - gone.from
	if size == 0 {
		return dst
	}
	for i := range p {
		if p[i].from > gone.from {
			p[i].from -= size
			p[i].to -= size
		}
	}
	return append(dst[:gone.from], dst[gone.to:]...)
}

// appendTriples writes a list of triples.
func appendTriples(dst, raw []byte, f form) ([]byte, *Error) {
	if emptyList(raw) {
		return append(dst, "[]"...), nil
	}
	if raw[0] != '[' {
		return dst, wrong(wantList)
	}
	dst = append(dst, '[')
	for i, n := skipSpace(raw, 1), 0; raw[i] != ']'; i, n = nextElement(raw, i), n+1 {
		if raw[i] != '{' {
			return dst, wrong(wantObject).at(n)
		}
		var err *Error
		if dst, i, err = appendTriple(dst, raw, i, f); err != nil {
			return dst, err.at(n)
		}
		dst = append(dst, ',')
	}
	return closeArray(dst), nil
}
