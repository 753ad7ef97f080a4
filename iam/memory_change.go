package iam

import "context"

// UpdateUser implements Store.
func (m *Memory) UpdateUser(_ context.Context, id string, c UserChange) (User, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	u, ok := m.users[id]
	if !ok {
		return User{}, ErrNotFound
	}
	next := c.Apply(u)
	if !next.Administers() && m.lastAdmin(u) {
		return User{}, ErrLastAdmin
	}
	m.users[id] = next
	return copyUser(next), nil
}

// DisableUser implements Store.
func (m *Memory) DisableUser(_ context.Context, id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	u, err := m.expendable(id)
	if err != nil {
		return err
	}
	m.disable(u)
	return nil
}

// expendable is a user unless it is the only administrator who can act.
func (m *Memory) expendable(id string) (User, error) {
	u, ok := m.users[id]
	switch {
	case !ok:
		return User{}, ErrNotFound
	case m.lastAdmin(u):
		return User{}, ErrLastAdmin
	}
	return u, nil
}

func (m *Memory) disable(u User) {
	u.Enabled = false
	m.users[u.ID] = u
	m.dropKeysOf(u.ID)
}

func (m *Memory) dropKeysOf(userID string) {
	for _, k := range m.keys {
		if k.UserID == userID {
			m.dropKey(k)
		}
	}
}

// DeleteUser implements Store.
func (m *Memory) DeleteUser(_ context.Context, id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	u, err := m.expendable(id)
	if err != nil {
		return err
	}
	m.dropKeysOf(id)
	if name := (userName{u.Workspace, u.Username}); m.names[name] == id {
		delete(m.names, name)
	}
	delete(m.users, id)
	return nil
}

// SetPassword implements Store.
func (m *Memory) SetPassword(_ context.Context, userID, was, hash string, mustChange bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	u, ok := m.users[userID]
	switch {
	case !ok:
		return ErrNotFound
	case was != "" && was != u.PasswordHash:
		return ErrChanged
	}
	u.PasswordHash, u.MustChangePassword = hash, mustChange
	m.users[userID] = u
	return nil
}

// UpdateWorkspace implements Store.
func (m *Memory) UpdateWorkspace(_ context.Context, id string, c WorkspaceChange) (Workspace, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	w, ok := m.workspaces[id]
	if !ok {
		return Workspace{}, ErrNotFound
	}
	next := c.Apply(w)
	if !next.Enabled && m.lastAdmins(w) {
		return Workspace{}, ErrLastAdmin
	}
	m.workspaces[id] = next
	return next, nil
}

// DisableWorkspace implements Store.
func (m *Memory) DisableWorkspace(_ context.Context, id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	w, ok := m.workspaces[id]
	switch {
	case !ok:
		return ErrNotFound
	case m.lastAdmins(w):
		return ErrLastAdmin
	}
	w.Enabled = false
	m.workspaces[id] = w
	for _, u := range m.users {
		if u.Workspace == id {
			m.disable(u)
		}
	}
	return nil
}

// lastAdmin reports whether u is the only administrator who can act.
func (m *Memory) lastAdmin(u User) bool {
	return m.acts(u) && !m.anyAdmin(func(other User) bool { return other.ID != u.ID })
}

// lastAdmins reports whether all administrators who can act are in w.
func (m *Memory) lastAdmins(w Workspace) bool {
	return m.anyAdmin(func(u User) bool { return u.Workspace == w.ID }) &&
		!m.anyAdmin(func(u User) bool { return u.Workspace != w.ID })
}

func (m *Memory) anyAdmin(want func(User) bool) bool {
	for _, u := range m.users {
		if want(u) && m.acts(u) {
			return true
		}
	}
	return false
}

// acts reports whether u is an administrator whom nothing keeps from acting.
func (m *Memory) acts(u User) bool { return u.Administers() && m.workspaces[u.Workspace].Enabled }
