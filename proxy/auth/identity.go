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
	// or of the minute for which IAM's answer about a key or a user counts. Zero:
	// never.
	Expires time.Time
	// GraceEnd is until when the identity may be used while IAM can't be asked
	// again. Zero: no longer than Expires.
	GraceEnd time.Time
	// Ends is when the token itself ends, whatever IAM says. Zero: never.
	Ends time.Time
	// MustChangePassword says that the user of a JWT should do nothing else
	// first. Keys, which nobody got by a password, never have it.
	MustChangePassword bool
	// Username and Name are those of a JWT's user, where IAM has told them.
	Username, Name string

	grants grants

	// For identities that IAM has answered for; see resolver.

	standing *standing
	renewAt  int64 // when to ask again in the background, Unix nanoseconds; 0: never
	// unconfirmed: IAM could not say anything about the user.
	unconfirmed bool
	// answer is what it was made of, for a token's own.
	answer *Identity
	user   digest // of a JWT's claims
}

// IsOfIAM reports whether IAM answers for the user, rather than a file or the token
// alone.
func (id *Identity) IsOfIAM() bool { return id.standing != nil && !id.unconfirmed }

// dueAt reports whether IAM should be asked again in the background.
func (id *Identity) dueAt(now time.Time) bool { return id.renewAt != 0 && now.UnixNano() >= id.renewAt }

// counts reports whether IAM has not taken its answer back.
func (id *Identity) counts() bool { return id.standing == nil || !id.standing.over.Load() }

// Ended reports whether the token itself is over at an instant: asking anybody
// would be in vain.
func (id *Identity) Ended(now time.Time) bool { return !id.Ends.IsZero() && now.After(id.Ends) }

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
