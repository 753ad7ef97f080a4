package codec

// Layouts that several kinds share. Names and defaults are the contract's.

const (
	nothing      = "null"
	emptyText    = `""`
	emptyArray   = "[]"
	emptyMap     = "{}"
	no           = "false"
	yes          = "true"
	zero         = "0"
	theDefault   = `"default"`
	zeroFraction = "0.0"
)

var (
	// blockMetadata is the metadata of knowledge blocks and imported triples.
	blockMetadata = newLayout([]field{required("id"), optional("root", emptyText), required("collection")})

	// apiMetadata is bus metadata on its way to clients.
	apiMetadata = newLayout([]field{
		optional("id", emptyText), optional("root", emptyText), optional("collection", emptyText),
	})

	// noChunk is the member that entities always get: theirs is dropped.
	noChunk = `"chunk_id":"",`

	busEntity = newLayout([]field{required("entity").as(busTerm), required("vector")}).and(noChunk)

	apiEntity = newLayout([]field{optional("vector", emptyArray), entityTerm})

	// entityTerm is the entity of an item: without one the item cannot be shown.
	entityTerm = required("entity").as(apiTerm)

	busDocument = newLayout([]field{
		optional("metadata", emptyArray).as(busTriplesOr),
		optional("id", nothing),
		optional("time", nothing),
		optional("kind", nothing),
		optional("title", nothing),
		optional("comments", nothing),
		optional("workspace", nothing),
		optional("tags", nothing),
		optional("parent-id", emptyText).to("parent_id"),
		optional("document-type", `"source"`).to("document_type"),
	})

	apiDocument = newLayout([]field{
		present("id"),
		present("time"),
		present("kind"),
		present("title"),
		present("comments"),
		set("metadata", emptyArray).as(apiTriples),
		present("workspace"),
		set("tags", emptyArray),
		present("parent_id").to("parent-id"),
		presentOr("document_type", `"source"`).to("document-type"),
	})

	busProcessing = newLayout([]field{
		optional("id", nothing),
		optional("document-id", nothing).to("document_id"),
		optional("time", nothing),
		optional("flow", nothing),
		optional("workspace", nothing),
		optional("collection", nothing),
		optional("tags", nothing),
	})

	apiProcessing = newLayout([]field{
		present("id"),
		present("document_id").to("document-id"),
		present("time"),
		present("flow"),
		present("workspace"),
		present("collection"),
		set("tags", emptyArray),
	})
)
