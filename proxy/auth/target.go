package auth

// Target is the workspace that an operation is to act in. The zero Target is the
// identity's own.
type Target struct {
	// Name of the workspace; empty means the identity's own.
	Name string
	// Opaque is set when the caller gave a JSON value that is true in the sense
	// of the contract but no text. No workspace has such a name, so only a role
	// of scope "*" covers it; the value is forwarded as it is.
	Opaque bool
}

// ResolveWorkspace applies the rule of enforce_workspace (iam.md 9.2) to the
// top-level member `workspace` of a body, or to a query parameter: a false value
// (absent, null, "", 0, false, {} or []) means the identity's own workspace, text
// means itself, and any other value is opaque.
//
// text is the unescaped text when isText is set; it is copied, unless it names
// the identity's own workspace, which costs nothing.
func ResolveWorkspace(id *Identity, text []byte, isText, truthy bool) Target {
	if !truthy || isText && len(text) == 0 {
		return Target{Name: id.Workspace}
	}
	if !isText {
		return Target{Opaque: true}
	}
	if string(text) == id.Workspace {
		return Target{Name: id.Workspace}
	}
	return Target{Name: string(text)}
}

func (t Target) ownOf(id *Identity) bool {
	return !t.Opaque && (t.Name == "" || t.Name == id.Workspace)
}
