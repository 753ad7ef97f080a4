package iam

import (
	"context"
	"slices"
	"strings"
	"sync"
)

// Memory is a Store that forgets everything with the process. It serves
// `sluice dev` and tests.
type Memory struct {
	mu         sync.RWMutex
	workspaces map[string]Workspace
	users      map[string]User
	names      map[userName]string // to user id
	keys       map[string]APIKey   // by hash
	keyHashes  map[string]string   // by key id
	signing    map[string]SigningKey
}

type userName struct{ workspace, username string }

var _ Store = (*Memory)(nil)

// NewMemory returns an empty store.
func NewMemory() *Memory {
	return &Memory{
		workspaces: make(map[string]Workspace),
		users:      make(map[string]User),
		names:      make(map[userName]string),
		keys:       make(map[string]APIKey),
		keyHashes:  make(map[string]string),
		signing:    make(map[string]SigningKey),
	}
}

// User implements Store.
func (m *Memory) User(_ context.Context, id string) (User, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	u, ok := m.users[id]
	if !ok {
		return User{}, ErrNotFound
	}
	return copyUser(u), nil
}

// copyUser separates a user from the slice that the store keeps.
func copyUser(u User) User {
	u.Roles = slices.Clone(u.Roles)
	return u
}

// Workspace implements Store.
func (m *Memory) Workspace(_ context.Context, id string) (Workspace, error) {
	return lookup(m, m.workspaces, id)
}

// APIKey implements Store.
func (m *Memory) APIKey(_ context.Context, hash string) (APIKey, error) {
	return lookup(m, m.keys, hash)
}

// APIKeyByID implements Store.
func (m *Memory) APIKeyByID(_ context.Context, id string) (APIKey, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	k, ok := m.keys[m.keyHashes[id]]
	if !ok {
		return APIKey{}, ErrNotFound
	}
	return k, nil
}

// UserID implements Store.
func (m *Memory) UserID(_ context.Context, workspace, username string) (string, error) {
	return lookup(m, m.names, userName{workspace, username})
}

func lookup[K comparable, V any](m *Memory, from map[K]V, key K) (V, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	v, ok := from[key]
	if !ok {
		return v, ErrNotFound
	}
	return v, nil
}

// Users implements Store.
func (m *Memory) Users(_ context.Context, workspace string) ([]User, error) {
	out := list(m, m.users, func(u User) bool { return u.Workspace == workspace }, ByUsername)
	for i, u := range out {
		out[i] = copyUser(u)
	}
	return out, nil
}

// Workspaces implements Store.
func (m *Memory) Workspaces(context.Context) ([]Workspace, error) {
	return list(m, m.workspaces, func(Workspace) bool { return true },
		func(a, b Workspace) int { return strings.Compare(a.ID, b.ID) }), nil
}

// APIKeys implements Store.
func (m *Memory) APIKeys(_ context.Context, userID string) ([]APIKey, error) {
	return list(m, m.keys, func(k APIKey) bool { return k.UserID == userID }, ByCreation), nil
}

// SigningKeys implements Store.
func (m *Memory) SigningKeys(context.Context) ([]SigningKey, error) {
	return list(m, m.signing, func(SigningKey) bool { return true }, NewestFirst), nil
}

func list[K comparable, V any](m *Memory, from map[K]V, want func(V) bool, order func(a, b V) int) []V {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var out []V
	for _, v := range from {
		if want(v) {
			out = append(out, v)
		}
	}
	slices.SortFunc(out, order)
	return out
}

// Seed implements Store.
func (m *Memory) Seed(_ context.Context, s Seed) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.workspaces) > 0 {
		return ErrExists
	}
	if err := m.putUser(s.Admin); err != nil {
		return err
	}
	m.putKey(s.Key)
	if _, ok := m.active(); !ok {
		m.signing[s.SigningKey.KID] = s.SigningKey
	}
	m.workspaces[s.Workspace.ID] = s.Workspace
	return nil
}

// CreateWorkspace implements Store.
func (m *Memory) CreateWorkspace(_ context.Context, w Workspace) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, taken := m.workspaces[w.ID]; taken {
		return ErrExists
	}
	m.workspaces[w.ID] = w
	return nil
}

// CreateUser implements Store.
func (m *Memory) CreateUser(_ context.Context, u User) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.putUser(u)
}

func (m *Memory) putUser(u User) error {
	name := userName{u.Workspace, u.Username}
	if _, taken := m.names[name]; taken {
		return ErrExists
	}
	m.names[name] = u.ID
	m.users[u.ID] = copyUser(u)
	return nil
}

// CreateAPIKey implements Store.
func (m *Memory) CreateAPIKey(_ context.Context, k APIKey) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	owner, ok := m.users[k.UserID]
	if !ok {
		return ErrNotFound
	}
	if !owner.Enabled {
		return ErrDisabled
	}
	m.putKey(k)
	return nil
}

func (m *Memory) putKey(k APIKey) {
	m.keys[k.Hash] = k
	m.keyHashes[k.ID] = k.Hash
}

// DeleteAPIKey implements Store.
func (m *Memory) DeleteAPIKey(_ context.Context, hash string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	k, ok := m.keys[hash]
	if !ok {
		return ErrNotFound
	}
	m.dropKey(k)
	return nil
}

func (m *Memory) dropKey(k APIKey) {
	delete(m.keys, k.Hash)
	delete(m.keyHashes, k.ID)
}

// TouchAPIKeys implements Store.
func (m *Memory) TouchAPIKeys(_ context.Context, uses []KeyUse) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, u := range uses {
		if k, ok := m.keys[u.Hash]; ok && u.At.After(k.LastUsed) {
			k.LastUsed = u.At
			m.keys[u.Hash] = k
		}
	}
	return nil
}

// EnsureSigningKey implements Store.
func (m *Memory) EnsureSigningKey(_ context.Context, k SigningKey) (SigningKey, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if current, ok := m.active(); ok {
		return current, nil
	}
	m.signing[k.KID] = k
	return k, nil
}

// RotateSigningKey implements Store.
func (m *Memory) RotateSigningKey(_ context.Context, next SigningKey) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for kid, k := range m.signing {
		if k.Retired.IsZero() {
			k.Retired = next.Created
			m.signing[kid] = k
		}
	}
	m.signing[next.KID] = next
	return nil
}

// active is the newest key in use.
func (m *Memory) active() (SigningKey, bool) {
	var out SigningKey
	found := false
	for _, k := range m.signing {
		if k.Retired.IsZero() && (!found || NewestFirst(k, out) < 0) {
			out, found = k, true
		}
	}
	return out, found
}
