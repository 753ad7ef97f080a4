package auth

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
)

func sha256Hex(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func TestParseAPIKeys(t *testing.T) {
	h := sha256Hex("tg_a")
	tests := []struct {
		name, text string
		wrong      string // part of the error; empty when it parses
	}{
		{"flow style", `[{sha256: "` + h + `", user: u, workspace: w, roles: [reader, admin]}]`, ""},
		{"JSON", `[{"sha256":"` + h + `","user":"u","workspace":"w","roles":["reader"]}]`, ""},
		{"upper case digits", `[{sha256: "` + strings.ToUpper(h) + `", user: u, workspace: w}]`, ""},
		{"not hexadecimal", `[{sha256: tg_a, user: u, workspace: w}]`, "key 1: sha256 must be 64"},
		{"short", `[{sha256: ab, user: u, workspace: w}]`, "key 1: sha256 must be 64"},
		{"no user", `[{sha256: "` + h + `", workspace: w}]`, "key 1: user is missing"},
		{"no workspace", `[{sha256: "` + h + `", user: u}]`, "key 1: workspace is missing"},
		{"misspelt role", `[{sha256: "` + h + `", user: u, workspace: w, roles: [writers]}]`, `unknown role "writers"`},
		{"misspelt member", `[{sha256: "` + h + `", user: u, workspace: w, role: [reader]}]`, "expected a list of keys"},
		{"no list", `sha256: ab`, "expected a list of keys"},
		{"twice", `[{sha256: "` + h + `", user: u, workspace: w}, {sha256: "` + h + `", user: v, workspace: w}]`, "key 2: sha256 is that of an earlier key"},
	}
	for _, tt := range tests {
		keys, err := parseAPIKeys([]byte(tt.text))
		switch {
		case tt.wrong == "" && (err != nil || len(keys) != 1 || keys[sha256.Sum256([]byte("tg_a"))].UserID != "u"):
			t.Errorf("%s: %v, %v", tt.name, keys, err)
		case tt.wrong != "" && (err == nil || !strings.Contains(err.Error(), tt.wrong)):
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}
