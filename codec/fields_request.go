package codec

// What clients send and the bus gets, kind by kind (codec.md sections 8, 9, 10).

// frontDoor are the members that the gateway decides on, of whatever kind.
var frontDoor = []string{
	"operation", "workspace", "actor", "user_id", "key_id", "key", "user", "workspace_record", "streaming",
}

func newRequest(fields ...field) *layout { return newLayout(fields, frontDoor...) }

// requestLayout is the layout of a kind's requests. Kinds without requests get
// one that knows the front door's members only.
func requestLayout(k Kind) *layout {
	if int(k) < kindCount {
		if l := requests[k]; l != nil {
			return l
		}
	}
	return frontDoorOnly
}

var frontDoorOnly = newRequest()

var requests = [kindCount]*layout{
	TextCompletion: newRequest(
		required("system"),
		required("prompt"),
		optional("streaming", no),
	),
	Agent: newRequest(
		required("question"),
		optional("state", nothing),
		optional("group", nothing),
		optional("history", emptyArray),
		optional("collection", theDefault),
		optional("streaming", no),
		optional("session_id", emptyText),
		optional("conversation_id", emptyText),
		optional("pattern", emptyText),
		optional("task_type", emptyText),
		optional("framing", emptyText),
		optional("correlation_id", emptyText),
		optional("parent_session_id", emptyText),
		optional("subagent_goal", emptyText),
		optional("expected_siblings", zero),
	),
	Prompt: prompt,
	MCPTool: newRequest(
		optional("name", emptyText),
		optional("parameters", nothing).as(jsonText),
	),
	GraphRAG: newRequest(
		required("query"),
		optional("collection", theDefault),
		optional("entity-limit", "50").to("entity_limit").as(integer),
		optional("triple-limit", "30").to("triple_limit").as(integer),
		optional("max-subgraph-size", "1000").to("max_subgraph_size").as(integer),
		optional("max-path-length", "2").to("max_path_length").as(integer),
		optional("edge-score-limit", "30").to("edge_score_limit").as(integer),
		optional("edge-limit", "25").to("edge_limit").as(integer),
		optional("streaming", no),
	).and(`"parent_uri":"",`),
	DocumentRAG: newRequest(
		required("query"),
		optional("collection", theDefault),
		optional("doc-limit", "20").to("doc_limit").as(integer),
		optional("streaming", no),
	),
	Embeddings:         newRequest(required("texts")),
	GraphEmbeddings:    nearest,
	DocumentEmbeddings: nearest,
	RowEmbeddings: newRequest(
		required("vector"),
		optional("limit", "10").as(integer),
		optional("collection", theDefault),
		optional("schema_name", emptyText),
		optional("index_name", nothing),
	),
	Triples: newRequest(
		optional("s", nothing).as(busTerm),
		optional("p", nothing).as(busTerm),
		optional("o", nothing).as(busTerm),
		optional("g", nothing),
		optional("limit", "10000").as(integer),
		optional("collection", theDefault),
		optional("streaming", no),
		optional("batch-size", "20").to("batch_size").as(integer),
	),
	Sparql: newRequest(
		optional("collection", theDefault),
		optional("query", emptyText),
		optional("limit", "10000").as(integer),
		optional("streaming", no),
		optional("batch-size", "20").to("batch_size").as(integer),
	),
	Rows: newRequest(
		optional("collection", theDefault),
		optional("query", emptyText),
		optional("variables", emptyMap),
		optional("operation_name", nothing),
	),
	NLPQuery: newRequest(
		optional("question", emptyText),
		optional("max_results", "100"),
	),
	StructuredQuery: newRequest(
		optional("question", emptyText),
		optional("collection", theDefault),
	),
	StructuredDiag: newRequest(
		required("operation"),
		required("sample"),
		optional("type", emptyText),
		optional("schema-name", emptyText).to("schema_name"),
		optional("options", emptyMap),
	),

	Config: newRequest(
		optional("keys", nothing).of(records, newLayout([]field{required("type"), required("key")})),
		optional("values", nothing).of(records, newLayout([]field{
			required("type"), required("key"), required("value"), optional("workspace", emptyText),
		})),
		optional("operation", nothing),
		optional("workspace", emptyText),
		optional("type", nothing),
	),
	Flow: newRequest(
		optional("operation", nothing),
		optional("workspace", emptyText),
		optional("blueprint-name", nothing).to("blueprint_name"),
		optional("blueprint-definition", nothing).to("blueprint_definition"),
		optional("description", nothing),
		optional("flow-id", nothing).to("flow_id"),
		optional("parameters", nothing),
	),
	IAM:       iamRequest,
	Librarian: librarianRequest,
	Knowledge: newRequest(
		optional("triples", nothing).of(record, newLayout([]field{
			required("metadata").of(record, blockMetadata), required("triples").as(busTriples),
		})),
		optional("graph-embeddings", nothing).to("graph_embeddings").of(record, newLayout([]field{
			required("metadata").of(record, blockMetadata), required("entities").of(records, busEntity),
		})),
		optional("operation", nothing),
		optional("workspace", emptyText),
		optional("id", nothing),
		optional("flow", nothing),
		optional("collection", nothing),
	),
	CollectionManagement: newRequest(
		optional("operation", nothing),
		optional("workspace", emptyText),
		optional("collection", nothing),
		optional("timestamp", nothing),
		optional("name", nothing),
		optional("description", nothing),
		optional("tags", nothing),
		optional("tag_filter", nothing),
		optional("limit", nothing),
	),

	TextLoad:     textLoad,
	DocumentLoad: documentLoad,
}

