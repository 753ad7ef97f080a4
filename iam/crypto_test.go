package iam

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
)

// cryptoVectors is testdata/iam-crypto.json as far as the service goes.
type cryptoVectors struct {
	PasswordHash []struct {
		Name, Password, Stored string
		SaltHex                string `json:"salt_hex"`
		Iterations             int
	} `json:"password_hash"`
	PasswordVerify []struct {
		Name, Password, Stored string
		OK, Raises             bool
	} `json:"password_verify"`
	APIKey []struct {
		Name, Plaintext, Prefix string
		RandomHex               *string `json:"random_hex"`
		KeyHash                 string  `json:"key_hash"`
	} `json:"api_key"`
	TemporaryPassword []struct {
		RandomHex string `json:"random_hex"`
		Want      string `json:"temporary_password"`
	} `json:"temporary_password"`
	KID []struct {
		RandomHex string `json:"random_hex"`
		KID       string
	} `json:"kid"`
	SigningKeys []struct {
		Name, KID  string
		SeedHex    string `json:"seed_hex"`
		PublicHex  string `json:"public_hex"`
		PrivatePEM string `json:"private_pem"`
		PublicPEM  string `json:"public_pem"`
	} `json:"signing_keys"`
	JWTSign []struct {
		Name, Key, Token string
		Claims           struct {
			Sub, Workspace string
			Roles          []string
			Iat, Exp       int64
		}
		HeaderJSON  string `json:"header_json"`
		PayloadJSON string `json:"payload_json"`
	} `json:"jwt_sign"`
}

func loadVectors(t *testing.T) cryptoVectors {
	t.Helper()
	data, err := os.ReadFile("testdata/iam-crypto.json")
	if err != nil {
		t.Fatal(err)
	}
	var v cryptoVectors
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestVectorsAreCurrent guards the copy where the original is at hand.
func TestVectorsAreCurrent(t *testing.T) {
	original, err := os.ReadFile("../../shared/vectors/iam-crypto.json")
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	mine, err := os.ReadFile("testdata/iam-crypto.json")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(mine, original) {
		t.Error("testdata/iam-crypto.json differs from the shared vectors")
	}
}

func TestPasswordHashVectors(t *testing.T) {
	for _, v := range loadVectors(t).PasswordHash {
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			got, err := formatPassword(v.Password, unhex(t, v.SaltHex), v.Iterations)
			if err != nil || got != v.Stored {
				t.Fatalf("got %s, %v; want %s", got, err, v.Stored)
			}
		})
	}
}

func TestPasswordVerifyVectors(t *testing.T) {
	for _, v := range loadVectors(t).PasswordVerify {
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			ok, err := checkPassword(v.Password, v.Stored)
			if ok != v.OK {
				t.Fatalf("got %v, %v; want %v", ok, err, v.OK)
			}
			if v.Raises && err == nil {
				t.Fatal("no error")
			}
		})
	}
}

func TestPasswordRefusesAbsurdCost(t *testing.T) {
	if _, err := checkPassword("x", "pbkdf2-sha256$2000000000$AAECAwQFBgcICQoLDA0ODw==$m7JSG9Fe2fQyAGRqf8kK8vA/VgsHTOej4dHYWRTASUw="); !errors.Is(err, errBadHash) {
		t.Fatalf("error %v", err)
	}
}

func TestAPIKeyVectors(t *testing.T) {
	for _, v := range loadVectors(t).APIKey {
		if v.RandomHex != nil {
			if got := formatAPIKey(unhex(t, *v.RandomHex)); got != v.Plaintext {
				t.Errorf("%s: key %s, want %s", v.Name, got, v.Plaintext)
			}
		}
		if got := hashAPIKey(v.Plaintext); got != v.KeyHash {
			t.Errorf("%s: hash %s, want %s", v.Name, got, v.KeyHash)
		}
		if got := apiKeyPrefix(v.Plaintext); got != v.Prefix {
			t.Errorf("%s: prefix %s, want %s", v.Name, got, v.Prefix)
		}
	}
}

