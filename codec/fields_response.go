package codec

// What services answer and clients get, kind by kind (codec.md sections 8 and 9).

// answer describes the responses of a kind.
type answer struct {
	*layout
	error int // slot of `error`
	final int // slot of the member that ends the exchange, or finalAlways
	// openEnded says that an absent final member means: not the end.
	openEnded bool
	// nullError says that nothing but null stands for "no error".
	nullError bool
	// nested says that a present, truthy member can make the translation fail.
	nested bool
}

const finalAlways = -1

// last describes a kind that answers once.
func last(fields ...field) *answer { return named("", fields) }

// until describes a kind whose exchange ends with the first answer in which the
// member is truthy, as it is when absent.
func until(member string, fields ...field) *answer { return named(member, fields) }

// untilSet is until for a member that is false when absent.
func untilSet(member string, fields ...field) *answer {
	a := named(member, fields)
	a.openEnded = true
	return a
}

func named(final string, fields []field, extra ...string) *answer {
	extra = append(extra, "error")
	if final != "" {
		extra = append(extra, final)
	}
	a := &answer{layout: newLayout(fields, extra...), final: finalAlways}
	a.error = a.slot("error")
	if final != "" {
		a.final = a.slot(final)
	}
	for _, f := range fields {
		a.nested = a.nested || f.shape != copied
	}
	return a
}

// strict marks a kind that chokes on an error that is false but not null.
func (a *answer) strict() *answer {
	a.nullError = true
	return a
}

// presentOr is present for a member whose default is truthy.
func presentOr(name, absent string) field {
	f := present(name)
	f.absent = absent
	return f
}

var answers = [kindCount]*answer{
	TextCompletion: untilSet("end_of_stream",
		optional("response", emptyText),
		set("in_token", ""),
		set("out_token", ""),
		set("model", ""),
		optional("end_of_stream", no),
	),
	Agent: untilSet("end_of_dialog",
		present("message_type"),
		present("content"),
		optional("end_of_message", no),
		optional("end_of_dialog", no),
		present("message_id"),
		present("explain_id"),
		set("explain_graph", ""),
		present("explain_triples").as(apiTriples),
		set("in_token", ""),
		set("out_token", ""),
		set("model", ""),
	),
	Prompt: untilSet("end_of_stream",
		set("text", emptyText),
		set("object", emptyText),
		optional("end_of_stream", no),
		set("in_token", ""),
		set("out_token", ""),
		set("model", ""),
	),
	MCPTool: last(
		present("text"),
		present("object").as(parsedText),
	),
	GraphRAG:    ragAnswer,
	DocumentRAG: ragAnswer,
	Embeddings:  last(optional("vectors", emptyArray)),
	GraphEmbeddings: last(
		set("entities", emptyArray).of(records, newLayout([]field{entityTerm, optional("score", zeroFraction)})),
	),
	DocumentEmbeddings: last(
		set("chunks", emptyArray).of(records, newLayout([]field{
			optional("chunk_id", emptyText), optional("score", zeroFraction),
		})),
	),
	RowEmbeddings: last(
		set("matches", emptyArray).of(records, newLayout([]field{
			optional("index_name", emptyText),
			optional("index_value", emptyArray),
			optional("text", emptyText),
			optional("score", zeroFraction),
		})),
	).strict(),
	Triples: until("is_final", optional("triples", emptyArray).to("response").as(apiTriples)),
	Sparql:  sparql,
	Rows: last(
		optional("data", nothing).as(parsedData),
		present("errors").of(records, newLayout([]field{
			optional("message", emptyText),
			present("path").as(list),
			present("extensions").as(mapping),
		})),
		present("extensions").as(mapping),
	),
	NLPQuery: last(
		optional("graphql_query", emptyText),
		optional("variables", emptyMap).as(mappingOr),
		optional("detected_schemas", emptyArray).as(listOr),
		optional("confidence", zeroFraction),
	),
	StructuredQuery: last(
		optional("data", nothing).as(parsedData),
		optional("errors", emptyArray).as(listOr),
	),
	StructuredDiag: structuredDiag,

	Config: last(
		set("version", zero),
		set("values", emptyArray).of(records, newLayout([]field{
			optional("type", emptyText),
			optional("key", emptyText),
			optional("value", emptyText),
			present("workspace"),
		})),
		set("directory", emptyArray),
		set("config", emptyMap),
	),
	Flow: last(
		set("blueprint_names", emptyArray).to("blueprint-names"),
		set("flow_ids", emptyArray).to("flow-ids"),
		set("blueprint_definition", emptyText).to("blueprint-definition"),
		set("flow", emptyText),
		set("description", emptyText),
		set("parameters", emptyMap),
	),
	IAM:       iamAnswer,
	Librarian: librarianAnswer,
	Knowledge: knowledge,
	CollectionManagement: last(
		set("timestamp", emptyText),
		set("collections", emptyArray).of(records, newLayout([]field{
			optional("collection", emptyText),
			optional("name", emptyText),
			optional("description", emptyText),
			optional("tags", emptyArray).as(listOr),
		})),
	).strict(),
}

