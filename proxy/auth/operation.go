package auth

import "sluice/codec"

// Surface is the kind of entrance through which an operation is asked for.
type Surface uint8

// The surfaces. HTTP and Socket lead to the same services and demand the same;
// the others move streams and demand one capability each.
const (
	HTTP           Surface = iota // POST of a service call
	Socket                        // a frame of /api/v1/socket
	Import                        // …/import/{kind}
	Export                        // …/export/{kind}
	CoreImport                    // POST /api/v1/import-core
	CoreExport                    // GET /api/v1/export-core
	DocumentStream                // GET /api/v1/document-stream
	Metrics                       // GET /api/metrics/…
)

// Access is what somebody asks to do, without the workspace. It borrows the
// request's memory and is good as long as that.
type Access struct {
	Surface Surface
	// Kind is not looked at for the surfaces behind Export.
	Kind codec.Kind
	// Operation is the text of the member `operation`; HasOperation is false
	// when that is absent or no string. Kinds without operations ignore both.
	Operation    []byte
	HasOperation bool

	// Facts of an IAM request; nil and false for other kinds.

	// UserID is the user it is about: `key.user_id` for create-api-key, else
	// `user_id`. Nil when that is absent or no string.
	UserID []byte
	// KeyID is `key_id`, the key that revoke-api-key is about.
	KeyID []byte
	// SetsRoles is set when `user` has a member `roles`, whatever its value.
	SetsRoles bool
}

// requirement is what one operation demands: a capability in the target
// workspace, unless it is about the caller's own belongings.
type requirement struct {
	needs Capability
	// everywhere demands it from a role of scope "*", for operations whose
	// effect no workspace contains.
	everywhere bool
	own        ownership
	// guardsRoles raises the demand to users:admin when roles are set.
	guardsRoles bool
}

// ownership says what callers may do to what is theirs, without needs.
type ownership uint8

const (
	nothingOwn  ownership = iota
	ownUser               // with keys:self, when UserID is the caller's
	ownKey                // with keys:self, when KeyID is in the caller's list of keys
	ownPassword           // with any identity, when UserID is the caller's
	ownIdentity           // with any identity: it concerns the caller, whatever it says
)

// service is what the operations of one kind demand. Operations that are not
// listed, unknown and missing ones and those that are no strings, demand others.
type service struct {
	listed map[string]requirement
	others requirement
}

func (s *service) requirement(a *Access) requirement {
	if a.HasOperation {
		if r, found := s.listed[string(a.Operation)]; found {
			return r
		}
	}
	return s.others
}

// single is a kind that demands the same for whatever is in the body.
func single(c Capability) *service { return &service{others: requirement{needs: c}} }

// readWrite is a kind whose listed operations read and whose others write.
func readWrite(read, write Capability, reads ...string) *service {
	s := &service{listed: make(map[string]requirement), others: requirement{needs: write}}
	for _, operation := range reads {
		s.listed[operation] = requirement{needs: read}
	}
	return s
}

// services is the registry for HTTP and Socket (gateway.md 5.2 and 18.5).
var services = map[codec.Kind]*service{
	codec.Agent:              single(capAgent),
	codec.TextCompletion:     single(capLLM),
	codec.Prompt:             single(capLLM),
	codec.MCPTool:            single(capMCP),
	codec.GraphRAG:           single(capGraphRead),
	codec.GraphEmbeddings:    single(capGraphRead),
	codec.Triples:            single(capGraphRead),
	codec.Sparql:             single(capGraphRead),
	codec.DocumentRAG:        single(capDocumentsRead),
	codec.DocumentEmbeddings: single(capDocumentsRead),
	codec.Embeddings:         single(capEmbeddings),
	codec.RowEmbeddings:      single(capRowsRead),
	codec.Rows:               single(capRowsRead),
	codec.NLPQuery:           single(capRowsRead),
	codec.StructuredQuery:    single(capRowsRead),
	codec.StructuredDiag:     single(capRowsRead),
	codec.TextLoad:           single(capDocumentsWrite),
	codec.DocumentLoad:       single(capDocumentsWrite),

	codec.Config: configService(),
	codec.Flow: readWrite(capFlowsRead, capFlowsWrite,
		"list-blueprints", "get-blueprint", "list-flows", "get-flow"),
	codec.Librarian: readWrite(capDocumentsRead, capDocumentsWrite,
		"get-document-metadata", "get-document-content", "stream-document", "list-documents",
		"list-children", "list-processing", "get-upload-status", "list-uploads"),
	codec.Knowledge: readWrite(capKnowledgeRead, capKnowledgeWrite,
		"list-kg-cores", "get-kg-core"),
	codec.CollectionManagement: readWrite(capCollectionsRead, capCollectionsWrite,
		"list-collections"),
	codec.IAM: iamService(),
}

