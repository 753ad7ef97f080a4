package auth

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"sluice/codec"
)

// Columns say whose request passes: n an identity without roles, r reader, w
// writer, a admin. The first column is the caller's own workspace, the second one
// of somebody else; a workspace that is no text counts as the latter.
type matrixRow struct {
	kind       string
	operations string // blank-separated; "-" is a body without one
	own, other string
}

// servicesMatrix is the table of the issue and of gateway.md 5.2 and 18.5, for
// HTTP and for sockets.
var servicesMatrix = []matrixRow{
	{"agent", "- x", "rwa", "a"},
	{"text-completion", "- x", "rwa", "a"},
	{"prompt", "- x", "rwa", "a"},
	{"mcp-tool", "- x", "rwa", "a"},
	{"graph-rag", "- x", "rwa", "a"},
	{"document-rag", "- x", "rwa", "a"},
	{"embeddings", "- x", "rwa", "a"},
	{"graph-embeddings", "- x", "rwa", "a"},
	{"document-embeddings", "- x", "rwa", "a"},
	{"row-embeddings", "- x", "rwa", "a"},
	{"triples", "- x", "rwa", "a"},
	{"sparql", "- x", "rwa", "a"},
	{"rows", "- x", "rwa", "a"},
	{"nlp-query", "- x", "rwa", "a"},
	{"structured-query", "- x", "rwa", "a"},
	{"structured-diag", "- x detect-type generate-descriptor diagnose schema-selection", "rwa", "a"},
	{"text-load", "- x", "wa", "a"},
	{"document-load", "- x", "wa", "a"},

	{"config", "get list getvalues config", "rwa", "a"},
	{"config", "getvalues-all-ws", "a", "a"},
	{"config", "put delete getkeys-all-ws - x GET get\x00", "a", "a"},

	{"flow", "list-blueprints get-blueprint list-flows get-flow", "rwa", "a"},
	{"flow", "put-blueprint delete-blueprint start-flow stop-flow - x List-Flows", "a", "a"},

	{"librarian", "get-document-metadata get-document-content stream-document list-documents list-children " +
		"list-processing get-upload-status list-uploads", "rwa", "a"},
	{"librarian", "add-document remove-document update-document add-child-document add-processing " +
		"remove-processing begin-upload upload-chunk complete-upload abort-upload - x", "wa", "a"},

	{"knowledge", "list-kg-cores get-kg-core", "rwa", "a"},
	{"knowledge", "put-kg-core delete-kg-core load-kg-core unload-kg-core - x", "wa", "a"},

	{"collection-management", "list-collections", "rwa", "a"},
	{"collection-management", "update-collection delete-collection - x", "wa", "a"},

	// About somebody else: the user id of the bodies is not the caller's.
	{"iam", "list-users get-user", "a", "a"},
	{"iam", "update-user create-user disable-user enable-user delete-user reset-password", "a", "a"},
	{"iam", "create-api-key list-api-keys revoke-api-key change-password", "a", "a"},
	{"iam", "create-workspace list-workspaces get-workspace update-workspace disable-workspace", "a", "a"},
	{"iam", "list-my-workspaces", "nrwa", "a"},
	{"iam", "rotate-signing-key get-signing-key-public resolve-api-key bootstrap login - x", "a", "a"},
}

// streamsMatrix is gateway.md 5.3 and the routes with a capability of their own.
var streamsMatrix = map[Surface][]matrixRow{
	Import: {
		{"triples", "-", "wa", "a"},
		{"graph-embeddings", "-", "wa", "a"},
		{"document-embeddings", "-", "wa", "a"},
		{"entity-contexts", "-", "wa", "a"},
		{"rows", "-", "wa", "a"},
	},
	Export: {
		{"triples", "-", "rwa", "a"},
		{"graph-embeddings", "-", "rwa", "a"},
		{"document-embeddings", "-", "rwa", "a"},
		{"entity-contexts", "-", "rwa", "a"},
	},
	CoreImport:     {{"", "-", "a", "a"}},
	CoreExport:     {{"", "-", "a", "a"}},
	DocumentStream: {{"", "-", "rwa", "a"}},
	Metrics:        {{"", "-", "a", "a"}},
}

var matrixCallers = map[byte]*Identity{
	'n': NewIdentity("me", "acme", []string{"made-up", "Admin"}),
	'r': NewIdentity("me", "acme", []string{"reader"}),
	'w': NewIdentity("me", "acme", []string{"writer"}),
	'a': NewIdentity("me", "acme", []string{"admin"}),
}

var othersTargets = []Target{{Name: "other"}, {Name: "Acme"}, {Opaque: true}}

// expectAccess checks one access against both columns.
func expectAccess(t *testing.T, authoriser Authoriser, name string, a Access, own, other string) {
	t.Helper()
	for letter, id := range matrixCallers {
		for _, target := range []Target{{}, {Name: "acme"}} {
			expectDecision(t, name, authoriser.Authorise(id, a, target), letter, own)
		}
		for _, target := range othersTargets {
			expectDecision(t, name+" elsewhere", authoriser.Authorise(id, a, target), letter, other)
		}
		if strings.IndexByte(own+other, letter) >= 0 && !authoriser.AllowsAny(id, a.Surface, a.Kind) {
			t.Errorf("%s: %c is turned away before the body", name, letter)
		}
	}
}

func expectDecision(t *testing.T, name string, err error, letter byte, column string) {
	t.Helper()
	want := ErrDenied
	if strings.IndexByte(column, letter) >= 0 {
		want = nil
	}
	if !errors.Is(err, want) {
		t.Errorf("%s as %c: %v, expected %v", name, letter, err, want)
	}
}

