package codec

// Terms of the graph: the client's short form and the bus's long form.

// Slots of a term's members. For the client the quoted triple is `tr`, for the
// bus `triple`; the others correspond by position.
const (
	termType = iota
	termIRI
	termID
	termValue
	termDatatype
	termLanguage
	termTriple
	termMembers
)

var (
	apiTermKeys = newKeyset("t", "i", "d", "v", "dt", "ln", "tr")
	busTermKeys = newKeyset("type", "iri", "id", "value", "datatype", "language", "triple")
)

// termKind returns the letter of a term's type, or 0 when it is none of the four.
func termKind(raw []byte) byte {
	if len(raw) == 3 && raw[0] == '"' {
		return raw[1]
	}
	for _, kind := range []string{"i", "b", "l", "t"} {
		if raw != nil && isText(raw, kind) {
			return kind[0]
		}
	}
	return 0
}

// orEmpty is the value of a member whose default is the empty string.
func orEmpty(raw []byte) []byte {
	if raw == nil {
		return emptyString
	}
	return raw
}

var emptyString = []byte(`""`)

// appendBusTerm writes a client's term for the bus: always all seven members.
// Those that do not belong to the type are dropped, and an unknown type keeps
// nothing but itself.
func appendBusTerm(dst, raw []byte) ([]byte, *Error) {
	if raw[0] != '{' {
		return dst, wrong(wantObject)
	}
	var m [termMembers][]byte
	apiTermKeys.collect(raw, 0, m[:])
	switch termKind(m[termType]) {
	case 'i':
		dst = append(dst, `{"type":"i","iri":`...)
		dst = append(dst, orEmpty(m[termIRI])...)
		return append(dst, `,"id":"","value":"","datatype":"","language":"","triple":null}`...), nil
	case 'b':
		dst = append(dst, `{"type":"b","iri":"","id":`...)
		dst = append(dst, orEmpty(m[termID])...)
		return append(dst, `,"value":"","datatype":"","language":"","triple":null}`...), nil
	case 'l':
		dst = append(dst, `{"type":"l","iri":"","id":"","value":`...)
		dst = append(dst, orEmpty(m[termValue])...)
		dst = append(dst, `,"datatype":`...)
		dst = append(dst, orEmpty(m[termDatatype])...)
		dst = append(dst, `,"language":`...)
		dst = append(dst, orEmpty(m[termLanguage])...)
		return append(dst, `,"triple":null}`...), nil
	case 't':
		return appendBusQuoted(dst, m[termTriple])
	}
	dst = append(dst, `{"type":`...)
	dst = append(dst, orEmpty(m[termType])...)
	return append(dst, `,"iri":"","id":"","value":"","datatype":"","language":"","triple":null}`...), nil
}

// appendBusQuoted writes a quoted triple as a bus term.
func appendBusQuoted(dst, triple []byte) ([]byte, *Error) {
	dst = append(dst, `{"type":"t","iri":"","id":"","value":"","datatype":"","language":"","triple":`...)
	if triple == nil || !truthy(triple) {
		return append(dst, `null}`...), nil
	}
	dst, err := appendBusTriple(dst, triple)
	if err != nil {
		return dst, err.in("tr")
	}
	return append(dst, '}'), nil
}

// appendAPITerm writes a bus term for clients: the type and what belongs to it.
func appendAPITerm(dst, raw []byte) ([]byte, *Error) {
	if raw[0] != '{' {
		return dst, wrong(wantObject)
	}
	var m [termMembers][]byte
	busTermKeys.collect(raw, 0, m[:])
	return appendAPITermOf(dst, &m)
}

// appendAPITermOf is appendAPITerm for members that were found already.
func appendAPITermOf(dst []byte, m *[termMembers][]byte) ([]byte, *Error) {
	switch termKind(m[termType]) {
	case 'i':
		dst = append(dst, `{"t":"i","i":`...)
		dst = append(dst, orEmpty(m[termIRI])...)
	case 'b':
		dst = append(dst, `{"t":"b","d":`...)
		dst = append(dst, orEmpty(m[termID])...)
	case 'l':
		dst = append(dst, `{"t":"l","v":`...)
		dst = append(dst, orEmpty(m[termValue])...)
		dst = appendIfTruthy(dst, `,"dt":`, m[termDatatype])
		dst = appendIfTruthy(dst, `,"ln":`, m[termLanguage])
	case 't':
		dst = append(dst, `{"t":"t"`...)
		if triple := m[termTriple]; triple != nil && (triple[0] == '{' || truthy(triple)) {
			var err *Error
			if dst, err = appendAPITriple(append(dst, `,"tr":`...), triple); err != nil {
				return dst, err.in("triple")
			}
		}
	default:
		dst = append(dst, `{"t":`...)
		dst = append(dst, orEmpty(m[termType])...)
	}
	return append(dst, '}'), nil
}

func appendIfTruthy(dst []byte, label string, raw []byte) []byte {
	if raw == nil || !truthy(raw) {
		return dst
	}
	return append(append(dst, label...), raw...)
}

// appendLooseTerms writes the values of a SPARQL binding. The bus does not treat
// them as terms: nulls stay, and quoted triples lose their content.
func appendLooseTerms(dst, raw []byte) ([]byte, *Error) {
	if emptyList(raw) {
		return append(dst, "[]"...), nil
	}
	if raw[0] != '[' {
		return dst, wrong(wantList)
	}
	dst = append(dst, '[')
	for i, n := skipSpace(raw, 1), 0; raw[i] != ']'; n++ {
		switch raw[i] {
		case 'n':
			dst = append(dst, "null"...)
			i += len("null")
		case '{':
			var m [termMembers][]byte
			i = busTermKeys.collect(raw, i, m[:])
			m[termTriple] = nil
			dst, _ = appendAPITermOf(dst, &m) // fails on triples only
		default:
			return dst, wrong(wantObject).at(n)
		}
		dst = append(dst, ',')
		i = nextElement(raw, i)
	}
	return closeArray(dst), nil
}
