package auth

import (
	"errors"
	"testing"

	"sluice/codec"
)

// TestOnesOwn: what is allowed because it is the caller's own, whose id is "me".
func TestOnesOwn(t *testing.T) {
	iam := newFakeIAM()
	iam.on("list-api-keys", func(r codec.IAMRequest) (codec.IAMReply, error) {
		if r.UserID != "me" || r.Workspace != "acme" || r.Actor != "me" {
			return *failure("not-found", "user not found in workspace"), nil
		}
		return codec.IAMReply{APIKeys: []codec.IAMAPIKey{
			{ID: "mine", UserID: "me"}, {ID: "smuggled", UserID: "somebody"},
		}}, nil
	})
	table := NewRoleTable(iam)
	tests := []struct{ body, own, other string }{
		{`{"operation":"create-api-key","key":{"user_id":"me","name":"n"}}`, "rwa", "a"},
		{`{"operation":"create-api-key","key":{"user_id":"m\u0065"}}`, "rwa", "a"},
		{`{"operation":"create-api-key","key":{"user_id":"somebody","user_id":"me"}}`, "rwa", "a"},
		{`{"operation":"create-api-key","key":{"user_id":"me","user_id":"somebody"}}`, "a", "a"},
		{`{"operation":"create-api-key","key":{"user_id":["me"]}}`, "a", "a"},
		{`{"operation":"create-api-key","key":{"user_id":""}}`, "a", "a"},
		{`{"operation":"create-api-key","key":{"USER_ID":"me"}}`, "a", "a"},
		{`{"operation":"create-api-key","key":[["user_id","me"]]}`, "a", "a"},
		{`{"operation":"create-api-key","key":null}`, "a", "a"},
		{`{"operation":"create-api-key","user_id":"me"}`, "a", "a"},
		{`{"operation":"list-api-keys","user_id":"me"}`, "rwa", "a"},
		{`{"operation":"list-api-keys","user_id":"me ","key":{"user_id":"me"}}`, "a", "a"},
		{`{"operation":"list-api-keys","user_id":null}`, "a", "a"},
		{`{"operation":"list-api-keys","key":{"user_id":"me"}}`, "a", "a"},
		{`{"operation":"revoke-api-key","key_id":"mine"}`, "rwa", "a"},
		{`{"operation":"revoke-api-key","key_id":"smuggled"}`, "a", "a"},
		{`{"operation":"revoke-api-key","key_id":"other"}`, "a", "a"},
		{`{"operation":"revoke-api-key","key_id":"mine","key_id":"other"}`, "a", "a"},
		{`{"operation":"revoke-api-key","key_id":""}`, "a", "a"},
		{`{"operation":"revoke-api-key","key_id":["mine"]}`, "a", "a"},
		{`{"operation":"revoke-api-key","user_id":"me"}`, "a", "a"},
		{`{"operation":"change-password","user_id":"me"}`, "nrwa", "a"},
		{`{"operation":"change-password","user_id":"somebody"}`, "a", "a"},
		{`{"operation":"change-password"}`, "a", "a"},
		{`{"operation":"reset-password","user_id":"me"}`, "a", "a"},
		{`{"operation":"get-user","user_id":"me"}`, "a", "a"},
		{`{"operation":"delete-user","user_id":"me"}`, "a", "a"},
	}
	for _, tt := range tests {
		expectAccess(t, table, tt.body, accessOf(t, HTTP, codec.IAM, tt.body), tt.own, tt.other)
	}
}