func kindOf(t *testing.T, name string) codec.Kind {
	t.Helper()
	kind, known := codec.ParseKind(name)
	if !known {
		t.Fatalf("unknown kind %q", name)
	}
	return kind
}

func accessOf(t *testing.T, surface Surface, kind codec.Kind, body string) Access {
	t.Helper()
	var req codec.Request
	if err := req.Parse(kind, []byte(body)); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return ServiceAccess(surface, &req)
}

func bodyOf(operation string) string {
	if operation == "-" {
		return `{"user_id":"somebody","key":{"user_id":"somebody"},"key_id":"k0"}`
	}
	quoted, err := json.Marshal(operation)
	if err != nil {
		panic(err)
	}
	return `{"operation":` + string(quoted) + `,"user_id":"somebody","key":{"user_id":"somebody"},"key_id":"k0"}`
}

// strangeBodies have an operation that is no string, or are no objects.
var strangeBodies = []string{
	`{"operation":null}`, `{"operation":5}`, `{"operation":["get"]}`, `{"operation":{"a":"list-users"}}`,
	`{"operation":true}`, `{"operation":""}`, `{"operation":"get","operation":7}`, `{"Operation":"get"}`,
	`{"operation":"list-flows","operation":"stop-flow"}`, `{}`, `[]`, `"get"`, `5`, `null`,
}

func TestOperationMatrix(t *testing.T) {
	iam := newFakeIAM()
	iam.on("list-api-keys", func(codec.IAMRequest) (codec.IAMReply, error) { return codec.IAMReply{}, nil })
	table := NewRoleTable(iam)
	for _, surface := range []Surface{HTTP, Socket} {
		for _, row := range servicesMatrix {
			kind := kindOf(t, row.kind)
			for _, operation := range strings.Split(row.operations, " ") {
				name := fmt.Sprintf("surface %d: %s %s", surface, row.kind, operation)
				expectAccess(t, table, name, accessOf(t, surface, kind, bodyOf(operation)), row.own, row.other)
			}
		}
		// The row with "-" says who may send what is no operation at all.
		for _, row := range servicesMatrix {
			if !slices.Contains(strings.Split(row.operations, " "), "-") {
				continue
			}
			for _, body := range strangeBodies {
				name := fmt.Sprintf("surface %d: %s %s", surface, row.kind, body)
				expectAccess(t, table, name, accessOf(t, surface, kindOf(t, row.kind), body), row.own, row.other)
			}
		}
	}
	for surface, rows := range streamsMatrix {
		for _, row := range rows {
			a := Access{Surface: surface}
			if row.kind != "" {
				a.Kind = kindOf(t, row.kind)
			}
			expectAccess(t, table, fmt.Sprintf("surface %d: %s", surface, row.kind), a, row.own, row.other)
		}
	}
}

// TestMatrixIsComplete: whatever the registry lists is in the matrix, and what is
// not in the matrix is allowed to nobody.
func TestMatrixIsComplete(t *testing.T) {
	rows := make(map[string][]string)
	for _, row := range servicesMatrix {
		rows[row.kind] = append(rows[row.kind], strings.Split(row.operations, " ")...)
	}
	for kind, s := range services {
		missing := slices.DeleteFunc(slices.Collect(maps.Keys(s.listed)), func(operation string) bool {
			return slices.Contains(rows[kind.String()], operation)
		})
		if len(missing) > 0 || !slices.Contains(rows[kind.String()], "-") {
			t.Errorf("%s: the matrix lacks %v", kind, missing)
		}
	}
	expectNothingElse(t, rows)
}

func expectNothingElse(t *testing.T, rows map[string][]string) {
	t.Helper()
	inMatrix := func(surface Surface, kind codec.Kind) bool {
		if surface == HTTP || surface == Socket {
			return rows[kind.String()] != nil
		}
		return slices.ContainsFunc(streamsMatrix[surface], func(r matrixRow) bool {
			return r.kind == "" || r.kind == kind.String()
		})
	}
	table, admin := NewRoleTable(nil), matrixCallers['a']
	for surface := HTTP; surface <= Metrics+3; surface++ {
		for _, kind := range append(codec.Kinds(), 0, 255) {
			if inMatrix(surface, kind) {
				continue
			}
			a := Access{Surface: surface, Kind: kind, Operation: []byte("get"), HasOperation: true}
			if err := table.Authorise(admin, a, Target{}); !errors.Is(err, ErrDenied) {
				t.Errorf("surface %d, kind %q: %v", surface, kind, err)
			}
			if table.AllowsAny(admin, surface, kind) {
				t.Errorf("surface %d, kind %q: allowed before the body", surface, kind)
			}
		}
	}
}

// TestAllowsAny: who gets as far as having the body read.
func TestAllowsAny(t *testing.T) {
	table := NewRoleTable(nil)
	who := map[string]string{"text-load": "wa", "document-load": "wa", "iam": "nrwa"}
	for kind := range services {
		want, found := who[kind.String()]
		if !found {
			want = "rwa"
		}
		for letter, id := range matrixCallers {
			if got := table.AllowsAny(id, Socket, kind); got != (strings.IndexByte(want, letter) >= 0) {
				t.Errorf("%s as %c: %v", kind, letter, got)
			}
		}
	}
	for letter, id := range matrixCallers {
		if got := table.AllowsAny(id, Metrics, 0); got != (letter == 'a') {
			t.Errorf("metrics as %c: %v", letter, got)
		}
	}
}