func TestGeneratedTextVectors(t *testing.T) {
	vectors := loadVectors(t)
	for _, v := range vectors.TemporaryPassword {
		if got := formatPasswordText(unhex(t, v.RandomHex)); got != v.Want {
			t.Errorf("temporary password %s, want %s", got, v.Want)
		}
	}
	for _, v := range vectors.KID {
		if got := formatKID([16]byte(unhex(t, v.RandomHex))); got != v.KID {
			t.Errorf("kid %s, want %s", got, v.KID)
		}
	}
	if got := formatUUID([16]byte(bytes.Repeat([]byte{0xff}, 16))); got != "ffffffff-ffff-4fff-bfff-ffffffffffff" {
		t.Errorf("uuid %s", got)
	}
	if got := len(formatPasswordText(randomBytes(adminPasswordBytes))); got != 43 {
		t.Errorf("seeded password has %d characters", got)
	}
}

func TestSigningKeyVectors(t *testing.T) {
	for _, v := range loadVectors(t).SigningKeys {
		private := ed25519.NewKeyFromSeed(unhex(t, v.SeedHex))
		privatePEM, publicPEM, err := formatSigningKey(private)
		if err != nil || privatePEM != v.PrivatePEM || publicPEM != v.PublicPEM {
			t.Errorf("%s: got %q, %q, %v", v.Name, privatePEM, publicPEM, err)
		}
		back, err := parsePrivateKey(v.PrivatePEM)
		if err != nil || !back.Equal(private) {
			t.Errorf("%s: read back: %v", v.Name, err)
		}
		if got := hex.EncodeToString(private.Public().(ed25519.PublicKey)); got != v.PublicHex {
			t.Errorf("%s: public key %s", v.Name, got)
		}
	}
}

func TestParsePrivateKeyRefuses(t *testing.T) {
	for _, text := range []string{
		"", "not PEM",
		"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
	} {
		if _, err := parsePrivateKey(text); err == nil {
			t.Errorf("%q accepted", text)
		}
	}
}

func TestTokenVectors(t *testing.T) {
	vectors := loadVectors(t)
	for _, v := range vectors.JWTSign {
		for _, k := range vectors.SigningKeys {
			if k.Name != v.Key {
				continue
			}
			c := claims{subject: v.Claims.Sub, workspace: v.Claims.Workspace, roles: v.Claims.Roles, issued: v.Claims.Iat, expires: v.Claims.Exp}
			if got := string(c.appendPayload(nil)); got != v.PayloadJSON {
				t.Errorf("%s: payload %s, want %s", v.Name, got, v.PayloadJSON)
			}
			if got := string(appendHeader(nil, k.KID)); got != v.HeaderJSON {
				t.Errorf("%s: header %s, want %s", v.Name, got, v.HeaderJSON)
			}
			if got := signToken(c, k.KID, ed25519.NewKeyFromSeed(unhex(t, k.SeedHex))); got != v.Token {
				t.Errorf("%s: token %s, want %s", v.Name, got, v.Token)
			}
		}
	}
}

func TestAppendASCII(t *testing.T) {
	const in = "a\"\\/\b\f\n\r\t\x00\x1f\x7f\u0080\u2028\uffff🔑"
	const want = `"a\"\\/\b\f\n\r\t\u0000\u001f\u007f\u0080\u2028\uffff\ud83d\udd11"`
	if got := string(appendASCII(nil, in)); got != want {
		t.Fatalf("got %s, want %s", got, want)
	}
}

func TestPythonLiteral(t *testing.T) {
	for in, want := range map[string]string{
		"nope":                   `'nope'`,
		"":                       `''`,
		"it's":                   `"it's"`,
		`it's "x"`:               `'it\'s "x"'`,
		`say "x"`:                `'say "x"'`,
		"a\\b\n\r\t":             `'a\\b\n\r\t'`,
		"\x00\x7f\u00ad\u2028é🔑": `'\x00\x7f\xad\u2028é🔑'`,
		"\U000e0001":             `'\U000e0001'`,
		strings.Repeat("x", 201): `'` + strings.Repeat("x", 200) + `...'`,
	} {
		if got := pythonLiteral(in); got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
}

// verifyToken is a gateway's view of a token: its claims, if one of the PEM
// blocks verifies it.
func verifyToken(t *testing.T, token, keys string) (payload map[string]any, ok bool) {
	t.Helper()
	parts := strings.Split(token, ".")
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		t.Fatal(err)
	}
	for block, rest := pem.Decode([]byte(keys)); block != nil; block, rest = pem.Decode(rest) {
		public, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		if !ed25519.Verify(public.(ed25519.PublicKey), []byte(parts[0]+"."+parts[1]), signature) {
			continue
		}
		text, err := base64.RawURLEncoding.DecodeString(parts[1])
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, &payload); err != nil {
			t.Fatal(err)
		}
		return payload, true
	}
	return nil, false
}
