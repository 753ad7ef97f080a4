package auth

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
)

// laxVectors are those that the vector file itself leaves to the implementation;
// this one is strict (D32).
var laxVectors = map[string]bool{"padding characters on the signature are tolerated": true}

func TestJWTVectors(t *testing.T) {
	vectors := readVectors(t)
	if len(vectors.JWTVerify) != 28 {
		t.Fatalf("%d vectors, expected 28", len(vectors.JWTVerify))
	}
	public := make(map[string][]ed25519.PublicKey)
	for _, k := range vectors.SigningKeys {
		public[k.Name] = []ed25519.PublicKey{k.private().Public().(ed25519.PublicKey)}
	}
	for _, v := range vectors.JWTVerify {
		now := func() time.Time { return instant(v.Now) }
		tokens := newTokens(newKeyring(nil, public[v.Key], now), nil, now)
		id, err := tokens.authenticate([]byte(v.Token))
		if want := v.OK && !laxVectors[v.Name]; (err == nil) != want {
			t.Errorf("%s: %v", v.Name, err)
		}
		if err != nil {
			continue
		}
		if id.UserID == "" || id.Workspace != "default" || !reflect.DeepEqual(id.Roles, []string{"admin"}) || id.Source != JWT {
			t.Errorf("%s: %+v", v.Name, id)
		}
		if again, err := tokens.authenticate([]byte(v.Token)); err != nil || again != id {
			t.Errorf("%s: not remembered: %v", v.Name, err)
		}
	}
}

