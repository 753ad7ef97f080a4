package codec

// Frames of import and export streams (codec.md section 11). Their kinds share
// names with services; the shapes are others.

// importMetadata is the metadata of frames whose root is dropped.
var importMetadata = newLayout([]field{required("id"), required("collection")}).and(`"root":"",`)

var frames = [kindCount]*layout{
	Triples: newLayout([]field{
		required("metadata").of(record, blockMetadata),
		required("triples").as(busTriples),
	}),
	GraphEmbeddings: newLayout([]field{
		required("metadata").of(record, importMetadata),
		required("entities").of(records, busEntity),
	}),
	EntityContexts: newLayout([]field{
		required("metadata").of(record, importMetadata),
		required("entities").of(records,
			newLayout([]field{required("entity").as(busTerm), required("context")}).and(noChunk)),
	}),
	DocumentEmbeddings: newLayout([]field{
		optional("metadata", `{"id":null,"root":"","collection":"default"}`).of(record, newLayout([]field{
			optional("id", nothing), optional("root", emptyText), optional("collection", theDefault),
		})),
		optional("chunks", emptyArray).of(records, newLayout([]field{required("chunk_id"), required("vector")})),
	}),
	Rows: newLayout([]field{
		required("values").as(wrapped),
		required("metadata").of(record, importMetadata),
		required("schema_name"),
		optional("confidence", "1.0"),
		optional("source_span", emptyText),
	}),
}

var exported = [kindCount]*layout{
	Triples: newLayout([]field{
		required("metadata").of(record, apiMetadata),
		optional("triples", emptyArray).as(apiTriples),
	}),
	GraphEmbeddings: newLayout([]field{
		required("metadata").of(record, apiMetadata),
		optional("entities", emptyArray).of(records, apiEntity),
	}),
	EntityContexts: newLayout([]field{
		required("metadata").of(record, apiMetadata),
		optional("entities", emptyArray).of(records, newLayout([]field{optional("context", emptyText), entityTerm})),
	}),
	DocumentEmbeddings: newLayout([]field{
		required("metadata").of(record, apiMetadata),
		optional("chunks", emptyArray).of(records, newLayout([]field{
			optional("vector", emptyArray), optional("chunk_id", emptyText),
		})),
	}),
}

// AppendImport appends the bus message of one frame that a client sent on an
// import stream. The error is a *SyntaxError or an *Error; then dst comes back as
// it was.
func AppendImport(dst []byte, k Kind, frame []byte) ([]byte, error) {
	if !k.CanImport() {
		return dst, wrong("this kind cannot be imported")
	}
	return appendFrame(dst, frames[k], frame)
}

// AppendExport appends the frame for clients of one bus message on an export
// stream. The error is a *SyntaxError or an *Error; then dst comes back as it was.
func AppendExport(dst []byte, k Kind, msg []byte) ([]byte, error) {
	if !k.CanExport() {
		return dst, wrong("this kind cannot be exported")
	}
	return appendFrame(dst, exported[k], msg)
}

func appendFrame(dst []byte, l *layout, text []byte) ([]byte, error) {
	var m members
	object, err := l.keys.scanMembers(text, m[:])
	if err != nil {
		return dst, err
	}
	if !object {
		return dst, wrong("the frame must be a JSON object")
	}
	out, problem := l.append(dst, m[:])
	if problem != nil {
		return dst, problem
	}
	return out, nil
}