var ragAnswer = untilSet("end_of_session",
	present("message_type"),
	set("response", emptyText),
	present("explain_id"),
	set("explain_graph", ""),
	present("explain_triples").as(apiTriples),
	optional("end_of_stream", no),
	optional("end_of_session", no),
	set("in_token", ""),
	set("out_token", ""),
	set("model", ""),
)

var iamUser = newLayout([]field{
	optional("id", emptyText),
	optional("workspace", emptyText),
	optional("username", emptyText),
	optional("name", emptyText),
	optional("email", emptyText),
	optional("roles", emptyArray).as(list),
	optional("enabled", yes),
	optional("must_change_password", no),
	optional("created", emptyText),
})

var iamWorkspace = newLayout([]field{
	optional("id", emptyText),
	optional("name", emptyText),
	optional("enabled", yes),
	optional("created", emptyText),
})

var iamKey = newLayout([]field{
	optional("id", emptyText),
	optional("user_id", emptyText),
	optional("name", emptyText),
	optional("prefix", emptyText),
	optional("expires", emptyText),
	optional("created", emptyText),
	optional("last_used", emptyText),
})

var iamAnswer = last(
	set("user", "").of(record, iamUser),
	present("users").of(nullable, iamUser),
	set("workspace", "").of(record, iamWorkspace),
	present("workspaces").of(nullable, iamWorkspace),
	present("api_key_plaintext"),
	set("api_key", "").of(record, iamKey),
	present("api_keys").of(nullable, iamKey),
	present("jwt"),
	present("jwt_expires"),
	present("signing_key_public"),
	present("resolved_user_id"),
	present("resolved_workspace"),
	present("resolved_roles").as(list),
	present("temporary_password"),
	present("bootstrap_admin_user_id"),
	present("bootstrap_admin_api_key"),
)

var librarianAnswer = until("is_final",
	present("document_metadata").to("document-metadata").of(record, apiDocument),
	present("content"),
	set("document_metadatas", emptyArray).to("document-metadatas").of(records, apiDocument),
	set("processing_metadatas", emptyArray).to("processing-metadatas").of(records, apiProcessing),
	present("upload_id").to("upload-id"),
	present("chunk_size").to("chunk-size"),
	present("total_chunks").to("total-chunks"),
	present("chunk_index").to("chunk-index"),
	present("chunks_received").to("chunks-received"),
	present("bytes_received").to("bytes-received"),
	present("total_bytes").to("total-bytes"),
	present("document_id").to("document-id"),
	present("object_id").to("object-id"),
	present("upload_state").to("upload-state"),
	present("received_chunks").to("received-chunks"),
	present("missing_chunks").to("missing-chunks"),
	present("upload_sessions").to("upload-sessions").of(records, uploadSession),
)

var uploadSession = newLayout([]field{
	optional("upload_id", emptyText).to("upload-id"),
	optional("document_id", emptyText).to("document-id"),
	optional("document_metadata_json", emptyText).to("document-metadata-json"),
	optional("total_size", zero).to("total-size"),
	optional("chunk_size", zero).to("chunk-size"),
	optional("total_chunks", zero).to("total-chunks"),
	optional("chunks_received", zero).to("chunks-received"),
	optional("created_at", emptyText).to("created-at"),
})
