package iam

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// RoleAdmin is the role that reaches every workspace.
const RoleAdmin = "admin"

// User is a person or program that belongs to one workspace for life.
type User struct {
	ID           string
	Workspace    string
	Username     string
	Name         string
	Email        string
	PasswordHash string
	// Roles is a set: sorted, each name once.
	Roles              []string
	Enabled            bool
	MustChangePassword bool
	Created            time.Time
}

// Administers reports whether the user is an enabled administrator. Whether its
// workspace is enabled too is for the store to find out.
func (u *User) Administers() bool { return u.Enabled && slices.Contains(u.Roles, RoleAdmin) }

// Workspace is a tenant.
type Workspace struct {
	ID      string
	Name    string
	Enabled bool
	Created time.Time
}

// APIKey is a stored API key: the hash, never the key.
type APIKey struct {
	Hash   string
	ID     string
	UserID string
	Name   string
	// Prefix is the first seven characters of the key, for people to tell keys
	// apart.
	Prefix string
	// Expires is zero for a key that does not expire.
	Expires  time.Time
	Created  time.Time
	LastUsed time.Time
}

// SigningKey is a key pair for tokens. It is active while Retired is zero.
type SigningKey struct {
	KID        string
	PrivatePEM string
	PublicPEM  string
	Created    time.Time
	Retired    time.Time
}

// ByUsername, ByCreation and NewestFirst are the orders of a Store's lists. Where
// a store holds what it should not, two users of one name, the order is still one.
func ByUsername(a, b User) int {
	return cmp.Or(strings.Compare(a.Username, b.Username), strings.Compare(a.ID, b.ID))
}

// ByCreation puts the oldest API key first.
func ByCreation(a, b APIKey) int {
	return cmp.Or(a.Created.Compare(b.Created), strings.Compare(a.ID, b.ID))
}

// NewestFirst puts the signing key first that counts where several are active.
func NewestFirst(a, b SigningKey) int {
	return cmp.Or(b.Created.Compare(a.Created), strings.Compare(a.KID, b.KID))
}

// Seed is what a deployment begins with.
type Seed struct {
	Workspace Workspace
	Admin     User
	Key       APIKey
	// SigningKey is stored only when no signing key is active: gateways may
	// have fetched that one already.
	SigningKey SigningKey
}

// UserChange names what is to become of a user. What is nil stays as it is.
type UserChange struct {
	Name, Email *string
	// Roles, unless nil, is sorted and without repetitions.
	Roles                       []string
	Enabled, MustChangePassword *bool
}

// Apply returns u with the change made.
func (c UserChange) Apply(u User) User {
	set(&u.Name, c.Name)
	set(&u.Email, c.Email)
	set(&u.Enabled, c.Enabled)
	set(&u.MustChangePassword, c.MustChangePassword)
	if c.Roles != nil {
		u.Roles = slices.Clone(c.Roles)
	}
	return u
}

// WorkspaceChange names what is to become of a workspace. What is nil stays.
type WorkspaceChange struct {
	Name    *string
	Enabled *bool
}

// Apply returns w with the change made.
func (c WorkspaceChange) Apply(w Workspace) Workspace {
	set(&w.Name, c.Name)
	set(&w.Enabled, c.Enabled)
	return w
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

// KeyUse says when an API key was last used.
type KeyUse struct {
	Hash string
	At   time.Time
}
