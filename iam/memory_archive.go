package iam

import (
	"context"
	"fmt"
	"iter"
)

var _ Archive = (*Memory)(nil)

// Export implements Archive.
func (m *Memory) Export(_ context.Context, each func(record any) error) error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, u := range m.users {
		u = copyUser(u)
		if err := each(&u); err != nil {
			return err
		}
	}
	for _, k := range m.keys {
		if err := each(&k); err != nil {
			return err
		}
	}
	for _, k := range m.signing {
		if err := each(&k); err != nil {
			return err
		}
	}
	for _, w := range m.workspaces {
		if err := each(&w); err != nil {
			return err
		}
	}
	return nil
}

// Import implements Archive.
func (m *Memory) Import(_ context.Context, records iter.Seq2[any, error]) error {
	next := NewMemory()
	for record, err := range records {
		if err != nil {
			return err
		}
		next.put(record)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.workspaces)+len(m.users)+len(m.keys)+len(m.signing) > 0 {
		return ErrExists
	}
	m.workspaces, m.users, m.names = next.workspaces, next.users, next.names
	m.keys, m.keyHashes, m.signing = next.keys, next.keyHashes, next.signing
	return nil
}

func (m *Memory) put(record any) {
	switch r := record.(type) {
	case *User:
		m.users[r.ID] = copyUser(*r)
		if name := (userName{r.Workspace, r.Username}); m.names[name] == "" {
			m.names[name] = r.ID
		}
	case *APIKey:
		m.putKey(*r)
	case *SigningKey:
		m.signing[r.KID] = *r
	case *Workspace:
		m.workspaces[r.ID] = *r
	default:
		panic(fmt.Sprintf("BUG: a record of type %T", record))
	}
}
