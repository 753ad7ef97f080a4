package auth

// role is one line of the role table: what it may do, and where.
type role struct {
	name string
	can  capabilities
	// everywhere is the scope "*": any workspace, existing or not. Without it
	// the role counts in the identity's own workspace only.
	everywhere bool
}

const (
	readerCan = capabilities(1<<capAgent | 1<<capGraphRead | 1<<capDocumentsRead | 1<<capRowsRead |
		1<<capLLM | 1<<capEmbeddings | 1<<capMCP | 1<<capConfigRead | 1<<capFlowsRead |
		1<<capCollectionsRead | 1<<capKnowledgeRead | 1<<capKeysSelf)
	writerCan = readerCan | 1<<capGraphWrite | 1<<capDocumentsWrite | 1<<capRowsWrite |
		1<<capCollectionsWrite | 1<<capKnowledgeWrite
)

// roles is the table of iam.md 9.1. Other names grant nothing.
var roles = []role{
	{name: "reader", can: readerCan},
	{name: "writer", can: writerCan},
	{name: "admin", can: allCapabilities, everywhere: true},
}

// grants is what a list of roles amounts to. Keeping the two scopes apart is what
// makes one role answer for capability and workspace together (G14).
type grants struct {
	assigned capabilities // in the identity's own workspace
	wide     capabilities // in every workspace
}

func grantsOf(table []role, names []string) grants {
	var g grants
	for _, name := range names {
		for i := range table {
			if table[i].name != name {
				continue
			}
			g.assigned |= table[i].can
			if table[i].everywhere {
				g.wide |= table[i].can
			}
		}
	}
	return g
}

// Check decides one capability for a list of roles, as `sluice can` does. An
// empty target means the assigned workspace; a capability outside the closed set
// is denied, the contract's sentinels included.
func Check(roleNames []string, assigned, capability, target string) bool {
	c, known := ParseCapability(capability)
	if !known {
		return false
	}
	id := NewIdentity("", assigned, roleNames)
	return id.Allows(c, Target{Name: target})
}