// TestRolesNeedUsersAdmin needs a role of its own, because the only built-in role
// with users:write has users:admin too.
func TestRolesNeedUsersAdmin(t *testing.T) {
	clerk := &Identity{UserID: "me", Workspace: "acme", grants: grants{assigned: setOf(capUsersWrite)}}
	table := NewRoleTable(nil)
	tests := []struct {
		body string
		want error
	}{
		{`{"operation":"update-user","user":{"name":"Al"}}`, nil},
		{`{"operation":"update-user","user":{"Roles":["admin"]}}`, nil},
		{`{"operation":"update-user"}`, nil},
		{`{"operation":"update-user","user":null}`, nil},
		{`{"operation":"update-user","roles":["admin"]}`, nil},
		{`{"operation":"update-user","user":{"roles":["admin"]}}`, ErrDenied},
		{`{"operation":"update-user","user":{"roles":[]}}`, ErrDenied},
		{`{"operation":"update-user","user":{"roles":null}}`, ErrDenied},
		{`{"operation":"update-user","user":{"rol\u0065s":["admin"]}}`, ErrDenied},
		{`{"operation":"update-user","user":{},"user":{"roles":["admin"]}}`, ErrDenied},
		{`{"operation":"update-user","user":[["roles",["admin"]]]}`, ErrDenied},
		{`{"operation":"create-user","user":{"name":"Al"}}`, ErrDenied},
	}
	for _, tt := range tests {
		err := table.Authorise(clerk, accessOf(t, Socket, codec.IAM, tt.body), Target{})
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", tt.body, err)
		}
	}
}

// TestSystemOperationsNeedScope: a capability in one workspace is not enough for
// what concerns all of them.
func TestSystemOperationsNeedScope(t *testing.T) {
	local := &Identity{UserID: "me", Workspace: "acme", grants: grants{assigned: allCapabilities}}
	table := NewRoleTable(nil)
	for _, body := range []string{
		`{"operation":"disable-workspace","workspace_record":{"id":"other"}}`,
		`{"operation":"rotate-signing-key"}`,
		`{"operation":"change-password","user_id":"somebody"}`,
		`{"operation":"nonsense"}`,
	} {
		if err := table.Authorise(local, accessOf(t, HTTP, codec.IAM, body), Target{}); !errors.Is(err, ErrDenied) {
			t.Errorf("%s: %v", body, err)
		}
	}
	all := accessOf(t, HTTP, codec.Config, `{"operation":"getvalues-all-ws","type":"flow"}`)
	if err := table.Authorise(local, all, Target{}); !errors.Is(err, ErrDenied) {
		t.Errorf("getvalues-all-ws: %v", err)
	}
}

func TestRevokeWithoutIAM(t *testing.T) {
	away := newFakeIAM()
	away.on("list-api-keys", func(codec.IAMRequest) (codec.IAMReply, error) {
		return codec.IAMReply{}, errors.New("bus away")
	})
	broken := newFakeIAM()
	broken.on("list-api-keys", func(codec.IAMRequest) (codec.IAMReply, error) {
		return *failure("internal-error", "boom"), nil
	})
	gone := newFakeIAM()
	gone.on("list-api-keys", func(codec.IAMRequest) (codec.IAMReply, error) {
		return *failure("not-found", "user not found in workspace"), nil
	})
	a := accessOf(t, HTTP, codec.IAM, `{"operation":"revoke-api-key","key_id":"k"}`)
	tests := []struct {
		name string
		iam  IAM
		want error
	}{
		{"none", nil, ErrUnavailable},
		{"away", away, ErrUnavailable},
		{"broken", broken, ErrUnavailable},
		{"garbage", garbageIAM{}, ErrUnavailable},
		{"gone", gone, ErrDenied},
	}
	for _, tt := range tests {
		if err := NewRoleTable(tt.iam).Authorise(matrixCallers['r'], a, Target{}); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	if err := NewRoleTable(nil).Authorise(matrixCallers['a'], a, Target{}); err != nil {
		t.Errorf("keys:admin needs no look-up: %v", err)
	}
	if err := NewRoleTable(nil).Authorise(matrixCallers['n'], a, Target{}); !errors.Is(err, ErrDenied) {
		t.Errorf("no role causes no look-up: %v", err)
	}
}

type garbageIAM struct{}

func (garbageIAM) Ask([]byte) ([]byte, error) { return []byte(`[1`), nil }
