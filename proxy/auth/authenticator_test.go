package auth

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sluice/codec"
)

func TestRoutesOfTokens(t *testing.T) {
	k1, _ := testKeys(t)
	iam := newFakeIAM()
	iam.serves(k1.PEM)
	iam.resolves(map[string]string{"tg_a": "alice", "tg_b.c.d": "bob"})
	a := open(t, Config{IAM: iam})
	tests := []struct {
		token string
		user  string // empty: refused
	}{
		{"tg_a", "alice"},
		{"tg_b.c.d", "bob"},
		{string(k1.token(t, "carol", hour())), "carol"},
		{"", ""},
		{"tg_", ""},
		{"TG_a", ""},
		{"a.b", ""},
		{"a.b.c.d", ""},
		{"a.b.c", ""},
		{" tg_a", ""},
		{"password", ""},
	}
	for _, tt := range tests {
		id, err := a.Authenticate([]byte(tt.token))
		if tt.user == "" {
			if !errors.Is(err, ErrRefused) || id != nil {
				t.Errorf("%q: %v, %v", tt.token, id, err)
			}
			continue
		}
		if err != nil || id.UserID != tt.user {
			t.Errorf("%q: %v, %v", tt.token, id, err)
		}
	}
}

// TestSweeper: what has expired leaves memory without anybody asking for it.
func TestSweeper(t *testing.T) {
	k1, _ := testKeys(t)
	synctest.Test(t, func(t *testing.T) {
		iam := newFakeIAM()
		iam.serves(k1.PEM)
		iam.resolves(map[string]string{"tg_a": "alice"})
		a := open(t, Config{IAM: iam})
		mustPass(t, a, []byte("tg_a"))
		mustFail(t, a, []byte("tg_b"))
		mustPass(t, a, k1.token(t, "u", hour()))
		if a.keys.known.size() != 1 || a.keys.refused.size() != 1 || a.tokens.verified.size() != 1 {
			t.Error("not remembered")
		}
		time.Sleep(2 * sweepEvery)
		synctest.Wait()
		if a.keys.refused.size() != 0 || a.tokens.verified.size() != 1 {
			t.Error("swept too little or too much after a minute")
		}
		time.Sleep(time.Hour + 2*sweepEvery)
		synctest.Wait()
		if a.keys.known.size() != 0 || a.tokens.verified.size() != 0 {
			t.Error("something is left")
		}
		a.Close()
	})
}

func TestCloseEndsTheBackground(t *testing.T) {
	a, err := New(Config{IAM: newFakeIAM()})
	if err != nil {
		t.Fatal(err)
	}
	a.Close()
	a.Close()
	if _, err := a.Authenticate([]byte("x")); !errors.Is(err, ErrRefused) {
		t.Error(err)
	}
}

func TestThereIsNoModeWithoutAuthentication(t *testing.T) {
	if _, err := New(Config{}); err == nil {
		t.Error("started without a source of credentials")
	}
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// oneKey is the file for the key "tg_ingest".
const oneKey = `
- sha256: 5A6EF3ACD8B7F8D5B42D47A8F78DDF77A80C1C2CD41FF6C3C8C4B3E10D9B9CDD
  user: ingest
  workspace: acme
  roles: [writer]
`

func keyFileFor(text string) string {
	return strings.Replace(oneKey, "5A6EF3ACD8B7F8D5B42D47A8F78DDF77A80C1C2CD41FF6C3C8C4B3E10D9B9CDD", sha256Hex(text), 1)
}

// TestFilesInsteadOfIAM: people without IAM.
func TestFilesInsteadOfIAM(t *testing.T) {
	k1, k2 := testKeys(t)
	a := open(t, Config{
		PublicKeyFile: write(t, k1.PEM),
		APIKeysFile:   write(t, keyFileFor("tg_ingest")),
	})
	if id := mustPass(t, a, []byte("tg_ingest")); id.UserID != "ingest" || id.Source != APIKey || !id.Expires.IsZero() {
		t.Errorf("%+v", id)
	}
	mustFail(t, a, []byte("tg_other"))
	mustPass(t, a, k1.token(t, "u", hour()))
	mustFail(t, a, k2.token(t, "u", hour()))
}

// TestFilesBesideIAM: keys of the file work while IAM is away, others are asked
// for, and a key file for JWTs takes the place of IAM's keys.
func TestFilesBesideIAM(t *testing.T) {
	k1, k2 := testKeys(t)
	iam := newFakeIAM()
	iam.serves(k2.PEM)
	iam.on("resolve-api-key", func(codec.IAMRequest) (codec.IAMReply, error) {
		return codec.IAMReply{}, errors.New("away")
	})
	a := open(t, Config{
		IAM:           iam,
		PublicKeyFile: write(t, k1.PEM),
		APIKeysFile:   write(t, keyFileFor("tg_ingest")),
	})
	mustPass(t, a, []byte("tg_ingest"))
	if _, err := a.Authenticate([]byte("tg_other")); !errors.Is(err, ErrUnavailable) {
		t.Errorf("%v", err)
	}
	mustPass(t, a, k1.token(t, "u", hour()))
	mustFail(t, a, k2.token(t, "u", hour()))
	if n := iam.count("get-signing-key-public"); n != 0 {
		t.Errorf("%d fetches", n)
	}
}

func TestFilesAreCheckedAtTheStart(t *testing.T) {
	for _, cfg := range []Config{
		{PublicKeyFile: "/does/not/exist"},
		{PublicKeyFile: write(t, otherKeys)},
		{APIKeysFile: "/does/not/exist"},
		{APIKeysFile: write(t, "- sha256: 12")},
	} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%+v was accepted", cfg)
		}
	}
}
