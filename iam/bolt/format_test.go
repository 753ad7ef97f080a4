package bolt

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"sluice/iam"
)

// TestFormat holds the code to a file that an earlier state of it wrote, and to
// the records in it: every later state must read that file, and store the same
// records in the same bytes. The fixture is never rewritten. A new format is a
// new name in meta, and another fixture beside this one.
func TestFormat(t *testing.T) {
	lines := contents(t, "testdata/"+format+".jsonl")
	old := reopen(t, contents(t, "testdata/"+format+".db"))
	var out bytes.Buffer
	if _, err := iam.ExportLines(t.Context(), old, &out); err != nil || out.String() != string(lines) {
		t.Errorf("%v, the file holds\n%s\nwant\n%s", err, out.Bytes(), lines)
	}
	fresh := openNew(t)
	if _, err := iam.ImportLines(t.Context(), fresh, bytes.NewReader(lines)); err != nil {
		t.Fatal(err)
	}
	if got, want := pairs(t, fresh), pairs(t, old); got != want {
		t.Errorf("written now:\n%s\nwant\n%s", got, want)
	}
}

// pairs is every key and value of a store, indexes included.
func pairs(t *testing.T, s *Store) string {
	t.Helper()
	var out strings.Builder
	err := s.db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
			return b.ForEach(func(key, value []byte) error {
				_, err := fmt.Fprintf(&out, "%s %q: %q\n", name, key, value)
				return err
			})
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}
