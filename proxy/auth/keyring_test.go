package auth

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sluice/codec"
)

// otherKeys are well-formed PEM blocks that must be passed over.
const otherKeys = `-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEYD54V/vp+54P9DXarYqx4MPcm+HK
RIQzNasYSoRQHQ/6S6Ps8tpMcT+KvIIC8W/e9k0W7Cm72M1P9jU7SLf/vg==
-----END PUBLIC KEY-----
-----BEGIN CERTIFICATE-----
AAAA
-----END CERTIFICATE-----
-----BEGIN PUBLIC KEY-----
AAAA
-----END PUBLIC KEY-----
`

func TestParsePublicKeys(t *testing.T) {
	k1, k2 := testKeys(t)
	tests := []struct {
		name, text string
		keys       int
	}{
		{"one", k1.PEM, 1},
		{"two", k1.PEM + k2.PEM, 2},
		{"text around", "kid: 0123\n" + k1.PEM + "retired:\n" + k2.PEM + "the end", 2},
		{"others among them", otherKeys + k1.PEM + otherKeys, 1},
		{"CRLF", strings.ReplaceAll(k1.PEM, "\n", "\r\n"), 1},
		{"none", otherKeys, 0},
		{"empty", "", 0},
		{"garbage", "-----BEGIN PUBLIC KEY-----\n", 0},
	}
	for _, tt := range tests {
		keys, err := parsePublicKeys([]byte(tt.text))
		if len(keys) != tt.keys || (err != nil) != (tt.keys == 0) {
			t.Errorf("%s: %d keys, %v", tt.name, len(keys), err)
		}
	}
}

// hour is long enough for every token of these tests.
func hour() time.Time { return time.Now().Add(time.Hour) }

// TestRotation: a token signed after a rotation works at the first request, the
// old ones go on to work, and fetches stay apart (D3, D4).
func TestRotation(t *testing.T) {
	k1, k2 := testKeys(t)
	synctest.Test(t, func(t *testing.T) {
		iam := newFakeIAM()
		iam.serves(k1.PEM)
		a := open(t, Config{IAM: iam})
		synctest.Wait()
		mustPass(t, a, k1.token(t, "before", hour()))
		if n := iam.count("get-signing-key-public"); n != 1 {
			t.Fatalf("%d fetches at start", n)
		}
		iam.serves(k2.PEM)
		mustPass(t, a, k2.token(t, "after", hour()))
		mustPass(t, a, k1.token(t, "old but good", hour()))
		if n := iam.count("get-signing-key-public"); n != 2 {
			t.Fatalf("%d fetches after the rotation", n)
		}
		k3 := newTestKey(t, "09") // rotated again at once
		iam.serves(k3.PEM)
		mustPass(t, a, k3.token(t, "after the next", hour()))
		for range 100 { // a stranger's tokens
			mustFail(t, a, testKey{SeedHex: strings.Repeat("07", 32)}.token(t, "x", hour()))
		}
		if n := iam.count("get-signing-key-public"); n != 4 {
			t.Fatalf("%d fetches, strangers caused more than one within the gap", n)
		}
		time.Sleep(keyFetchGap)
		mustFail(t, a, testKey{SeedHex: strings.Repeat("08", 32)}.token(t, "x", hour()))
		if n := iam.count("get-signing-key-public"); n != 5 {
			t.Fatalf("%d fetches after the gap", n)
		}
		a.Close()
	})
}

// newTestKey makes a key of a byte that is not in the vectors.
func newTestKey(t *testing.T, hexByte string) testKey {
	t.Helper()
	k := testKey{SeedHex: strings.Repeat(hexByte, ed25519.SeedSize)}
	seed, err := hex.DecodeString(k.SeedHex)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(ed25519.NewKeyFromSeed(seed).Public())
	if err != nil {
		t.Fatal(err)
	}
	k.PEM = string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	return k
}

func mustPass(t *testing.T, a *Authenticator, token []byte) *Identity {
	t.Helper()
	id, err := a.Authenticate(token)
	if err != nil {
		t.Fatalf("refused: %v", err)
	}
	return id
}

func mustFail(t *testing.T, a *Authenticator, token []byte) {
	t.Helper()
	if id, err := a.Authenticate(token); !errors.Is(err, ErrRefused) || id != nil {
		t.Fatalf("%v, %v", id, err)
	}
}

// TestOldKeysAreKeptAnHour: after that neither the key nor a token that it once
// vouched for is good, though the token itself has not ended.
func TestOldKeysAreKeptAnHour(t *testing.T) {
	k1, k2 := testKeys(t)
	synctest.Test(t, func(t *testing.T) {
		iam := newFakeIAM()
		iam.serves(k1.PEM)
		a := open(t, Config{IAM: iam})
		synctest.Wait()
		week := time.Now().Add(7 * 24 * time.Hour)
		remembered := k1.token(t, "remembered", week)
		mustPass(t, a, remembered)
		iam.serves(k2.PEM)
		time.Sleep(pollEvery) // notices that k1 is gone
		synctest.Wait()
		time.Sleep(keyRetention - time.Minute)
		mustPass(t, a, remembered)
		mustPass(t, a, k1.token(t, "new to us", week))
		time.Sleep(time.Minute + pollEvery)
		synctest.Wait()
		mustFail(t, a, remembered)
		mustFail(t, a, k1.token(t, "another", week))
		mustPass(t, a, k2.token(t, "current", week))
		a.Close()
	})
}

