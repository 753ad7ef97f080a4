package codec

import (
	"fmt"

	"github.com/bytedance/sonic"
)

// Flag is a boolean member that may also be absent or null; the IAM service
// treats the three cases differently (iam.md section 4.1).
type Flag uint8

// The values of a Flag. The zero Flag is Absent.
const (
	Absent Flag = iota
	Null
	False
	True
)

// Or resolves f: its value, or absent when it is Absent. Null is false, as it
// reads back from the reference's storage.
func (f Flag) Or(absent bool) bool {
	switch f {
	case Absent:
		return absent
	case True:
		return true
	}
	return false
}

// wire is f as it is written: an absent flag with its default, null as nil.
func (f Flag) wire(absent bool) *bool {
	if f == Null {
		return nil
	}
	b := f.Or(absent)
	return &b
}

// IAMRequest is a request to the IAM service (iam.md section 4.1). Strings that
// are absent or null are "".
type IAMRequest struct {
	Operation string
	// OperationNull tells an explicit null from "": the refusal quotes it.
	OperationNull bool

	Workspace, Actor, UserID, Username, KeyID string
	// APIKey, Password and NewPassword are secrets: keep them out of logs.
	APIKey, Password, NewPassword string

	User            *IAMUserInput
	WorkspaceRecord *IAMWorkspaceInput
	Key             *IAMKeyInput
}

// IAMUserInput is the `user` member of a request.
type IAMUserInput struct {
	Username, Name, Email, Password string
	Roles                           []string
	// Enabled is true, and MustChangePassword false, when Absent.
	Enabled, MustChangePassword Flag
}

// IAMWorkspaceInput is the `workspace_record` member of a request.
type IAMWorkspaceInput struct {
	ID, Name string
	// Enabled is true when Absent.
	Enabled Flag
}

// IAMKeyInput is the `key` member of a request.
type IAMKeyInput struct {
	UserID, Name, Expires string
}

// iamRequestMembers keeps every member raw, so that one of the wrong type can
// be named instead of spoiling the whole message.
type iamRequestMembers struct {
	Operation       sonic.NoCopyRawMessage `json:"operation"`
	Workspace       sonic.NoCopyRawMessage `json:"workspace"`
	Actor           sonic.NoCopyRawMessage `json:"actor"`
	UserID          sonic.NoCopyRawMessage `json:"user_id"`
	Username        sonic.NoCopyRawMessage `json:"username"`
	KeyID           sonic.NoCopyRawMessage `json:"key_id"`
	APIKey          sonic.NoCopyRawMessage `json:"api_key"`
	Password        sonic.NoCopyRawMessage `json:"password"`
	NewPassword     sonic.NoCopyRawMessage `json:"new_password"`
	User            sonic.NoCopyRawMessage `json:"user"`
	WorkspaceRecord sonic.NoCopyRawMessage `json:"workspace_record"`
	Key             sonic.NoCopyRawMessage `json:"key"`
}

type iamUserMembers struct {
	Username           sonic.NoCopyRawMessage `json:"username"`
	Name               sonic.NoCopyRawMessage `json:"name"`
	Email              sonic.NoCopyRawMessage `json:"email"`
	Password           sonic.NoCopyRawMessage `json:"password"`
	Roles              sonic.NoCopyRawMessage `json:"roles"`
	Enabled            sonic.NoCopyRawMessage `json:"enabled"`
	MustChangePassword sonic.NoCopyRawMessage `json:"must_change_password"`
}

type iamWorkspaceMembers struct {
	ID      sonic.NoCopyRawMessage `json:"id"`
	Name    sonic.NoCopyRawMessage `json:"name"`
	Enabled sonic.NoCopyRawMessage `json:"enabled"`
}

type iamKeyMembers struct {
	UserID  sonic.NoCopyRawMessage `json:"user_id"`
	Name    sonic.NoCopyRawMessage `json:"name"`
	Expires sonic.NoCopyRawMessage `json:"expires"`
}