// TestJWTClaims signs odd claims with a good key.
func TestJWTClaims(t *testing.T) {
	key, _ := testKeys(t)
	const rest = `"exp":2000,"sub":"u","workspace":"acme"`
	tests := []struct {
		name, payload string
		ok            bool
		roles         []string
	}{
		{"plain", `{` + rest + `,"roles":["reader","writer"]}`, true, []string{"reader", "writer"}},
		{"roles absent", `{` + rest + `}`, true, nil},
		{"roles empty", `{` + rest + `,"roles":[]}`, true, []string{}},
		{"roles null", `{` + rest + `,"roles":null}`, false, nil},
		{"roles text", `{` + rest + `,"roles":"admin"}`, false, nil},
		{"roles nested", `{` + rest + `,"roles":[["admin"]]}`, false, nil},
		{"role null", `{` + rest + `,"roles":["reader",null]}`, false, nil},
		{"role number", `{` + rest + `,"roles":[1]}`, false, nil},
		{"roles object", `{` + rest + `,"roles":{"admin":true}}`, false, nil},
		{"ROLES does not count", `{` + rest + `,"ROLES":["admin"]}`, true, nil},
		{"last duplicate wins", `{` + rest + `,"roles":["admin"],"roles":["reader"]}`, true, []string{"reader"}},
		{"last duplicate is wrong", `{` + rest + `,"sub":null}`, false, nil},
		{"EXP does not count", `{"EXP":2000,"sub":"u","workspace":"acme"}`, false, nil},
		{"exp in the past wins", `{` + rest + `,"exp":999}`, false, nil},
		{"exp true", `{"exp":true,"sub":"u","workspace":"acme"}`, false, nil},
		{"exp list", `{"exp":[2000],"sub":"u","workspace":"acme"}`, false, nil},
		{"exp exponent", `{"exp":2e3,"sub":"u","workspace":"acme"}`, true, nil},
		{"exp far away", `{"exp":1e300,"sub":"u","workspace":"acme"}`, true, nil},
		{"exp beyond doubles", `{"exp":1e999,"sub":"u","workspace":"acme"}`, false, nil},
		{"exp NaN", `{"exp":NaN,"sub":"u","workspace":"acme"}`, false, nil},
		{"exp negative", `{"exp":-1,"sub":"u","workspace":"acme"}`, false, nil},
		{"exp now", `{"exp":1000,"sub":"u","workspace":"acme"}`, true, nil},
		{"exp just before now", `{"exp":999.999999,"sub":"u","workspace":"acme"}`, false, nil},
		{"sub empty", `{"exp":2000,"sub":"","workspace":"acme"}`, false, nil},
		{"sub absent", `{"exp":2000,"workspace":"acme"}`, false, nil},
		{"sub number", `{"exp":2000,"sub":7,"workspace":"acme"}`, false, nil},
		{"workspace empty", `{"exp":2000,"sub":"u","workspace":""}`, false, nil},
		{"workspace absent", `{"exp":2000,"sub":"u"}`, false, nil},
		{"workspace null", `{"exp":2000,"sub":"u","workspace":null}`, false, nil},
		{"nothing", `{}`, false, nil},
		{"null", `null`, false, nil},
		{"trailing bytes", `{` + rest + `}{}`, false, nil},
		{"not UTF-8", `{` + rest + `,"x":"` + "\xff" + `"}`, false, nil},
	}
	for _, tt := range tests {
		now := func() time.Time { return time.Unix(1000, 0) }
		id, err := tokensOf(key, now).authenticate(key.sign(goodHeader, tt.payload))
		if (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
		if err == nil && !reflect.DeepEqual(id.Roles, tt.roles) {
			t.Errorf("%s: roles %v", tt.name, id.Roles)
		}
	}
}

func tokensOf(key testKey, now func() time.Time) *tokens {
	public := []ed25519.PublicKey{key.private().Public().(ed25519.PublicKey)}
	return newTokens(newKeyring(nil, public, now), nil, now)
}

func TestJWTHeaderAndForm(t *testing.T) {
	key, _ := testKeys(t)
	const claims = `{"exp":2000,"sub":"u","workspace":"acme"}`
	good := string(key.sign(goodHeader, claims))
	parts := strings.Split(good, ".")
	swapEnd := func(s string) string { // same bytes, other stray bits
		last := strings.IndexByte(alphabet, s[len(s)-1])
		return s[:len(s)-1] + string(alphabet[last^1])
	}
	tests := []struct {
		name, token string
		ok          bool
	}{
		{"good", good, true},
		{"alg only", string(key.sign(`{"alg":"EdDSA"}`, claims)), true},
		{"alg twice, last right", string(key.sign(`{"alg":"none","alg":"EdDSA"}`, claims)), true},
		{"alg twice, last wrong", string(key.sign(`{"alg":"EdDSA","alg":"none"}`, claims)), false},
		{"ALG", string(key.sign(`{"ALG":"EdDSA"}`, claims)), false},
		{"alg list", string(key.sign(`{"alg":["EdDSA"]}`, claims)), false},
		{"crit", string(key.sign(`{"alg":"EdDSA","crit":["b64"],"b64":true}`, claims)), false},
		{"crit empty", string(key.sign(`{"alg":"EdDSA","crit":[]}`, claims)), false},
		{"crit null", string(key.sign(`{"alg":"EdDSA","crit":null}`, claims)), false},
		{"header list", string(key.sign(`["EdDSA"]`, claims)), false},
		{"header empty", string(key.sign(``, claims)), false},
		{"stray bits in the signature", parts[0] + "." + parts[1] + "." + swapEnd(parts[2]), false},
		{"padded header", parts[0] + "=." + parts[1] + "." + parts[2], false},
		{"line end inside", parts[0] + "." + parts[1] + "." + parts[2][:10] + "\n" + parts[2][10:], false},
		{"blank at the end", good + " ", false},
		{"standard alphabet", strings.Map(toStandardAlphabet, withBothSpecials(key)), false},
		{"its own alphabet", withBothSpecials(key), true},
		{"two dots and nothing", "..", false},
		{"signature of a third part", good + "." + parts[2], false},
		{"long", string(key.sign(goodHeader, claims+strings.Repeat(" ", maxTokenBytes))), false},
	}
	for _, tt := range tests {
		now := func() time.Time { return time.Unix(1000, 0) }
		if _, err := tokensOf(key, now).authenticate([]byte(tt.token)); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// withBothSpecials is a token in which both alphabets can be told apart.
func withBothSpecials(key testKey) string {
	for n := 0; ; n++ {
		token := string(key.sign(goodHeader, fmt.Sprintf(`{"exp":2000,"sub":"u%d","workspace":"acme"}`, n)))
		if strings.ContainsAny(token, "-") && strings.ContainsAny(token, "_") {
			return token
		}
	}
}

func toStandardAlphabet(r rune) rune {
	switch r {
	case '-':
		return '+'
	case '_':
		return '/'
	}
	return r
}

// TestJWTCacheEndsWithTheToken: a remembered token is good up to its last instant.
func TestJWTCacheEndsWithTheToken(t *testing.T) {
	key, _ := testKeys(t)
	clock := time.Unix(1000, 0)
	tokens := tokensOf(key, func() time.Time { return clock })
	token := key.sign(goodHeader, `{"exp":2000.5,"sub":"u","workspace":"acme"}`)
	for _, tt := range []struct {
		at   time.Time
		want error
	}{
		{time.Unix(1000, 0), nil},
		{time.Unix(2000, 500_000_000), nil},
		{time.Unix(2000, 500_000_001), ErrRefused},
		{time.Unix(2001, 0), ErrRefused},
	} {
		clock = tt.at
		if _, err := tokens.authenticate(token); !errors.Is(err, tt.want) {
			t.Errorf("at %v: %v", tt.at.UnixNano(), err)
		}
	}
}

func TestInstant(t *testing.T) {
	for _, seconds := range []float64{math.Inf(1), math.Inf(-1), math.MaxFloat64, -math.MaxFloat64} {
		if got := instant(seconds); (got.UnixNano() > 0) != (seconds > 0) {
			t.Errorf("%v: %v", seconds, got)
		}
	}
	if got := instant(-1.5); got.UnixNano() != -1_500_000_000 {
		t.Errorf("-1.5: %v", got)
	}
}

// FuzzJWT: nothing panics, and whatever passes verifies by the book.
func FuzzJWT(f *testing.F) {
	vectors := readVectors(f)
	for _, v := range vectors.JWTVerify {
		f.Add([]byte(v.Token))
	}
	key := vectors.SigningKeys[0]
	f.Add(key.sign(goodHeader, `{"exp":1e300,"sub":"u","workspace":"w","roles":null}`))
	f.Add([]byte("..\n"))
	public := key.private().Public().(ed25519.PublicKey)
	now := time.Unix(1767225601, 0)
	f.Fuzz(func(t *testing.T, token []byte) {
		tokens := tokensOf(key, func() time.Time { return now })
		id, err := tokens.authenticate(token)
		if err != nil {
			if !errors.Is(err, ErrRefused) || id != nil {
				t.Fatalf("%v, %v", id, err)
			}
			return
		}
		if id.UserID == "" || id.Workspace == "" || id.Expires.Before(now) {
			t.Fatalf("%+v", id)
		}
		parts := strings.Split(string(token), ".")
		if len(parts) != 3 {
			t.Fatalf("%q passed", token)
		}
		signature, err := base64.RawURLEncoding.Strict().DecodeString(parts[2])
		if err != nil || !ed25519.Verify(public, []byte(parts[0]+"."+parts[1]), signature) {
			t.Fatalf("%q passed", token)
		}
	})
}

// FuzzJWTParts signs whatever it is given, so that the claims are reached.
func FuzzJWTParts(f *testing.F) {
	key, _ := testKeys(f)
	f.Add(goodHeader, `{"exp":2000,"sub":"u","workspace":"acme","roles":["admin"]}`)
	f.Add(`{"alg":"EdDSA","crit":[]}`, `{"exp":"2000"}`)
	f.Fuzz(func(t *testing.T, header, payload string) {
		now := time.Unix(1000, 0)
		id, err := tokensOf(key, func() time.Time { return now }).authenticate(key.sign(header, payload))
		if err == nil && (id.UserID == "" || id.Workspace == "" || id.Expires.Before(now)) {
			t.Fatalf("%s: %+v", payload, id)
		}
	})
}
