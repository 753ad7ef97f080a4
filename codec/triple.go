package codec

var tripleKeys = newKeyset("s", "p", "o", "g")

// Slots of a triple's members.
const (
	tripleSubject = iota
	triplePredicate
	tripleObject
	tripleGraph
	tripleMembers
)

// tripleTerms are the members of a triple that hold terms.
var tripleTerms = [...]struct{ name, label string }{
	tripleSubject:   {"s", `"s":`},
	triplePredicate: {"p", `"p":`},
	tripleObject:    {"o", `"o":`},
}

// appendBusTriple writes a client's triple for the bus: always all four members,
// null for what is not there or false.
func appendBusTriple(dst, raw []byte) ([]byte, *Error) {
	if raw[0] != '{' {
		return dst, wrong(wantObject)
	}
	var m [tripleMembers][]byte
	tripleKeys.collect(raw, 0, m[:])
	return appendBusTripleOf(dst, &m)
}

func appendBusTripleOf(dst []byte, m *[tripleMembers][]byte) ([]byte, *Error) {
	dst = append(dst, '{')
	for i, term := range tripleTerms {
		dst = append(dst, term.label...)
		if m[i] == nil || !truthy(m[i]) {
			dst = append(dst, `null,`...)
			continue
		}
		var err *Error
		if dst, err = appendBusTerm(dst, m[i]); err != nil {
			return dst, err.in(term.name)
		}
		dst = append(dst, ',')
	}
	dst = append(dst, `"g":`...)
	if m[tripleGraph] == nil {
		return append(dst, `null}`...), nil
	}
	return append(append(dst, m[tripleGraph]...), '}'), nil
}

// appendAPITriple writes a bus triple for clients: what is not there, or false, is
// left out. An empty term counts as there.
func appendAPITriple(dst, raw []byte) ([]byte, *Error) {
	if raw[0] != '{' {
		return dst, wrong(wantObject)
	}
	var m [tripleMembers][]byte
	tripleKeys.collect(raw, 0, m[:])
	return appendAPITripleOf(dst, &m)
}

func appendAPITripleOf(dst []byte, m *[tripleMembers][]byte) ([]byte, *Error) {
	dst = append(dst, '{')
	for i, term := range tripleTerms {
		if m[i] == nil || m[i][0] != '{' && !truthy(m[i]) {
			continue
		}
		dst = append(dst, term.label...)
		var err *Error
		if dst, err = appendAPITerm(dst, m[i]); err != nil {
			return dst, err.in(term.name)
		}
		dst = append(dst, ',')
	}
	if g := m[tripleGraph]; g != nil && truthy(g) {
		dst = append(append(dst, `"g":`...), g...)
	}
	return closeObject(dst), nil
}

// appendBusTriples writes a client's list of triples for the bus.
func appendBusTriples(dst, raw []byte) ([]byte, *Error) {
	return appendTriples(dst, raw, true)
}

// appendAPITriples writes a bus list of triples for clients.
func appendAPITriples(dst, raw []byte) ([]byte, *Error) {
	return appendTriples(dst, raw, false)
}

func appendTriples(dst, raw []byte, toBus bool) ([]byte, *Error) {
	if emptyList(raw) {
		return append(dst, "[]"...), nil
	}
	if raw[0] != '[' {
		return dst, wrong(wantList)
	}
	dst = append(dst, '[')
	for i, n := skipSpace(raw, 1), 0; raw[i] != ']'; n++ {
		if raw[i] != '{' {
			return dst, wrong(wantObject).at(n)
		}
		var m [tripleMembers][]byte
		i = nextElement(raw, tripleKeys.collect(raw, i, m[:]))
		var err *Error
		if toBus {
			dst, err = appendBusTripleOf(dst, &m)
		} else {
			dst, err = appendAPITripleOf(dst, &m)
		}
		if err != nil {
			return dst, err.at(n)
		}
		dst = append(dst, ',')
	}
	return closeArray(dst), nil
}
