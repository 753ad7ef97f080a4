package iam

import (
	"context"
	"errors"
)

// Errors that a Store returns for what callers can cause. Anything else is a
// failure of the store itself.
var (
	// ErrNotFound: the record does not exist.
	ErrNotFound = errors.New("record not found")
	// ErrExists: a record with that identity exists already.
	ErrExists = errors.New("record exists already")
	// ErrDisabled: the record is there, and disabled.
	ErrDisabled = errors.New("record is disabled")
	// ErrChanged: the record is not what the caller had read any more.
	ErrChanged = errors.New("record has changed")
	// ErrLastAdmin: the change would leave no enabled administrator in an
	// enabled workspace, and so nobody who could undo it.
	ErrLastAdmin = errors.New("no enabled administrator would remain")
)

// Store keeps the records. Every method is one atomic step, may be called
// concurrently, and returns records that the caller may change. Times have
// millisecond precision.
//
// Seed, CreateWorkspace and whatever can fail with ErrLastAdmin may have to wait
// for other processes that use the store, for half a minute where one of them has
// died. Nothing else waits for them longer than seconds, and look-ups not at all.
type Store interface {
	// User, Workspace, APIKey and APIKeyByID fail with ErrNotFound.
	User(ctx context.Context, id string) (User, error)
	Workspace(ctx context.Context, id string) (Workspace, error)
	APIKey(ctx context.Context, hash string) (APIKey, error)
	APIKeyByID(ctx context.Context, id string) (APIKey, error)
	// UserID finds a user by its name in a workspace, else ErrNotFound.
	UserID(ctx context.Context, workspace, username string) (string, error)

	// Users lists a workspace by username, Workspaces by id, APIKeys a user's
	// keys by creation, SigningKeys all of them by creation, newest first.
	Users(ctx context.Context, workspace string) ([]User, error)
	Workspaces(ctx context.Context) ([]Workspace, error)
	APIKeys(ctx context.Context, userID string) ([]APIKey, error)
	SigningKeys(ctx context.Context) ([]SigningKey, error)

	// Seed stores everything, or nothing and ErrExists when any workspace
	// exists; a store that others fill too may refuse for users without one. A
	// store without transactions writes the workspace last, on the condition that
	// there is none, and on losing removes the rest: the row is the commit mark,
	// so that a seeding that was cut off can be repeated.
	Seed(ctx context.Context, s Seed) error
	// CreateWorkspace fails with ErrExists.
	CreateWorkspace(ctx context.Context, w Workspace) error
	// CreateUser fails with ErrExists when the name is taken in the workspace.
	CreateUser(ctx context.Context, u User) error
	// UpdateUser changes the columns that c names and returns the whole row. It
	// fails with ErrNotFound, so that a deleted user never comes back, and with
	// ErrLastAdmin.
	UpdateUser(ctx context.Context, id string, c UserChange) (User, error)
	// DisableUser disables a user and deletes its API keys, those included that
	// are made meanwhile. It fails with ErrNotFound and ErrLastAdmin.
	DisableUser(ctx context.Context, id string) error
	// DeleteUser deletes a user, its API keys, and its name unless that belongs
	// to somebody else by now. It fails with ErrNotFound and ErrLastAdmin.
	DeleteUser(ctx context.Context, id string) error
	// SetPassword fails with ErrNotFound and, if was is not empty and not the
	// stored hash, with ErrChanged.
	SetPassword(ctx context.Context, userID, was, hash string, mustChange bool) error

	// UpdateWorkspace changes the columns that c names and returns the whole
	// row. It fails with ErrNotFound and ErrLastAdmin.
	UpdateWorkspace(ctx context.Context, id string, c WorkspaceChange) (Workspace, error)
	// DisableWorkspace disables a workspace and every user in it, and deletes
	// their API keys. It fails with ErrNotFound and ErrLastAdmin.
	DisableWorkspace(ctx context.Context, id string) error

	// CreateAPIKey fails with ErrNotFound when the owner does not exist, and with
	// ErrDisabled when it is disabled.
	CreateAPIKey(ctx context.Context, k APIKey) error
	// DeleteAPIKey fails with ErrNotFound.
	DeleteAPIKey(ctx context.Context, hash string) error
	// TouchAPIKeys notes uses of keys. Keys that are gone stay gone, and no time
	// goes back.
	TouchAPIKeys(ctx context.Context, uses []KeyUse) error

	// EnsureSigningKey stores k unless a signing key is active. Either way the
	// active one is returned; of several, the newest.
	EnsureSigningKey(ctx context.Context, k SigningKey) (SigningKey, error)
	// RotateSigningKey retires every active key at next.Created and stores next.
	RotateSigningKey(ctx context.Context, next SigningKey) error
}
