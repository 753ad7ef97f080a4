package auth

import "sluice/codec"

// Authoriser decides what an identity may do. It is the seam at which IAM itself
// will decide one day: today's decision is RoleTable. Implementations are safe for
// concurrent use.
type Authoriser interface {
	// AllowsAny reports whether the identity could be allowed anything at all of
	// that kind. It is asked before a body is read.
	AllowsAny(id *Identity, surface Surface, kind codec.Kind) bool
	// Authorise answers nil, ErrDenied, or ErrUnavailable when the decision
	// needs IAM and IAM could not be asked. Capability and workspace are decided
	// together. It may wait for IAM, but does not for most operations.
	Authorise(id *Identity, a Access, t Target) error
}

// RoleTable decides by the fixed roles of the contract (iam.md section 9). Its
// decisions allocate nothing, but for the look-up of a key to revoke.
type RoleTable struct {
	iam IAM
}

// NewRoleTable returns the decision. iam is asked whose key a caller with no more
// than keys:self wants to revoke; nil means that this can't be found out.
func NewRoleTable(iam IAM) *RoleTable { return &RoleTable{iam: iam} }

// AllowsAny is part of Authoriser.
func (t *RoleTable) AllowsAny(id *Identity, surface Surface, kind codec.Kind) bool {
	if surface == HTTP || surface == Socket {
		d := demandsByKind[kind]
		return d.nothing || id.grants.assigned&d.narrow != 0 || id.grants.wide&(d.narrow|d.wide) != 0
	}
	r, found := requirementOf(&Access{Surface: surface, Kind: kind})
	return found && r.met(id, Target{})
}

// Authorise is part of Authoriser.
func (t *RoleTable) Authorise(id *Identity, a Access, target Target) error {
	r, found := requirementOf(&a)
	if !found {
		return ErrDenied
	}
	if r.guardsRoles && a.SetsRoles {
		r = requirement{needs: capUsersAdmin}
	}
	if r.met(id, target) {
		return nil
	}
	owns, err := t.owns(id, r.own, &a, target)
	if err != nil {
		return err
	}
	if !owns {
		deniedFor[r.needs].Inc()
		return ErrDenied
	}
	return nil
}

func (r requirement) met(id *Identity, target Target) bool {
	if r.everywhere {
		return id.allowsEverywhere(r.needs)
	}
	return id.Allows(r.needs, target)
}

func (t *RoleTable) owns(id *Identity, own ownership, a *Access, target Target) (bool, error) {
	switch own {
	case ownPassword:
		return id.Reaches(target) && string(a.UserID) == id.UserID, nil
	case ownIdentity:
		return id.Reaches(target), nil
	case ownUser:
		return id.Allows(capKeysSelf, target) && string(a.UserID) == id.UserID, nil
	case ownKey:
		if len(a.KeyID) == 0 || !id.Allows(capKeysSelf, target) {
			return false, nil
		}
		return t.ownsKey(id, string(a.KeyID))
	}
	return false, nil
}

// demands is the sum of what the operations of a kind ask for.
type demands struct {
	narrow  capabilities // enough in the target workspace
	wide    capabilities // enough from a role of scope "*"
	nothing bool         // something is allowed to any identity
}

var demandsByKind = func() map[codec.Kind]demands {
	sums := make(map[codec.Kind]demands, len(services))
	for kind, s := range services {
		var d demands
		d.add(s.others)
		for _, r := range s.listed {
			d.add(r)
		}
		sums[kind] = d
	}
	return sums
}()

func (d *demands) add(r requirement) {
	if r.everywhere {
		d.wide |= setOf(r.needs)
	} else {
		d.narrow |= setOf(r.needs)
	}
	switch r.own {
	case ownUser, ownKey:
		d.narrow |= setOf(capKeysSelf)
	case ownPassword, ownIdentity:
		d.nothing = true
	}
}