func configService() *service {
	s := readWrite(capConfigRead, capConfigWrite, "get", "list", "getvalues", "config")
	s.listed["getvalues-all-ws"] = requirement{needs: capConfigRead, everywhere: true}
	return s
}

// iamService is iam.md D17 as the project has decided it. What concerns all
// workspaces at once is demanded everywhere, and so is changing somebody else's
// password, because IAM does not look at the workspace there.
func iamService() *service {
	usersAdmin := requirement{needs: capUsersAdmin}
	workspacesAdmin := requirement{needs: capWorkspacesAdmin, everywhere: true}
	return &service{
		listed: map[string]requirement{
			"list-users":      {needs: capUsersRead},
			"get-user":        {needs: capUsersRead},
			"update-user":     {needs: capUsersWrite, guardsRoles: true},
			"create-user":     usersAdmin,
			"disable-user":    usersAdmin,
			"enable-user":     usersAdmin,
			"delete-user":     usersAdmin,
			"reset-password":  usersAdmin,
			"change-password": {needs: capUsersAdmin, everywhere: true, own: ownPassword},

			"create-api-key": {needs: capKeysAdmin, own: ownUser},
			"list-api-keys":  {needs: capKeysAdmin, own: ownUser},
			"revoke-api-key": {needs: capKeysAdmin, own: ownKey},

			"create-workspace":  workspacesAdmin,
			"list-workspaces":   workspacesAdmin,
			"get-workspace":     workspacesAdmin,
			"update-workspace":  workspacesAdmin,
			"disable-workspace": workspacesAdmin,

			"list-my-workspaces": {needs: capWorkspacesAdmin, everywhere: true, own: ownIdentity},
		},
		// rotate-signing-key, get-signing-key-public, resolve-api-key,
		// bootstrap, login, and whatever is unknown.
		others: requirement{needs: capIAMAdmin, everywhere: true},
	}
}

// imports and exports are the stream kinds (gateway.md 5.3).
var (
	imports = map[codec.Kind]requirement{
		codec.Triples:            {needs: capGraphWrite},
		codec.GraphEmbeddings:    {needs: capGraphWrite},
		codec.DocumentEmbeddings: {needs: capDocumentsWrite},
		codec.EntityContexts:     {needs: capDocumentsWrite},
		codec.Rows:               {needs: capRowsWrite},
	}
	exports = map[codec.Kind]requirement{
		codec.Triples:            {needs: capGraphRead},
		codec.GraphEmbeddings:    {needs: capGraphRead},
		codec.DocumentEmbeddings: {needs: capDocumentsRead},
		codec.EntityContexts:     {needs: capDocumentsRead},
	}
	otherSurfaces = map[Surface]requirement{
		CoreImport:     {needs: capUsersAdmin},
		CoreExport:     {needs: capUsersAdmin},
		DocumentStream: {needs: capDocumentsRead},
		Metrics:        {needs: capMetricsRead},
	}
)

// requirementOf finds what an access demands; false when there is no such thing
// to be had on that surface.
func requirementOf(a *Access) (requirement, bool) {
	switch a.Surface {
	case HTTP, Socket:
		s := services[a.Kind]
		if s == nil {
			return requirement{}, false
		}
		return s.requirement(a), true
	case Import:
		r, found := imports[a.Kind]
		return r, found
	case Export:
		r, found := exports[a.Kind]
		return r, found
	}
	r, found := otherSurfaces[a.Surface]
	return r, found
}
