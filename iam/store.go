package iam

import (
	"context"
	"errors"
	"time"
)

// Errors that a Store returns for what callers can cause. Anything else is a
// failure of the store itself.
var (
	// ErrNotFound: the record does not exist.
	ErrNotFound = errors.New("record not found")
	// ErrExists: a record with that identity exists already.
	ErrExists = errors.New("record exists already")
)

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

// Seed is what a deployment begins with.
type Seed struct {
	Workspace Workspace
	Admin     User
	Key       APIKey
	// SigningKey is stored only when no signing key is active: gateways may
	// have fetched that one already.
	SigningKey SigningKey
}

// Store keeps the records. Every method is one atomic step, may be called
// concurrently, and returns records that the caller may change. Times have
// millisecond precision.
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
	// exists. A store without transactions writes the workspace last, on the
	// condition that there is none, and on losing removes the rest: the row is
	// the commit mark, so that a seeding that was cut off can be repeated.
	Seed(ctx context.Context, s Seed) error
	// CreateWorkspace fails with ErrExists.
	CreateWorkspace(ctx context.Context, w Workspace) error
	// CreateUser fails with ErrExists when the name is taken in the workspace.
	CreateUser(ctx context.Context, u User) error
	// SetPassword fails with ErrNotFound: it never brings a deleted user back.
	SetPassword(ctx context.Context, userID, hash string, mustChange bool) error
	// CreateAPIKey fails with ErrNotFound when the owner does not exist.
	CreateAPIKey(ctx context.Context, k APIKey) error
	// DeleteAPIKey fails with ErrNotFound.
	DeleteAPIKey(ctx context.Context, hash string) error
	// EnsureSigningKey stores k unless a signing key is active. Either way the
	// active one is returned; of several, the newest.
	EnsureSigningKey(ctx context.Context, k SigningKey) (SigningKey, error)
	// RotateSigningKey retires every active key at next.Created and stores next.
	RotateSigningKey(ctx context.Context, next SigningKey) error
}
