package auth

import (
	"bytes"
	"testing"
)

func TestBearer(t *testing.T) {
	tests := []struct {
		header, token string
	}{
		{"Bearer tg_x", "tg_x"},
		{"Bearer   tg_x  ", "tg_x"},
		{"Bearer \ttg_x\r\n", "tg_x"},
		{"Bearer a b", "a b"},
		{"Bearer Bearer x", "Bearer x"},
		{"", ""},
		{"Bearer", ""},
		{"Bearer ", ""},
		{"Bearer     ", ""},
		{"bearer tg_x", ""},
		{"BEARER tg_x", ""},
		{"Bearer\ttg_x", ""},
		{" Bearer tg_x", ""},
		{"Bearertg_x", ""},
		{"Basic dXNlcjpwYXNz", ""},
	}
	for _, tt := range tests {
		token, ok := Bearer([]byte(tt.header))
		if string(token) != tt.token || ok != (tt.token != "") {
			t.Errorf("%q: %q, %v", tt.header, token, ok)
		}
	}
}

func FuzzBearer(f *testing.F) {
	for _, seed := range []string{"Bearer tg_x", "Bearer ", "bearer x", "Bearer \x00\xff", "Bearer a.b.c"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, header []byte) {
		token, ok := Bearer(header)
		if ok != (len(token) > 0) {
			t.Fatalf("%q: %q, %v", header, token, ok)
		}
		if ok && (!bytes.HasPrefix(header, bearerScheme) || !bytes.Contains(header, token)) {
			t.Fatalf("%q is not in %q", token, header)
		}
		if ok && len(bytes.TrimSpace(token)) != len(token) {
			t.Fatalf("%q is not trimmed", token)
		}
	})
}