// nearest asks for the neighbours of a vector.
var nearest = newRequest(
	required("vector"),
	optional("limit", "10").as(integer),
	optional("collection", theDefault),
)

// A prompt's variables replace its terms as a whole.
var (
	prompt = newLayout([]field{
		optional("id", nothing),
		optional("terms", emptyMap),
		optional("streaming", no),
	}, append([]string{"variables"}, frontDoor...)...)

	promptVariables = prompt.with(
		optional("id", nothing),
		required("variables").to("terms").as(jsonTexts),
		optional("streaming", no),
	)
)

// Loads have the members of their metadata in the same slots.
var (
	loadFields = []field{
		optional("id", nothing),
		optional("root", emptyText),
		optional("collection", theDefault),
	}
	textLoad     = newLayout(loadFields, append([]string{"text", "charset"}, frontDoor...)...)
	documentLoad = newLayout(loadFields, append([]string{"data"}, frontDoor...)...)
	loadMetadata = textLoad.with(loadFields...)
)

var iamRequest = newRequest(
	optional("operation", emptyText),
	optional("workspace", emptyText),
	optional("actor", emptyText),
	optional("user_id", emptyText),
	optional("username", emptyText),
	optional("key_id", emptyText),
	optional("api_key", emptyText),
	optional("password", emptyText),
	optional("new_password", emptyText),
	optional("user", nothing).of(recordOrNull, newLayout([]field{
		optional("username", emptyText),
		optional("name", emptyText),
		optional("email", emptyText),
		optional("password", emptyText),
		optional("roles", emptyArray).as(list),
		optional("enabled", yes),
		optional("must_change_password", no),
	})),
	optional("workspace_record", nothing).of(recordOrNull, newLayout([]field{
		optional("id", emptyText), optional("name", emptyText), optional("enabled", yes),
	})),
	optional("key", nothing).of(recordOrNull, newLayout([]field{
		optional("user_id", emptyText), optional("name", emptyText), optional("expires", emptyText),
	})),
)

var librarianRequest = newRequest(
	optional("content", nothing).as(base64Content),
	optional("document-metadata", nothing).to("document_metadata").of(record, busDocument),
	optional("processing-metadata", nothing).to("processing_metadata").of(record, busProcessing),
	optional("criteria", emptyArray).of(records, newLayout([]field{
		required("key"), required("value"), required("operator"),
	})),
	optional("operation", nothing),
	optional("document-id", emptyText).to("document_id"),
	optional("processing-id", emptyText).to("processing_id"),
	optional("workspace", emptyText),
	optional("collection", emptyText),
	optional("total-size", zero).to("total_size"),
	optional("chunk-size", zero).to("chunk_size"),
	optional("upload-id", emptyText).to("upload_id"),
	optional("chunk-index", zero).to("chunk_index"),
	optional("include-children", no).to("include_children"),
)
