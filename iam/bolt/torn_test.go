package bolt

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"sluice/iam"
)

// step is one change of a store. It can be made again on the state before it.
type step struct {
	name string
	do   func(s iam.Store) error
}

var steps = []step{
	{"seed", func(s iam.Store) error {
		return s.Seed(context.Background(), iam.Seed{
			Workspace:  iam.Workspace{ID: "default", Enabled: true},
			Admin:      iam.User{ID: "root", Workspace: "default", Username: "admin", Roles: []string{iam.RoleAdmin}, Enabled: true},
			Key:        iam.APIKey{Hash: "h", ID: "k", UserID: "root"},
			SigningKey: iam.SigningKey{KID: "s", Created: time.Unix(1, 0)},
		})
	}},
	{"workspace", func(s iam.Store) error {
		return s.CreateWorkspace(context.Background(), iam.Workspace{ID: "acme", Enabled: true})
	}},
	{"user", func(s iam.Store) error {
		return s.CreateUser(context.Background(), iam.User{ID: "ann", Workspace: "acme", Username: "ann", Enabled: true})
	}},
	{"key", func(s iam.Store) error {
		return s.CreateAPIKey(context.Background(), iam.APIKey{Hash: "h1", ID: "k1", UserID: "ann"})
	}},
	{"rotate", func(s iam.Store) error {
		return s.RotateSigningKey(context.Background(), iam.SigningKey{KID: "t", Created: time.Unix(2, 0)})
	}},
	{"disable", func(s iam.Store) error { return s.DisableUser(context.Background(), "ann") }},
	{"disable workspace", func(s iam.Store) error { return s.DisableWorkspace(context.Background(), "acme") }},
	{"delete", func(s iam.Store) error { return s.DeleteUser(context.Background(), "ann") }},
}

// TestCrashBetweenAnyTwoWrites builds, for every change, the files that a crash
// could leave: with none, some or all of the change's pages written, and with
// half a meta page. Each must hold the state before the change or the one after
// it, and the change can be made from the former.
func TestCrashBetweenAnyTwoWrites(t *testing.T) {
	s := openNew(t)
	before := contents(t, s.path)
	for _, step := range steps {
		wasThere := dump(t, s)
		if err := step.do(s); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		after := contents(t, s.path)
		isThere := dump(t, s)
		for i, torn := range tornFiles(before, after) {
			again := reopen(t, torn)
			if got := dump(t, again); got != wasThere {
				t.Fatalf("%s, crash %d: holds\n%s\nwant\n%s", step.name, i, got, wasThere)
			}
			if err := step.do(again); err != nil {
				t.Fatalf("%s, crash %d: cannot be repeated: %v", step.name, i, err)
			}
			if got := dump(t, again); got != isThere {
				t.Fatalf("%s, crash %d: repeated, holds\n%s\nwant\n%s", step.name, i, got, isThere)
			}
		}
		if got := dump(t, reopen(t, after)); got != isThere {
			t.Fatalf("%s: holds\n%s\nwant\n%s", step.name, got, isThere)
		}
		before = after
	}
}

// tornFiles returns what may be on the disk while before becomes after. The meta
// pages, which are the first two, are written last.
func tornFiles(before, after []byte) (files [][]byte) {
	page := os.Getpagesize()
	torn := append(bytes.Clone(before), make([]byte, len(after)-len(before))...)
	files = append(files, bytes.Clone(before), bytes.Clone(torn))
	var metas []int
	for at := 0; at < len(after); at += page {
		if bytes.Equal(torn[at:at+page], after[at:at+page]) {
			continue
		}
		if at < 2*page {
			metas = append(metas, at)
			continue
		}
		copy(torn[at:], after[at:at+page/2])
		files = append(files, bytes.Clone(torn))
		copy(torn[at:], after[at:at+page])
		files = append(files, bytes.Clone(torn))
	}
	for _, at := range metas {
		half := bytes.Clone(torn)
		copy(half[at:], after[at:at+pageHeaderBytes+metaBytes-20])
		files = append(files, half)
	}
	return files
}

func contents(t *testing.T, path string) []byte {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func dump(t *testing.T, s *Store) string {
	t.Helper()
	var out bytes.Buffer
	if _, err := iam.ExportLines(t.Context(), s, &out); err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(out.Bytes(), []byte("\n"))
	slices.SortFunc(lines, bytes.Compare)
	return string(bytes.Join(lines, nil))
}

func reopen(t *testing.T, raw []byte) *Store {
	t.Helper()
	path := filepath.Join(t.TempDir(), "iam.db")
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Open(path, Options{MustExist: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}
