package codec

import "fmt"

// IAMReply is a reply of the IAM service (iam.md section 4.2). On failure only
// Error is set.
type IAMReply struct {
	User       *IAMUser       `json:"user"`
	Users      []IAMUser      `json:"users"`
	Workspace  *IAMWorkspace  `json:"workspace"`
	Workspaces []IAMWorkspace `json:"workspaces"`
	// APIKeyPlaintext is a secret, shown once.
	APIKeyPlaintext string      `json:"api_key_plaintext"`
	APIKey          *IAMAPIKey  `json:"api_key"`
	APIKeys         []IAMAPIKey `json:"api_keys"`
	// JWT is a secret.
	JWT               string   `json:"jwt"`
	JWTExpires        string   `json:"jwt_expires"`
	SigningKeyPublic  string   `json:"signing_key_public"`
	ResolvedUserID    string   `json:"resolved_user_id"`
	ResolvedWorkspace string   `json:"resolved_workspace"`
	ResolvedRoles     []string `json:"resolved_roles"`
	// TemporaryPassword and BootstrapAdminAPIKey are secrets, shown once.
	TemporaryPassword    string        `json:"temporary_password"`
	BootstrapAdminUserID string        `json:"bootstrap_admin_user_id"`
	BootstrapAdminAPIKey string        `json:"bootstrap_admin_api_key"`
	Error                *ServiceError `json:"error"`
}

// IAMUser is a user as callers see one. Created is a timestamp text of iam.md
// section 3.3, or empty.
type IAMUser struct {
	ID                 string   `json:"id"`
	Workspace          string   `json:"workspace"`
	Username           string   `json:"username"`
	Name               string   `json:"name"`
	Email              string   `json:"email"`
	Roles              []string `json:"roles"`
	Enabled            bool     `json:"enabled"`
	MustChangePassword bool     `json:"must_change_password"`
	Created            string   `json:"created"`
}

// IAMWorkspace is a workspace as callers see one.
type IAMWorkspace struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Enabled bool   `json:"enabled"`
	Created string `json:"created"`
}

// IAMAPIKey is an API key as callers see one: without the key itself.
type IAMAPIKey struct {
	ID       string `json:"id"`
	UserID   string `json:"user_id"`
	Name     string `json:"name"`
	Prefix   string `json:"prefix"`
	Expires  string `json:"expires"`
	Created  string `json:"created"`
	LastUsed string `json:"last_used"`
}

// MarshalIAMReply writes a reply with all its members, lists never as null.
// Strings must be valid UTF-8.
func MarshalIAMReply(r *IAMReply) ([]byte, error) {
	msg, err := recordJSON.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("IAM reply: %w", err)
	}
	return msg, nil
}

// ParseIAMReply reads a reply. Null and absent members are empty; an `error`
// that is an object, even an empty one, is a failure. The result shares no
// memory with msg.
func ParseIAMReply(msg []byte) (IAMReply, error) {
	var r IAMReply
	if err := decodeRecord(string(msg), &r); err != nil {
		return IAMReply{}, fmt.Errorf("IAM reply: %w", err)
	}
	return r, nil
}
