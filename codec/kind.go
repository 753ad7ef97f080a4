package codec

// Kind names a service or a stream of the contract. The zero Kind is none.
type Kind uint8

// The kinds. Triples, GraphEmbeddings, DocumentEmbeddings and Rows are services
// and streams at once; the direction of a translation tells which is meant.
const (
	TextCompletion Kind = iota + 1
	Agent
	Prompt
	MCPTool
	GraphRAG
	DocumentRAG
	Embeddings
	GraphEmbeddings
	DocumentEmbeddings
	RowEmbeddings
	Triples
	Sparql
	Rows
	NLPQuery
	StructuredQuery
	StructuredDiag

	Config
	Flow
	IAM
	Librarian
	Knowledge
	CollectionManagement

	TextLoad
	DocumentLoad

	EntityContexts

	kindCount = int(EntityContexts) + 1
)

// trait is a set of facts about a kind.
type trait uint8

const (
	flowService   trait = 1 << iota // request/response, one per flow
	globalService                   // request/response, one per installation
	sender                          // fire and forget, one per flow
	imports                         // frames from clients to a flow
	exports                         // frames from a flow to clients
	streams                         // has a `streaming` member
)

// kindNames is what the kinds are called in URLs, envelopes and flow records.
var kindNames = [kindCount]struct {
	name   string
	traits trait
}{
	TextCompletion:       {"text-completion", flowService | streams},
	Agent:                {"agent", flowService | streams},
	Prompt:               {"prompt", flowService | streams},
	MCPTool:              {"mcp-tool", flowService},
	GraphRAG:             {"graph-rag", flowService | streams},
	DocumentRAG:          {"document-rag", flowService | streams},
	Embeddings:           {"embeddings", flowService},
	GraphEmbeddings:      {"graph-embeddings", flowService | imports | exports},
	DocumentEmbeddings:   {"document-embeddings", flowService | imports | exports},
	RowEmbeddings:        {"row-embeddings", flowService},
	Triples:              {"triples", flowService | imports | exports | streams},
	Sparql:               {"sparql", flowService | streams},
	Rows:                 {"rows", flowService | imports},
	NLPQuery:             {"nlp-query", flowService},
	StructuredQuery:      {"structured-query", flowService},
	StructuredDiag:       {"structured-diag", flowService},
	Config:               {"config", globalService},
	Flow:                 {"flow", globalService},
	IAM:                  {"iam", globalService},
	Librarian:            {"librarian", globalService},
	Knowledge:            {"knowledge", globalService},
	CollectionManagement: {"collection-management", globalService},
	TextLoad:             {"text-load", sender},
	DocumentLoad:         {"document-load", sender},
	EntityContexts:       {"entity-contexts", imports | exports},
}

var kindsByName = func() *keyset {
	names := make([]string, 0, kindCount-1)
	for _, k := range kindNames[1:] {
		names = append(names, k.name)
	}
	return newKeyset(names...)
}()

// ParseKind finds the kind with that exact name. It does not allocate.
func ParseKind[T ~string | ~[]byte](name T) (Kind, bool) {
	slot := slotOf(kindsByName, name)
	return Kind(slot + 1), slot >= 0
}

// Kinds returns every kind, in a slice of the caller's own.
func Kinds() []Kind {
	all := make([]Kind, 0, kindCount-1)
	for k := TextCompletion; int(k) < kindCount; k++ {
		all = append(all, k)
	}
	return all
}

// String is the kind's name in the contract, or "" for the zero Kind.
func (k Kind) String() string {
	if int(k) >= kindCount {
		return ""
	}
	return kindNames[k].name
}

func (k Kind) has(t trait) bool {
	return int(k) < kindCount && kindNames[k].traits&t != 0
}

// IsFlow reports whether k is a request/response service of a flow.
func (k Kind) IsFlow() bool { return k.has(flowService) }

// IsGlobal reports whether k is a request/response service outside flows. Only
// these carry `workspace` on the bus.
func (k Kind) IsGlobal() bool { return k.has(globalService) }

// IsSend reports whether k is fire and forget.
func (k Kind) IsSend() bool { return k.has(sender) }

// CanImport reports whether AppendImport knows k.
func (k Kind) CanImport() bool { return k.has(imports) }

// CanExport reports whether AppendExport knows k.
func (k Kind) CanExport() bool { return k.has(exports) }

// CanStream reports whether requests of k have a `streaming` member.
func (k Kind) CanStream() bool { return k.has(streams) }
