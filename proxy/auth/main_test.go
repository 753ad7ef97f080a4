package auth

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/codec"
)

func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	goleak.VerifyTestMain(m)
}

// fakeIAM answers by operation and counts the questions.
type fakeIAM struct {
	mu      sync.Mutex
	asked   map[string]int
	last    codec.IAMRequest
	answers map[string]func(codec.IAMRequest) (codec.IAMReply, error)
}

func newFakeIAM() *fakeIAM {
	return &fakeIAM{
		asked:   make(map[string]int),
		answers: make(map[string]func(codec.IAMRequest) (codec.IAMReply, error)),
	}
}

func (f *fakeIAM) on(operation string, answer func(codec.IAMRequest) (codec.IAMReply, error)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answers[operation] = answer
}

func (f *fakeIAM) count(operation string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked[operation]
}

func (f *fakeIAM) Ask(request []byte) ([]byte, error) {
	parsed, err := codec.ParseIAMRequest(request)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	f.asked[parsed.Operation]++
	f.last = parsed
	answer := f.answers[parsed.Operation]
	f.mu.Unlock()
	if answer == nil {
		return codec.MarshalIAMReply(failure("invalid-argument", "unknown operation"))
	}
	reply, err := answer(parsed)
	if err != nil {
		return nil, err
	}
	return codec.MarshalIAMReply(&reply)
}

func failure(errorType, message string) *codec.IAMReply {
	return &codec.IAMReply{Error: &codec.ServiceError{Type: errorType, Message: message}}
}

// resolves lets the fake know some keys, as key text → user in workspace acme.
func (f *fakeIAM) resolves(users map[string]string) {
	f.on("resolve-api-key", func(r codec.IAMRequest) (codec.IAMReply, error) {
		user, found := users[r.APIKey]
		if !found {
			return *failure("auth-failed", "unknown api key"), nil
		}
		return codec.IAMReply{
			ResolvedUserID: user, ResolvedWorkspace: "acme", ResolvedRoles: []string{"writer"},
		}, nil
	})
}

// serves lets the fake serve signing keys.
func (f *fakeIAM) serves(pem string) {
	f.on("get-signing-key-public", func(codec.IAMRequest) (codec.IAMReply, error) {
		return codec.IAMReply{SigningKeyPublic: pem}, nil
	})
}

// cryptoVectors is the part of iam-crypto.json that this package must satisfy.
type cryptoVectors struct {
	SigningKeys []testKey `json:"signing_keys"`
	JWTVerify   []struct {
		Name  string  `json:"name"`
		Token string  `json:"token"`
		Key   string  `json:"key"`
		Now   float64 `json:"now"`
		OK    bool    `json:"ok"`
	} `json:"jwt_verify"`
}

type testKey struct {
	Name    string `json:"name"`
	SeedHex string `json:"seed_hex"`
	PEM     string `json:"public_pem"`
}

func readVectors(t testing.TB) cryptoVectors {
	t.Helper()
	var v cryptoVectors
	readJSON(t, "../../iam/testdata/iam-crypto.json", &v)
	return v
}

func readJSON(t testing.TB, path string, v any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, v); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// testKeys returns the two fixed keys of the vectors.
func testKeys(t testing.TB) (k1, k2 testKey) {
	t.Helper()
	v := readVectors(t)
	if len(v.SigningKeys) != 2 {
		t.Fatal("expected two signing keys")
	}
	return v.SigningKeys[0], v.SigningKeys[1]
}

func (k testKey) private() ed25519.PrivateKey {
	seed, err := hex.DecodeString(k.SeedHex)
	if err != nil {
		panic(err)
	}
	return ed25519.NewKeyFromSeed(seed)
}

const goodHeader = `{"alg":"EdDSA","kid":"0123456789ab4cde","typ":"JWT"}`

// sign makes a token of any two texts.
func (k testKey) sign(header, payload string) []byte {
	b64 := base64.RawURLEncoding
	signed := b64.EncodeToString([]byte(header)) + "." + b64.EncodeToString([]byte(payload))
	signature := ed25519.Sign(k.private(), []byte(signed))
	return []byte(signed + "." + b64.EncodeToString(signature))
}

// token signs claims for a user of workspace acme with the role writer.
func (k testKey) token(t testing.TB, user string, expires time.Time) []byte {
	t.Helper()
	payload, err := json.Marshal(map[string]any{
		"sub": user, "workspace": "acme", "roles": []string{"writer"}, "exp": expires.Unix(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return k.sign(goodHeader, string(payload))
}

// open makes an Authenticator that ends with the test.
func open(t testing.TB, cfg Config) *Authenticator {
	t.Helper()
	a, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	return a
}
