package codec

// shape says how a present value is read and written. The first is the one for
// almost everything: nothing validates, values pass as they are.
type shape uint8

const (
	copied shape = iota

	// Both directions.
	record   // object, under the field's layout
	records  // list of objects, each under the field's layout
	list     // any list; "" and {} are empty ones
	mapping  // any object; "" and [] are empty ones
	nullable // records, with null elements kept

	listOr    // list, or what is false is an empty one
	mappingOr // mapping, or what is false is an empty one

	// Client to bus.
	recordOrNull  // object or null
	integer       // number, or text of one
	busTerm       // term, in the client's short form
	busTriples    // list of triples in the client's form
	busTriplesOr  // the same, null is the empty list
	wrapped       // list; anything else becomes a list of one
	jsonText      // any value, as JSON text in a string
	jsonTexts     // object, each value as JSON text in a string
	base64Content // base64 in a string, made canonical; other characters are skipped
	base64ASCII   // the same, but only ASCII characters are skipped

	// Bus to client.
	apiTerm     // term, in the bus's long form
	apiTriples  // list of triples
	looseTerms  // list of terms or nulls that lose quoted triples
	parsedText  // JSON text in a string, as the value it spells
	parsedData  // the same, or null when false, or the text when it is not JSON
	parsedLoose // the same as parsedText, or the value when that fails
)

// append writes a present value according to the field's shape.
func (f *field) append(dst, raw []byte) ([]byte, *Error) {
	switch f.shape {
	case record:
		return f.sub.appendNested(dst, raw)
	case recordOrNull:
		if isNone(raw) {
			return append(dst, raw...), nil
		}
		return f.sub.appendNested(dst, raw)
	case records, nullable:
		return appendRecords(dst, raw, f.sub, f.shape == nullable)
	case list, listOr:
		return appendList(dst, raw, f.shape == listOr)
	case mapping, mappingOr:
		return appendMapping(dst, raw, f.shape == mappingOr)
	case integer:
		return appendInteger(dst, raw)
	case wrapped:
		return appendWrapped(dst, raw)
	case busTerm:
		return appendRawTerm(dst, raw, busForm)
	case busTriplesOr:
		if isNone(raw) {
			return append(dst, "[]"...), nil
		}
		return appendTriples(dst, raw, busForm)
	case busTriples:
		return appendTriples(dst, raw, busForm)
	case apiTerm:
		return appendRawTerm(dst, raw, apiForm)
	case apiTriples:
		return appendTriples(dst, raw, apiForm)
	case looseTerms:
		return appendLooseTerms(dst, raw)
	case jsonText, jsonTexts, base64Content, base64ASCII, parsedText, parsedData, parsedLoose:
		return f.appendText(dst, raw)
	}
	return append(dst, raw...), nil
}

// appendText is append for texts inside strings.
func (f *field) appendText(dst, raw []byte) ([]byte, *Error) {
	switch f.shape {
	case jsonText:
		return appendDumpText(dst, raw), nil
	case jsonTexts:
		return appendDumpTexts(dst, raw)
	case base64Content:
		return appendBase64(dst, raw, true)
	case base64ASCII:
		return appendBase64(dst, raw, false)
	case parsedText:
		return appendParsed(dst, raw)
	case parsedData:
		return appendParsedData(dst, raw)
	}
	return appendParsedLoose(dst, raw)
}
