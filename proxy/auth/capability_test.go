package auth

import (
	"encoding/json"
	"reflect"
	"testing"

	"sluice/codec"
)

type capabilityVectors struct {
	Check []struct {
		Roles      []string `json:"roles"`
		Assigned   string   `json:"assigned"`
		Capability string   `json:"capability"`
		Target     *string  `json:"target"`
		Allow      bool     `json:"allow"`
	} `json:"check"`
	Enforce []struct {
		Roles      []string        `json:"roles"`
		Assigned   string          `json:"assigned"`
		Body       json.RawMessage `json:"body"`
		Capability *string         `json:"capability"`
		Out        any             `json:"out"`
		Denied     bool            `json:"denied"`
	} `json:"enforce_workspace"`
}

func readCapabilityVectors(t *testing.T) capabilityVectors {
	t.Helper()
	var v capabilityVectors
	readJSON(t, "testdata/capabilities.json", &v)
	if len(v.Check) != 104 || len(v.Enforce) != 42 {
		t.Fatalf("%d and %d vectors, expected 104 and 42", len(v.Check), len(v.Enforce))
	}
	return v
}

func TestCheckVectors(t *testing.T) {
	for i, v := range readCapabilityVectors(t).Check {
		target := ""
		if v.Target != nil {
			target = *v.Target
		}
		if got := Check(v.Roles, v.Assigned, v.Capability, target); got != v.Allow {
			t.Errorf("vector %d (%v in %q, %s, target %q): %v", i, v.Roles, v.Assigned, v.Capability, target, got)
		}
	}
}

// TestEnforceWorkspaceVectors does what proxy does with a body: take the member
// from the parsed value, resolve it, decide, and write the target back.
func TestEnforceWorkspaceVectors(t *testing.T) {
	for i, v := range readCapabilityVectors(t).Enforce {
		out, allowed := enforceWorkspace(t, v.Body, NewIdentity("u", v.Assigned, v.Roles), v.Capability)
		if allowed == v.Denied {
			t.Errorf("vector %d (%s): allowed is %v", i, v.Body, allowed)
			continue
		}
		if allowed && !reflect.DeepEqual(out, v.Out) {
			t.Errorf("vector %d (%s): got %v, expected %v", i, v.Body, out, v.Out)
		}
	}
}

func enforceWorkspace(t *testing.T, body []byte, id *Identity, capability *string) (out any, allowed bool) {
	t.Helper()
	if err := json.Unmarshal(body, &out); err != nil {
		t.Fatal(err)
	}
	object, isObject := out.(map[string]any)
	if !isObject {
		return out, true
	}
	parsed, err := codec.ParseValue(body)
	if err != nil {
		t.Fatal(err)
	}
	member := parsed.Get("workspace")
	text, isText := member.String()
	target := ResolveWorkspace(id, text, isText, member.Truthy())
	needed := capAgent // every role has it: the question of no capability at all
	if capability != nil {
		var known bool
		if needed, known = ParseCapability(*capability); !known {
			return nil, false
		}
	}
	if !target.Opaque {
		object["workspace"] = target.Name
	}
	return object, id.Allows(needed, target)
}

func TestCapabilityNames(t *testing.T) {
	seen := make(map[string]bool)
	for c := range capabilityCount {
		name := c.String()
		parsed, known := ParseCapability(name)
		if !known || parsed != c || seen[name] {
			t.Errorf("capability %d: %q, parsed back as %d", c, name, parsed)
		}
		seen[name] = true
	}
	if len(seen) != 26 {
		t.Errorf("%d capabilities, the contract has 26", len(seen))
	}
	for _, name := range []string{"", "Agent", "graph", "graph:read ", "__public__", "unknown"} {
		if _, known := ParseCapability(name); known {
			t.Errorf("%q is known", name)
		}
	}
}

func TestNothingOutsideTheClosedSetIsAllowed(t *testing.T) {
	admin := NewIdentity("u", "acme", []string{"admin"})
	for c := int(capabilityCount); c < 256; c++ {
		if admin.Allows(Capability(c), Target{}) {
			t.Errorf("capability %d is allowed", c)
		}
	}
}

// TestOneRoleMustHaveBoth is G14: with roles of one's own making, capability and
// workspace must come from the same role.
func TestOneRoleMustHaveBoth(t *testing.T) {
	table := []role{
		{name: "local-writer", can: setOf(capGraphWrite)},
		{name: "auditor", can: setOf(capGraphRead), everywhere: true},
	}
	id := &Identity{Workspace: "acme", grants: grantsOf(table, []string{"local-writer", "auditor"})}
	tests := []struct {
		c      Capability
		target string
		want   bool
	}{
		{capGraphWrite, "acme", true},
		{capGraphWrite, "", true},
		{capGraphWrite, "other", false},
		{capGraphRead, "acme", true},
		{capGraphRead, "other", true},
		{capRowsRead, "acme", false},
	}
	for _, tt := range tests {
		if got := id.Allows(tt.c, Target{Name: tt.target}); got != tt.want {
			t.Errorf("%s in %q: %v", tt.c, tt.target, got)
		}
	}
}

func TestResolveWorkspace(t *testing.T) {
	id := NewIdentity("u", "acme", []string{"admin"})
	tests := []struct {
		value string // JSON, empty for absent
		want  Target
	}{
		{``, Target{Name: "acme"}},
		{`null`, Target{Name: "acme"}},
		{`""`, Target{Name: "acme"}},
		{`0`, Target{Name: "acme"}},
		{`0.0`, Target{Name: "acme"}},
		{`false`, Target{Name: "acme"}},
		{`[]`, Target{Name: "acme"}},
		{`{}`, Target{Name: "acme"}},
		{`"acme"`, Target{Name: "acme"}},
		{`"\u0061cme"`, Target{Name: "acme"}},
		{`"other"`, Target{Name: "other"}},
		{`" "`, Target{Name: " "}},
		{`7`, Target{Opaque: true}},
		{`true`, Target{Opaque: true}},
		{`["acme"]`, Target{Opaque: true}},
		{`{"a":1}`, Target{Opaque: true}},
	}
	for _, tt := range tests {
		var v codec.Value
		if tt.value != "" {
			var err error
			if v, err = codec.ParseValue([]byte(tt.value)); err != nil {
				t.Fatal(err)
			}
		}
		text, isText := v.String()
		if got := ResolveWorkspace(id, text, isText, v.Truthy()); got != tt.want {
			t.Errorf("%s: %+v", tt.value, got)
		}
	}
}

func TestNames(t *testing.T) {
	if JWT.String() != "jwt" || APIKey.String() != "api-key" || capabilityCount.String() != "unknown" {
		t.Error("names differ from the contract's")
	}
}