// ParseIAMRequest reads a request. A member of the wrong type is a *RecordError;
// the request can then be answered, which other errors do not allow. Unknown
// members are ignored. The result shares no memory with msg.
func ParseIAMRequest(msg []byte) (IAMRequest, error) {
	var m iamRequestMembers
	if err := decodeRecord(string(msg), &m); err != nil {
		return IAMRequest{}, fmt.Errorf("IAM request: %w", err)
	}
	var p memberReader
	out := IAMRequest{
		Operation:     p.text("operation", m.Operation),
		OperationNull: string(m.Operation) == "null",
		Workspace:     p.text("workspace", m.Workspace),
		Actor:         p.text("actor", m.Actor),
		UserID:        p.text("user_id", m.UserID),
		Username:      p.text("username", m.Username),
		KeyID:         p.text("key_id", m.KeyID),
		APIKey:        p.text("api_key", m.APIKey),
		Password:      p.text("password", m.Password),
		NewPassword:   p.text("new_password", m.NewPassword),
	}
	out.User = p.user(m.User)
	out.WorkspaceRecord = p.workspace(m.WorkspaceRecord)
	out.Key = p.key(m.Key)
	if p.err != nil {
		return IAMRequest{}, p.err
	}
	return out, nil
}

// memberReader reads raw members and remembers the first that is of the wrong
// type.
type memberReader struct{ err error }

func (p *memberReader) fail(member, want string) {
	if p.err == nil {
		p.err = &RecordError{Member: member, Want: want}
	}
}

func (p *memberReader) text(member string, raw sonic.NoCopyRawMessage) string {
	text, ok := rawText(raw)
	if !ok {
		p.fail(member, "a string")
	}
	return text
}

func (p *memberReader) flag(member string, raw sonic.NoCopyRawMessage) Flag {
	switch string(raw) {
	case "":
		return Absent
	case "null":
		return Null
	case "true":
		return True
	case "false":
		return False
	}
	p.fail(member, "a boolean")
	return Absent
}

// object decodes a nested object into v and reports whether there is one.
func (p *memberReader) object(member string, raw sonic.NoCopyRawMessage, v any) bool {
	if isNull(raw) {
		return false
	}
	if raw[0] != '{' || recordJSON.Unmarshal(raw, v) != nil {
		p.fail(member, "an object or null")
		return false
	}
	return true
}

// texts reads a list of strings. Null counts as an empty list.
func (p *memberReader) texts(member string, raw sonic.NoCopyRawMessage) []string {
	if isNull(raw) {
		return nil
	}
	var items []sonic.NoCopyRawMessage
	if raw[0] != '[' || recordJSON.Unmarshal(raw, &items) != nil {
		p.fail(member, "a list of strings")
		return nil
	}
	out := make([]string, 0, len(items))
	for _, item := range items {
		text, ok := rawText(item)
		if !ok || isNull(item) {
			p.fail(member, "a list of strings")
			return nil
		}
		out = append(out, text)
	}
	return out
}

func (p *memberReader) user(raw sonic.NoCopyRawMessage) *IAMUserInput {
	var m iamUserMembers
	if !p.object("user", raw, &m) {
		return nil
	}
	return &IAMUserInput{
		Username:           p.text("user.username", m.Username),
		Name:               p.text("user.name", m.Name),
		Email:              p.text("user.email", m.Email),
		Password:           p.text("user.password", m.Password),
		Roles:              p.texts("user.roles", m.Roles),
		Enabled:            p.flag("user.enabled", m.Enabled),
		MustChangePassword: p.flag("user.must_change_password", m.MustChangePassword),
	}
}

func (p *memberReader) workspace(raw sonic.NoCopyRawMessage) *IAMWorkspaceInput {
	var m iamWorkspaceMembers
	if !p.object("workspace_record", raw, &m) {
		return nil
	}
	return &IAMWorkspaceInput{
		ID:      p.text("workspace_record.id", m.ID),
		Name:    p.text("workspace_record.name", m.Name),
		Enabled: p.flag("workspace_record.enabled", m.Enabled),
	}
}

func (p *memberReader) key(raw sonic.NoCopyRawMessage) *IAMKeyInput {
	var m iamKeyMembers
	if !p.object("key", raw, &m) {
		return nil
	}
	return &IAMKeyInput{
		UserID:  p.text("key.user_id", m.UserID),
		Name:    p.text("key.name", m.Name),
		Expires: p.text("key.expires", m.Expires),
	}
}
