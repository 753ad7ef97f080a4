package auth

import "sluice/codec"

// ChangeFirst lets sessions whose user must change the password do just that
// (D14), and leaves the decision about everybody else to Next.
type ChangeFirst struct {
	Next Authoriser
}

// AllowsAny is part of Authoriser.
func (c ChangeFirst) AllowsAny(id *Identity, surface Surface, kind codec.Kind) bool {
	if id.MustChangePassword && !servesPasswords(surface, kind) {
		return false
	}
	return c.Next.AllowsAny(id, surface, kind)
}

// Authorise is part of Authoriser.
func (c ChangeFirst) Authorise(id *Identity, a Access, t Target) error {
	if id.MustChangePassword && (!servesPasswords(a.Surface, a.Kind) || !a.ChangesPasswordOf(id)) {
		return ErrDenied
	}
	return c.Next.Authorise(id, a, t)
}

func servesPasswords(surface Surface, kind codec.Kind) bool {
	return kind == codec.IAM && (surface == HTTP || surface == Socket)
}

// ChangesPasswordOf reports whether the access of an IAM request is to change the
// identity's own password.
func (a *Access) ChangesPasswordOf(id *Identity) bool {
	return string(a.Operation) == "change-password" && string(a.UserID) == id.UserID
}
