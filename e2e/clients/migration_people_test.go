package clients

import (
	"fmt"
	"testing"
)

// workspace makes one.
func (m *migration) workspace(t *testing.T, id, name string) {
	t.Helper()
	m.iam(t, fmt.Sprintf(`{"operation":"create-workspace","workspace_record":{"id":%q,"name":%q}}`, id, name), nil)
}

// person makes a user whose login is tried from now on; members are more of the
// user's, as JSON.
func (m *migration) person(t *testing.T, name string, l login, members string) {
	t.Helper()
	var made struct{ User struct{ ID string } }
	m.iam(t, fmt.Sprintf(`{"operation":"create-user","workspace":%q,"user":{"username":%q,"password":%q,%s}}`,
		l.workspace, l.username, l.password, members), &made)
	m.ids[name], m.logins[name] = made.User.ID, l
}

// key makes an API key that is tried from now on.
func (m *migration) key(t *testing.T, name, owner, expires string) {
	t.Helper()
	var made struct {
		Plaintext string              `json:"api_key_plaintext"`
		Record    struct{ ID string } `json:"api_key"`
	}
	m.iam(t, fmt.Sprintf(`{"operation":"create-api-key","workspace":%q,"key":{"user_id":%q,"name":%q,"expires":%q}}`,
		m.logins[owner].workspace, m.ids[owner], name, expires), &made)
	m.keyIDs[name], m.keys[name] = made.Record.ID, made.Plaintext
}

func (m *migration) revoke(t *testing.T, key, workspace string) {
	t.Helper()
	m.iam(t, fmt.Sprintf(`{"operation":"revoke-api-key","workspace":%q,"key_id":%q}`, workspace, m.keyIDs[key]), nil)
}

// do makes an operation that needs only a user, or a user and more.
func (m *migration) do(t *testing.T, operation, name string, members ...string) {
	t.Helper()
	more := ""
	for _, member := range members {
		more += "," + member
	}
	m.iam(t, fmt.Sprintf(`{"operation":%q,"workspace":%q,"user_id":%q%s}`,
		operation, m.logins[name].workspace, m.ids[name], more), nil)
}

// reset gives somebody a temporary password, which is what they type from now on.
func (m *migration) reset(t *testing.T, name string) {
	t.Helper()
	var made struct {
		Password string `json:"temporary_password"`
	}
	l := m.logins[name]
	m.iam(t, fmt.Sprintf(`{"operation":"reset-password","workspace":%q,"user_id":%q}`, l.workspace, m.ids[name]), &made)
	l.password = made.Password
	m.logins[name] = l
}

// signIn logs somebody in through the front door and keeps the token under a name.
func (m *migration) signIn(t *testing.T, token, name string) {
	t.Helper()
	var made struct{ JWT string }
	l := m.logins[name]
	m.post(t, "/api/v1/auth/login", fmt.Sprintf(`{"username":%q,"password":%q,"workspace":%q}`, l.username, l.password, l.workspace), &made)
	m.tokens[token] = made.JWT
}

// choosePassword is what somebody does who has signed in.
func (m *migration) choosePassword(t *testing.T, token, name, password string) {
	t.Helper()
	l := m.logins[name]
	own := &platform{url: m.url, admin: m.tokens[token]}
	own.post(t, "/api/v1/auth/change-password", fmt.Sprintf(`{"current_password":%q,"new_password":%q}`, l.password, password), nil)
	l.password = password
	m.logins[name] = l
}

// leave deletes a user. Whoever takes the name later has another password.
func (m *migration) leave(t *testing.T, name string) {
	t.Helper()
	m.do(t, "delete-user", name)
}
