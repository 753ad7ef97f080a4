package codec

// Responses whose members depend on what the others say.

// various describes a kind that has further layouts for the same names.
func various(final string, fields []field, names ...string) *answer {
	a := named(final, fields, names...)
	a.nested = true
	return a
}

// Knowledge answers carry one thing each, and these are the layouts of them. The
// first of the names that counts decides.
var (
	knowledge      = various("", nil, "ids", "triples", "graph_embeddings", "eos")
	knowledgeIDs   = knowledge.with(optional("ids", emptyArray))
	knowledgeEOS   = knowledge.with(optional("eos", nothing))
	knowledgeEmpty = knowledge.with()

	knowledgeTriples = knowledge.with(optional("triples", nothing).of(record, newLayout([]field{
		required("metadata").of(record, apiMetadata), optional("triples", emptyArray).as(apiTriples),
	})))
	knowledgeEmbeddings = knowledge.with(optional("graph_embeddings", nothing).to("graph-embeddings").of(record,
		newLayout([]field{
			required("metadata").of(record, apiMetadata), optional("entities", emptyArray).of(records, apiEntity),
		})))
)

// knowledgeLayout chooses by the contract's order. Absent `ids` are an empty list,
// so only a null lets a message say anything else.
func knowledgeLayout(m [][]byte) *layout {
	slots := &knowledgeSlots
	switch {
	case m[slots.ids] == nil || !isNone(m[slots.ids]):
		return knowledgeIDs
	case recordThere(m[slots.triples]):
		return knowledgeTriples
	case recordThere(m[slots.embeddings]):
		return knowledgeEmbeddings
	case string(m[slots.eos]) == yes:
		return knowledgeEOS
	}
	return knowledgeEmpty
}

// knowledgeFinal reports whether a knowledge message ends the exchange: unlike the
// layout it looks at `eos` even when there are triples.
func knowledgeFinal(m [][]byte) bool {
	slots := &knowledgeSlots
	return m[slots.ids] == nil || !isNone(m[slots.ids]) || string(m[slots.eos]) == yes ||
		!recordThere(m[slots.triples]) && !recordThere(m[slots.embeddings])
}

var knowledgeSlots = struct{ ids, triples, embeddings, eos int }{
	knowledge.slot("ids"), knowledge.slot("triples"), knowledge.slot("graph_embeddings"), knowledge.slot("eos"),
}

// recordThere reports whether a member that holds a record counts as true.
func recordThere(raw []byte) bool { return raw != nil && (raw[0] == '{' || truthy(raw)) }

// SPARQL answers differ by query type.
var (
	sparqlType = optional("query_type", emptyText).to("query-type")

	sparql = various("is_final", []field{sparqlType}, "variables", "bindings", "ask_result", "triples")

	sparqlSelect = sparql.with(sparqlType,
		optional("variables", emptyArray),
		optional("bindings", emptyArray).of(records, newLayout([]field{optional("values", emptyArray).as(looseTerms)})),
	)
	sparqlAsk       = sparql.with(sparqlType, optional("ask_result", no).to("ask-result"))
	sparqlConstruct = sparql.with(sparqlType, optional("triples", emptyArray).as(apiTriples))
	sparqlTypeSlot  = sparql.slot("query_type")
)

func sparqlLayout(m [][]byte) *layout {
	switch typ := m[sparqlTypeSlot]; {
	case isText(typ, "select"):
		return sparqlSelect
	case isText(typ, "ask"):
		return sparqlAsk
	case isText(typ, "construct"), isText(typ, "describe"):
		return sparqlConstruct
	}
	return sparql.layout
}

// Structured-diag answers always show the matches of a schema selection.
var (
	structuredDiag  = last(append(diagFields, present("schema_matches").to("schema-matches"))...)
	schemaSelection = structuredDiag.with(append(diagFields, optional("schema_matches", emptyArray).to("schema-matches"))...)

	diagFields = []field{
		optional("operation", emptyText),
		present("detected_type").to("detected-type"),
		set("confidence", zeroFraction),
		present("descriptor").as(parsedLoose),
		present("metadata"),
	}
)
