package auth

import "time"

// Source says which kind of credential an identity came from.
type Source uint8

// The two kinds of credential.
const (
	JWT Source = iota
	APIKey
)

// String returns the name of the contract: "jwt" or "api-key".
func (s Source) String() string {
	if s == APIKey {
		return "api-key"
	}
	return "jwt"
}

// Identity is who a token stands for. It is immutable and shared by all requests
// that carry the same token.
type Identity struct {
	UserID    string
	Workspace string
	Roles     []string
	Source    Source
	// Expires is when the token must be authenticated again: the end of a JWT,
	// or of the minute for which a resolved API key is trusted. Zero: never.
	Expires time.Time

	grants grants
}

// NewIdentity makes an identity of its parts; roles that are not in the role
// table grant nothing. The identity keeps roleNames.
func NewIdentity(userID, workspace string, roleNames []string) *Identity {
	return &Identity{
		UserID:    userID,
		Workspace: workspace,
		Roles:     roleNames,
		grants:    grantsOf(roles, roleNames),
	}
}

// Allows reports whether a single role of the identity has the capability and
// covers the target.
func (id *Identity) Allows(c Capability, t Target) bool {
	if id.grants.wide.has(c) {
		return true
	}
	return t.ownOf(id) && id.grants.assigned.has(c)
}

// allowsEverywhere is Allows for what concerns all workspaces at once.
func (id *Identity) allowsEverywhere(c Capability) bool { return id.grants.wide.has(c) }

// Reaches reports whether the target is in reach without any capability: one's
// own workspace, or any for whoever has a role of scope "*".
func (id *Identity) Reaches(t Target) bool { return t.ownOf(id) || id.grants.wide != 0 }