// TestKeysComeBack: a key that is served again counts as current again.
func TestKeysComeBack(t *testing.T) {
	k1, k2 := testKeys(t)
	clock := time.Unix(0, 0)
	r := newKeyring(newFakeIAM(), nil, func() time.Time { return clock })
	public := func(k testKey) ed25519.PublicKey { return k.private().Public().(ed25519.PublicKey) }
	r.merge([]ed25519.PublicKey{public(k1)})
	r.merge([]ed25519.PublicKey{public(k2)})
	clock = clock.Add(keyRetention)
	r.merge([]ed25519.PublicKey{public(k2), public(k1), public(k1)})
	clock = clock.Add(2 * keyRetention)
	r.merge([]ed25519.PublicKey{public(k2)})
	if !r.holds(public(k1)) || !r.holds(public(k2)) || len(*r.keys.Load()) != 2 {
		t.Errorf("%d keys", len(*r.keys.Load()))
	}
}

// TestKeyringIsBounded: the served keys and the youngest of the others remain.
func TestKeyringIsBounded(t *testing.T) {
	clock := time.Unix(0, 0)
	r := newKeyring(newFakeIAM(), nil, func() time.Time { return clock })
	key := func(n int) ed25519.PublicKey {
		seed := make([]byte, ed25519.SeedSize)
		copy(seed, fmt.Sprint(n))
		return ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)
	}
	for n := range 3 * keyringLimit {
		clock = clock.Add(time.Second)
		r.merge([]ed25519.PublicKey{key(n)})
	}
	last := 3*keyringLimit - 1
	for n := range 3 * keyringLimit {
		if want := n > last-keyringLimit; r.holds(key(n)) != want {
			t.Errorf("key %d of %d: held is %v", n, last, !want)
		}
	}
}

// TestLateIAM: nothing is known at first; tokens are refused without a word, and
// work when IAM has come, without anybody asking again.
func TestLateIAM(t *testing.T) {
	k1, _ := testKeys(t)
	synctest.Test(t, func(t *testing.T) {
		iam := newFakeIAM()
		iam.on("get-signing-key-public", func(codec.IAMRequest) (codec.IAMReply, error) {
			return codec.IAMReply{}, errors.New("bus away")
		})
		a := open(t, Config{IAM: iam})
		synctest.Wait()
		token := k1.token(t, "u", hour())
		mustFail(t, a, token)
		time.Sleep(5 * time.Minute)
		iam.serves(k1.PEM)
		time.Sleep(lastRetry)
		synctest.Wait()
		before := iam.count("get-signing-key-public")
		mustPass(t, a, token)
		if n := iam.count("get-signing-key-public"); n != before {
			t.Error("the token had to ask for the key")
		}
		if before > 40 {
			t.Errorf("%d fetches in five minutes", before)
		}
		a.Close()
	})
}

// TestBadKeyReplies: none of them takes away a key that works.
func TestBadKeyReplies(t *testing.T) {
	k1, _ := testKeys(t)
	replies := []codec.IAMReply{{}, {SigningKeyPublic: "nonsense"}, {SigningKeyPublic: otherKeys}, *failure("internal-error", "boom")}
	synctest.Test(t, func(t *testing.T) {
		iam := newFakeIAM()
		iam.serves(k1.PEM)
		a := open(t, Config{IAM: iam})
		synctest.Wait()
		for i, reply := range replies {
			iam.on("get-signing-key-public", func(codec.IAMRequest) (codec.IAMReply, error) { return reply, nil })
			time.Sleep(keyFetchGap)
			mustFail(t, a, testKey{SeedHex: strings.Repeat("09", 32)}.token(t, "x", hour()))
			mustPass(t, a, k1.token(t, fmt.Sprintf("u%d", i), hour()))
		}
		a.Close()
	})
}

// TestRefetchIsShared: a thousand tokens signed after a rotation cause one fetch,
// and those that fit in the waiting room pass.
func TestRefetchIsShared(t *testing.T) {
	k1, k2 := testKeys(t)
	synctest.Test(t, func(t *testing.T) {
		iam := newFakeIAM()
		iam.serves(k1.PEM)
		a := open(t, Config{IAM: iam})
		synctest.Wait()
		iam.on("get-signing-key-public", func(codec.IAMRequest) (codec.IAMReply, error) {
			time.Sleep(time.Second)
			return codec.IAMReply{SigningKeyPublic: k2.PEM}, nil
		})
		var callers sync.WaitGroup
		for n := range keyWaiters {
			token := k2.token(t, fmt.Sprintf("u%d", n), hour())
			callers.Go(func() {
				if _, err := a.Authenticate(token); err != nil {
					t.Errorf("%d: %v", n, err)
				}
			})
		}
		synctest.Wait()
		mustFail(t, a, k2.token(t, "one too many", hour()))
		callers.Wait()
		if n := iam.count("get-signing-key-public"); n != 2 {
			t.Errorf("%d fetches", n)
		}
		a.Close()
	})
}

// TestExpiredTokensCauseNoFetch: old browser tabs must not use up the gap.
func TestExpiredTokensCauseNoFetch(t *testing.T) {
	k1, k2 := testKeys(t)
	synctest.Test(t, func(t *testing.T) {
		iam := newFakeIAM()
		iam.serves(k1.PEM)
		a := open(t, Config{IAM: iam})
		synctest.Wait()
		mustFail(t, a, k2.token(t, "u", time.Now().Add(-time.Second)))
		if n := iam.count("get-signing-key-public"); n != 1 {
			t.Errorf("%d fetches", n)
		}
		a.Close()
	})
}
