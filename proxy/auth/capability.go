package auth

// Capability is one of the 26 permissions of the contract (iam.md 9.1). The set
// is closed: there is no way to name another one.
type Capability uint8

// The order is that of the table in the contract; nothing depends on it.
const (
	capAgent Capability = iota
	capGraphRead
	capGraphWrite
	capDocumentsRead
	capDocumentsWrite
	capRowsRead
	capRowsWrite
	capLLM
	capEmbeddings
	capMCP
	capConfigRead
	capConfigWrite
	capFlowsRead
	capFlowsWrite
	capCollectionsRead
	capCollectionsWrite
	capKnowledgeRead
	capKnowledgeWrite
	capUsersRead
	capUsersWrite
	capUsersAdmin
	capKeysSelf
	capKeysAdmin
	capWorkspacesAdmin
	capIAMAdmin
	capMetricsRead
	capabilityCount
)

var capabilityNames = [capabilityCount]string{
	capAgent:            "agent",
	capGraphRead:        "graph:read",
	capGraphWrite:       "graph:write",
	capDocumentsRead:    "documents:read",
	capDocumentsWrite:   "documents:write",
	capRowsRead:         "rows:read",
	capRowsWrite:        "rows:write",
	capLLM:              "llm",
	capEmbeddings:       "embeddings",
	capMCP:              "mcp",
	capConfigRead:       "config:read",
	capConfigWrite:      "config:write",
	capFlowsRead:        "flows:read",
	capFlowsWrite:       "flows:write",
	capCollectionsRead:  "collections:read",
	capCollectionsWrite: "collections:write",
	capKnowledgeRead:    "knowledge:read",
	capKnowledgeWrite:   "knowledge:write",
	capUsersRead:        "users:read",
	capUsersWrite:       "users:write",
	capUsersAdmin:       "users:admin",
	capKeysSelf:         "keys:self",
	capKeysAdmin:        "keys:admin",
	capWorkspacesAdmin:  "workspaces:admin",
	capIAMAdmin:         "iam:admin",
	capMetricsRead:      "metrics:read",
}

// ParseCapability finds a capability by its exact, case-sensitive name.
func ParseCapability(name string) (Capability, bool) {
	for c, known := range capabilityNames {
		if known == name {
			return Capability(c), true
		}
	}
	return 0, false
}

// String returns the name of the contract, e.g. "graph:read".
func (c Capability) String() string {
	if c >= capabilityCount {
		return "unknown"
	}
	return capabilityNames[c]
}

// capabilities is a set of them, one bit each.
type capabilities uint32

const allCapabilities capabilities = 1<<capabilityCount - 1

func setOf(list ...Capability) capabilities {
	var s capabilities
	for _, c := range list {
		s |= 1 << c
	}
	return s
}

// has is false for anything outside the closed set: no such bit is ever set.
func (s capabilities) has(c Capability) bool { return s&(1<<c) != 0 }
