package codec

import "fmt"

// iamRequestWire is an IAMRequest in the order and with the names of the
// contract. Pointers are nullable members.
type iamRequestWire struct {
	Operation       *string           `json:"operation"`
	Workspace       string            `json:"workspace"`
	Actor           string            `json:"actor"`
	UserID          string            `json:"user_id"`
	Username        string            `json:"username"`
	KeyID           string            `json:"key_id"`
	APIKey          string            `json:"api_key"`
	Password        string            `json:"password"`
	NewPassword     string            `json:"new_password"`
	User            *iamUserWire      `json:"user"`
	WorkspaceRecord *iamWorkspaceWire `json:"workspace_record"`
	Key             *iamKeyWire       `json:"key"`
}

type iamUserWire struct {
	Username           string   `json:"username"`
	Name               string   `json:"name"`
	Email              string   `json:"email"`
	Password           string   `json:"password"`
	Roles              []string `json:"roles"`
	Enabled            *bool    `json:"enabled"`
	MustChangePassword *bool    `json:"must_change_password"`
}

type iamWorkspaceWire struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Enabled *bool  `json:"enabled"`
}

type iamKeyWire struct {
	UserID  string `json:"user_id"`
	Name    string `json:"name"`
	Expires string `json:"expires"`
}

// MarshalIAMRequest writes a request with all its members, absent objects as
// null and absent flags with their defaults. Strings must be valid UTF-8.
func MarshalIAMRequest(r *IAMRequest) ([]byte, error) {
	w := iamRequestWire{
		Operation: &r.Operation, Workspace: r.Workspace, Actor: r.Actor,
		UserID: r.UserID, Username: r.Username, KeyID: r.KeyID,
		APIKey: r.APIKey, Password: r.Password, NewPassword: r.NewPassword,
		User: r.User.wire(), WorkspaceRecord: r.WorkspaceRecord.wire(),
	}
	if r.OperationNull {
		w.Operation = nil
	}
	if r.Key != nil {
		w.Key = &iamKeyWire{UserID: r.Key.UserID, Name: r.Key.Name, Expires: r.Key.Expires}
	}
	msg, err := recordJSON.Marshal(&w)
	if err != nil {
		return nil, fmt.Errorf("IAM request: %w", err)
	}
	return msg, nil
}

func (u *IAMUserInput) wire() *iamUserWire {
	if u == nil {
		return nil
	}
	return &iamUserWire{
		Username: u.Username, Name: u.Name, Email: u.Email, Password: u.Password, Roles: u.Roles,
		Enabled: u.Enabled.wire(true), MustChangePassword: u.MustChangePassword.wire(false),
	}
}

func (w *IAMWorkspaceInput) wire() *iamWorkspaceWire {
	if w == nil {
		return nil
	}
	return &iamWorkspaceWire{ID: w.ID, Name: w.Name, Enabled: w.Enabled.wire(true)}
}
