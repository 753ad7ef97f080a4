package iam

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestImportRefusesNonsense(t *testing.T) {
	const good = `{"type":"workspace","id":"w","enabled":true}` + "\n"
	for text, want := range map[string]string{
		"{":                                     "record 2: is not a record as JSON",
		"secret":                                "record 2: is not a record as JSON",
		"[]":                                    "record 2: is not a record as JSON",
		`{"type":"user","id":"u","roles":"x"}`:  "record 2: is not a record as JSON",
		`{"type":"user","id":"u","nope":1}`:     "record 2: is not a record as JSON",
		`{"type":"user","id":"u"} {}`:           "record 2: is not a record as JSON",
		`{"type":"user","id":"` + "\xff" + `"}`: "record 2: is not UTF-8",
		`{"type":"ghost","id":"u"}`:             "record 2: has no known type",
		`{}`:                                    "record 2: has no known type",
		`{"type":"user"}`:                       "record 2: has no usable identity",
		`{"type":"api_key","id":"x"}`:           "record 2: has no usable identity",
		`{"type":"user","id":"u","created":"yesterday"}`:           "record 2: has a time that is not RFC 3339",
		`{"type":"user","id":"` + strings.Repeat("x", 5000) + `"}`: "record 2: has no usable identity",
		strings.Repeat("x", maxRecordBytes+1):                      "after record 1: bufio.Scanner: token too long",
	} {
		m := NewMemory()
		_, err := ImportLines(context.Background(), m, strings.NewReader(good+"\n"+text))
		if err == nil || err.Error() != want {
			t.Errorf("%.40s: error %v, want %s", text, err, want)
		}
		if len(m.workspaces)+len(m.users) > 0 {
			t.Errorf("%.40s: half of it is stored", text)
		}
	}
}

// Of two users of one name, as the reference's races leave them, the first gets
// it, and both are kept.
func TestImportOfDoubles(t *testing.T) {
	m := NewMemory()
	lines := `{"type":"user","id":"a","workspace":"w","username":"n"}
{"type":"user","id":"b","workspace":"w","username":"n"}
{"type":"user","id":"ghost"}`
	if n, err := ImportLines(context.Background(), m, strings.NewReader(lines)); n != 3 || err != nil {
		t.Fatal(n, err)
	}
	if id, err := m.UserID(context.Background(), "w", "n"); id != "a" || err != nil {
		t.Errorf("the name belongs to %q, %v", id, err)
	}
	if err := m.DeleteUser(context.Background(), "b"); err != nil {
		t.Error(err)
	}
	if id, err := m.UserID(context.Background(), "w", "n"); id != "a" || err != nil {
		t.Errorf("after the other one was deleted it belongs to %q, %v", id, err)
	}
}

// No text of an end makes a key that never ends.
func TestImportKeepsEnds(t *testing.T) {
	m := NewMemory()
	for expires, endless := range map[string]bool{``: true, `0001-01-01T00:00:00Z`: false, `0001-01-01T01:00:00.0001+01:00`: false} {
		line := `{"type":"api_key","key_hash":"h` + expires + `","expires":"` + expires + `"}`
		if _, err := ImportLines(context.Background(), m, strings.NewReader(line)); err != nil {
			t.Fatal(err)
		}
		key, err := m.APIKey(context.Background(), "h"+expires)
		if err != nil || key.Expires.IsZero() != endless {
			t.Errorf("%q: %v, %v", expires, key.Expires, err)
		}
		m = NewMemory()
	}
}

// Both directions stop when their context has ended.
func TestMovesEnd(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	full, empty := NewMemory(), NewMemory()
	full.put(&Workspace{ID: "w"})
	if n, err := ExportLines(ctx, full, io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("exported %d records, %v", n, err)
	}
	if n, err := ImportLines(ctx, empty, strings.NewReader(`{"type":"workspace","id":"w"}`)); !errors.Is(err, context.Canceled) || len(empty.workspaces) > 0 {
		t.Errorf("imported %d records, %v", n, err)
	}
}

func FuzzImport(f *testing.F) {
	f.Add([]byte(`{"type":"workspace","id":"w","enabled":true}`))
	f.Add([]byte(`{"type":"user","id":"u","roles":["b","a"],"created":"2026-11-21T17:42:33.752Z"}`))
	f.Add([]byte(`{"type":"api_key","key_hash":"h","expires":"9999-12-31T23:59:59Z"}` + "\n" + `{"type":"signing_key","kid":"k"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		first, second := NewMemory(), NewMemory()
		if _, err := ImportLines(context.Background(), first, bytes.NewReader(text)); err != nil {
			return
		}
		var a, b bytes.Buffer
		if _, err := ExportLines(context.Background(), first, &a); err != nil {
			t.Fatal(err)
		}
		n, err := ImportLines(context.Background(), second, bytes.NewReader(a.Bytes()))
		if err != nil {
			t.Fatalf("cannot be read again: %v\n%s", err, a.Bytes())
		}
		m, err := ExportLines(context.Background(), second, &b)
		if err != nil || n != m {
			t.Fatalf("%d records became %d, %v", n, m, err)
		}
	})
}
