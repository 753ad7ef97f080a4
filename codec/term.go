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

// form is one of the ways in which terms and triples are written.
type form uint8

const (
	busForm   form = iota // a client's, for the bus
	apiForm               // the bus's, for clients
	looseForm             // the same, but quoted triples lose their content
)

func (f form) termKeys() *keyset {
	if f == busForm {
		return apiTermKeys
	}
	return busTermKeys
}

// appendTerm writes the term that starts at b[i], which has to be an object, and
// returns the index after it. That index is right even when there is an error.
//
// A quoted triple is written where it is met and dropped again when the type turns
// out to be another: looking for the ends of nested objects first would read the
// innermost as often as it is nested.
func appendTerm(dst, b []byte, i int, f form) (out []byte, end int, err *Error) {
	dst = append(dst, '{')
	open, keys := len(dst), f.termKeys()
	var m [termMembers][]byte
	var problem *Error
	for i = skipSpace(b, i+1); b[i] != '}'; i = nextElement(b, i) {
		slot, value := keys.member(b, i)
		if slot == termTriple && f != looseForm {
			dst, i, problem = appendQuotedTriple(dst[:open], b, value, f)
			continue
		}
		i = endOfValue(b, value)
		if slot >= 0 {
			m[slot] = b[value:i:i]
		}
	}
	kind := termKind(m[termType])
	if kind != 't' {
		dst = dst[:open]
	} else if problem != nil {
		return dst, i + 1, problem
	}
	if f == busForm {
		return appendBusTerm(dst, kind, &m, len(dst) > open), i + 1, nil
	}
	return appendAPITerm(dst, kind, &m), i + 1, nil
}

// appendQuotedTriple writes the member for the triple that starts at b[i], with a
// comma, or nothing when it is false.
func appendQuotedTriple(dst, b []byte, i int, f form) (out []byte, end int, err *Error) {
	name, label := "tr", `"triple":`
	if f == apiForm {
		name, label = "triple", `"tr":`
	}
	if b[i] != '{' {
		end = endOfValue(b, i)
		if truthy(b[i:end]) {
			err = wrong(wantObject).in(name)
		}
		return dst, end, err
	}
	if f == busForm && isEmpty(b[i:]) {
		return dst, endOfValue(b, i), nil
	}
	if dst, end, err = appendTriple(append(dst, label...), b, i, f); err != nil {
		return dst, end, err.in(name)
	}
	return append(dst, ','), end, nil
}

// appendBusTerm writes the members of a client's term for the bus, always all seven.
// Those that do not belong to the type are dropped, and an unknown type keeps
// nothing but itself. The quoted triple may be there already.
func appendBusTerm(dst []byte, kind byte, m *[termMembers][]byte, quoted bool) []byte {
	switch kind {
	case 'i':
		dst = append(dst, `"type":"i","iri":`...)
		dst = append(dst, orEmpty(m[termIRI])...)
		return append(dst, `,"id":"","value":"","datatype":"","language":"","triple":null}`...)
	case 'b':
		dst = append(dst, `"type":"b","iri":"","id":`...)
		dst = append(dst, orEmpty(m[termID])...)
		return append(dst, `,"value":"","datatype":"","language":"","triple":null}`...)
	case 'l':
		dst = append(dst, `"type":"l","iri":"","id":"","value":`...)
		dst = append(dst, orEmpty(m[termValue])...)
		dst = append(dst, `,"datatype":`...)
		dst = append(dst, orEmpty(m[termDatatype])...)
		dst = append(dst, `,"language":`...)
		dst = append(dst, orEmpty(m[termLanguage])...)
		return append(dst, `,"triple":null}`...)
	case 't':
		if quoted {
			return append(dst, `"type":"t","iri":"","id":"","value":"","datatype":"","language":""}`...)
		}
	}
	dst = append(dst, `"type":`...)
	dst = append(dst, orEmpty(m[termType])...)
	return append(dst, `,"iri":"","id":"","value":"","datatype":"","language":"","triple":null}`...)
}

// appendAPITerm writes the members of a bus term for clients: the type and what
// belongs to it. The quoted triple is there already.
func appendAPITerm(dst []byte, kind byte, m *[termMembers][]byte) []byte {
	switch kind {
	case 'i':
		dst = append(dst, `"t":"i","i":`...)
		dst = append(dst, orEmpty(m[termIRI])...)
	case 'b':
		dst = append(dst, `"t":"b","d":`...)
		dst = append(dst, orEmpty(m[termID])...)
	case 'l':
		dst = append(dst, `"t":"l","v":`...)
		dst = append(dst, orEmpty(m[termValue])...)
		dst = appendIfTruthy(dst, `,"dt":`, m[termDatatype])
		dst = appendIfTruthy(dst, `,"ln":`, m[termLanguage])
	default:
		dst = append(dst, `"t":`...)
		dst = append(dst, orEmpty(m[termType])...)
	}
	return append(dst, '}')
}

func appendIfTruthy(dst []byte, label string, raw []byte) []byte {
	if raw == nil || !truthy(raw) {
		return dst
	}
	return append(append(dst, label...), raw...)
}

// appendRawTerm is appendTerm for a value by itself, of any type.
func appendRawTerm(dst, raw []byte, f form) ([]byte, *Error) {
	if raw[0] != '{' {
		return dst, wrong(wantObject)
	}
	dst, _, err := appendTerm(dst, raw, 0, f)
	return dst, err
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
	for i, n := skipSpace(raw, 1), 0; raw[i] != ']'; i, n = nextElement(raw, i), n+1 {
		switch raw[i] {
		case 'n':
			dst = append(dst, "null"...)
			i += len("null")
		case '{':
			dst, i, _ = appendTerm(dst, raw, i, looseForm) // fails on triples only
		default:
			return dst, wrong(wantObject).at(n)
		}
		dst = append(dst, ',')
	}
	return closeArray(dst), nil
}
