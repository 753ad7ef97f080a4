package auth

import (
	"errors"
	"testing"

	"sluice/codec"
)

// TestPasswordMustBeChangedFirst: D14.
func TestPasswordMustBeChangedFirst(t *testing.T) {
	session := NewIdentity("alice", "acme", []string{"admin"})
	session.MustChangePassword = true
	free := NewIdentity("alice", "acme", []string{"admin"})
	gate := ChangeFirst{NewRoleTable(nil)}
	iam := func(surface Surface, operation, user string) Access {
		return Access{Surface: surface, Kind: codec.IAM, Operation: []byte(operation), HasOperation: true, UserID: []byte(user)}
	}
	tests := []struct {
		name   string
		access Access
		want   error
	}{
		{"own password", iam(HTTP, "change-password", "alice"), nil},
		{"own password on a socket", iam(Socket, "change-password", "alice"), nil},
		{"another's password", iam(HTTP, "change-password", "bob"), ErrDenied},
		{"own keys", iam(HTTP, "list-api-keys", "alice"), ErrDenied},
		{"users", iam(HTTP, "list-users", ""), ErrDenied},
		{"config", Access{Kind: codec.Config, Operation: []byte("get"), HasOperation: true}, ErrDenied},
		{"flow service", Access{Surface: Socket, Kind: codec.TextCompletion}, ErrDenied},
		{"import", Access{Surface: Import, Kind: codec.Triples}, ErrDenied},
		{"export", Access{Surface: Export, Kind: codec.Triples}, ErrDenied},
		{"core", Access{Surface: CoreExport}, ErrDenied},
		{"metrics", Access{Surface: Metrics}, ErrDenied},
		{"iam elsewhere", iam(Export, "change-password", "alice"), ErrDenied},
	}
	for _, tt := range tests {
		if err := gate.Authorise(session, tt.access, Target{}); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
		if any := gate.AllowsAny(session, tt.access.Surface, tt.access.Kind); any != servesPasswords(tt.access.Surface, tt.access.Kind) {
			t.Errorf("%s: anything of the kind: %v", tt.name, any)
		}
		if got, want := gate.Authorise(free, tt.access, Target{}), gate.Next.Authorise(free, tt.access, Target{}); !errors.Is(got, want) {
			t.Errorf("%s, anybody else: %v", tt.name, got)
		}
		if !gate.AllowsAny(free, tt.access.Surface, tt.access.Kind) && tt.access.Surface != Export {
			t.Errorf("%s: nothing allowed to anybody else", tt.name)
		}
	}
}
