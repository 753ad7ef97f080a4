package codec

// emptyList reports whether raw stands for a list without elements where one is
// iterated: [], and also "" and {}.
func emptyList(raw []byte) bool {
	switch raw[0] {
	case '[', '{':
		return isEmpty(raw)
	}
	return raw[0] == '"' && len(raw) == 2
}

// appendRecords writes a list of objects, each under the layout l. Null elements
// are kept or refused.
func appendRecords(dst, raw []byte, l *layout, keepNull bool) ([]byte, *Error) {
	if emptyList(raw) {
		return append(dst, "[]"...), nil
	}
	if raw[0] != '[' {
		return dst, wrong(wantList)
	}
	dst = append(dst, '[')
	for i, n := skipSpace(raw, 1), 0; raw[i] != ']'; i, n = nextElement(raw, i), n+1 {
		if keepNull && isNone(raw[i:]) {
			dst = append(dst, "null,"...)
			i += len("null")
			continue
		}
		if raw[i] != '{' {
			return dst, wrong(wantObject).at(n)
		}
		var found [nestedMembers][]byte
		i = l.keys.collect(raw, i, found[:])
		var err *Error
		if dst, err = l.append(dst, found[:]); err != nil {
			return dst, err.at(n)
		}
		dst = append(dst, ',')
	}
	return closeArray(dst), nil
}

// closeArray ends an array whose elements were written with a comma each.
func closeArray(dst []byte) []byte {
	if last := len(dst) - 1; dst[last] == ',' {
		dst[last] = ']'
		return dst
	}
	return append(dst, ']')
}

// appendList copies a list whole. Texts and objects with something in them are
// refused: the contract's reference takes them apart into characters and names,
// which is never what the sender meant. anyFalse
// says that null, false and zero are empty lists as well.
func appendList(dst, raw []byte, anyFalse bool) ([]byte, *Error) {
	switch {
	case raw[0] == '[':
		return append(dst, raw...), nil
	case emptyList(raw), anyFalse && !truthy(raw):
		return append(dst, "[]"...), nil
	}
	return dst, wrong(wantList)
}

// appendMapping copies an object whole. A list of pairs is refused, though the
// contract's reference makes an object of it. anyFalse is as for appendList.
func appendMapping(dst, raw []byte, anyFalse bool) ([]byte, *Error) {
	switch {
	case raw[0] == '{':
		return append(dst, raw...), nil
	case emptyList(raw), anyFalse && !truthy(raw):
		return append(dst, "{}"...), nil
	}
	return dst, wrong(wantObject)
}

// appendWrapped copies a list, and makes a list of one of anything else.
func appendWrapped(dst, raw []byte) ([]byte, *Error) {
	if raw[0] == '[' {
		return append(dst, raw...), nil
	}
	dst, err := appendDeeper(append(dst, '['), raw)
	return append(dst, ']'), err
}

// appendDeeper copies a top-level member's value to a place one level further
// down, where it may nest too deeply.
func appendDeeper(dst, raw []byte) ([]byte, *Error) {
	if _, f := scanValue(raw, 0, 2); f != sound {
		return dst, wrong("is nested too deeply")
	}
	return append(dst, raw...), nil
}
