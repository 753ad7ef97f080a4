package bolt

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"sluice/iam"
	"sluice/iam/storetest"
)

func TestMain(m *testing.M) {
	if path := os.Getenv("SLUICE_TEST_WRITE_TO"); path != "" {
		os.Exit(writeUntilKilled(path))
	}
	goleak.VerifyTestMain(m)
}

// open opens a new store for the length of a test.
func openNew(t testing.TB) *Store {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "iam.db"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) iam.Store { return openNew(t) })
}

func TestReopenKeepsEverything(t *testing.T) {
	path := filepath.Join(t.TempDir(), "iam.db")
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.CreateWorkspace(t.Context(), iam.Workspace{ID: "w", Enabled: true}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, err = Open(path, Options{MustExist: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if w, err := s.Workspace(t.Context(), "w"); err != nil || !w.Enabled {
		t.Errorf("%+v, %v", w, err)
	}
	names, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*"))
	if err != nil || len(names) != 1 {
		t.Errorf("files %v, %v", names, err)
	}
}

func TestSecondOpenerIsRefused(t *testing.T) {
	s := openNew(t)
	if _, err := Open(s.path, Options{}); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), s.path) {
		t.Errorf("error %v", err)
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none"), Options{MustExist: true}); !errors.Is(err, ErrNotThere) {
		t.Errorf("error %v", err)
	}
}

func TestFileMode(t *testing.T) {
	s := openNew(t)
	check := func() {
		t.Helper()
		info, err := os.Stat(s.path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
	}
	check()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(s.path, 0o664); err != nil {
		t.Fatal(err)
	}
	var logged bytes.Buffer
	again, err := Open(s.path, Options{Logger: slog.New(slog.NewTextHandler(&logged, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	check()
	if !strings.Contains(logged.String(), "0664") {
		t.Errorf("logged %s", logged.String())
	}
}

// TestDamagedFiles cuts a store at every page and overwrites every page in turn:
// what is refused must be refused in words, and left as it is.
func TestDamagedFiles(t *testing.T) {
	whole := filledFile(t)
	refused := 0
	check := func(name string, damaged []byte) {
		t.Helper()
		path := filepath.Join(t.TempDir(), "iam.db")
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(path, Options{})
		if err == nil {
			// What was hit was not in use.
			if n, err := iam.ExportLines(t.Context(), s, new(bytes.Buffer)); err != nil || n != 203 {
				t.Errorf("%s: opened, and then %d records and %v", name, n, err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			return
		}
		refused++
		if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error %v", name, err)
		}
		if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, damaged) {
			t.Errorf("%s: the file was changed (%v)", name, err)
		}
	}
	const page = 4096
	for size := 0; size < len(whole); size += page {
		check("cut", whole[:size])
		check("cut within a page", whole[:size+100])
	}
	for at := 0; at < len(whole); at += page {
		for name, fill := range map[string]byte{"zeros": 0, "ones": 0xff, "sevens": 7} {
			damaged := bytes.Clone(whole)
			copy(damaged[at:], bytes.Repeat([]byte{fill}, page))
			check(name, damaged)
		}
	}
	check("text", []byte("this is no database, but somebody's notes\n"))
	check("text of some length", bytes.Repeat([]byte("notes\n"), 10_000))
	if refused < len(whole)/page {
		t.Errorf("only %d damages were noticed", refused)
	}
	if _, err := Open(t.TempDir(), Options{}); !errors.Is(err, ErrDamaged) {
		t.Errorf("a directory: error %v", err)
	}
}

// filledFile is the contents of a store with 203 records.
func filledFile(t *testing.T) []byte {
	t.Helper()
	s := openNew(t)
	fillStore(t, s, 100)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(s.path)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestBackup(t *testing.T) {
	s := openNew(t)
	fillStore(t, s, 10)
	path := filepath.Join(t.TempDir(), "backup.db")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.WriteBackup(f), f.Close()); err != nil {
		t.Fatal(err)
	}
	copied, err := Open(path, Options{MustExist: true})
	if err != nil {
		t.Fatal(err)
	}
	defer copied.Close()
	var a, b bytes.Buffer
	if _, err := iam.ExportLines(t.Context(), s, &a); err != nil {
		t.Fatal(err)
	}
	if _, err := iam.ExportLines(t.Context(), copied, &b); err != nil || a.String() != b.String() {
		t.Errorf("the copy differs (%v)", err)
	}
}

// A key that names nobody's record, or another's, must not be believed either.
func TestRecordsAreChecked(t *testing.T) {
	good := encodeUser(&iam.User{ID: "u", Roles: []string{"a", "b"}, Enabled: true})
	if u, err := decodeUser(good); err != nil || u.ID != "u" || len(u.Roles) != 2 {
		t.Fatalf("%+v, %v", u, err)
	}
	for at := range good {
		for bit := range 8 {
			damaged := bytes.Clone(good)
			damaged[at] ^= 1 << bit
			if _, err := decodeUser(damaged); !errors.Is(err, errRecord) {
				t.Errorf("byte %d, bit %d: error %v", at, bit, err)
			}
		}
	}
	for n := range good {
		if _, err := decodeUser(good[:n]); !errors.Is(err, errRecord) {
			t.Errorf("%d bytes: error %v", n, err)
		}
	}
	// A tag of a later release is passed over.
	later := fields{out: good[:len(good)-sumBytes]}
	later.append(200, "news")
	if u, err := decodeUser(seal(later.out)); err != nil || u.ID != "u" {
		t.Errorf("%+v, %v", u, err)
	}
}

func FuzzRecord(f *testing.F) {
	f.Add(encodeUser(&iam.User{ID: "u", Roles: []string{"a"}}))
	f.Add(encodeKey(&iam.APIKey{Hash: "h"}))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, raw []byte) {
		_, _ = decodeUser(raw)
		sealed := seal(bytes.Clone(raw))
		for _, decode := range []func([]byte) error{
			func(b []byte) error { _, err := decodeUser(b); return err },
			func(b []byte) error { _, err := decodeWorkspace(b); return err },
			func(b []byte) error { _, err := decodeKey(b); return err },
			func(b []byte) error { _, err := decodeSigningKey(b); return err },
		} {
			if err := decode(sealed); err != nil && !errors.Is(err, errRecord) {
				t.Fatal(err)
			}
		}
	})
}
