package iam

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"sluice/bus/memory"
)

func sealedStore(t *testing.T, s Store, key byte) *Sealed {
	t.Helper()
	sealed, err := NewSealed(s, bytes.Repeat([]byte{key}, StoreKeyBytes))
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

// TestSealedKeys is the service's part of defect D21: private keys are encrypted
// at rest, and rows in clear still work.
func TestSealedKeys(t *testing.T) {
	w, _ := seeded(t) // a row in clear
	inner := w.store
	w.Service.store = sealedStore(t, inner, 1)
	w.addUser("default", "alice", "p", "")
	login := func() string { return w.grant(`{"operation":"login","username":"alice","password":"p"}`).JWT }
	verifies := func(token string) {
		t.Helper()
		if _, ok := verifyToken(t, token, w.grant(`{"operation":"get-signing-key-public"}`).SigningKeyPublic); !ok {
			t.Error("a token does not verify")
		}
	}
	verifies(login())
	w.advance(1e9)
	w.grant(`{"operation":"rotate-signing-key"}`)
	verifies(login())
	keys, _ := inner.SigningKeys(context.Background())
	if len(keys) != 2 || !strings.HasPrefix(keys[0].PrivatePEM, sealedMark) || strings.Contains(keys[0].PrivatePEM, "PRIVATE") || !strings.Contains(keys[0].PublicPEM, "PUBLIC") {
		t.Errorf("stored %+v", keys)
	}

	// The wrong key, a changed row, and rows that were exchanged.
	for name, store := range map[string]Store{
		"wrong key": sealedStore(t, inner, 2),
		"exchanged": sealedStore(t, exchanged{inner}, 1),
		"cut":       sealedStore(t, cut{inner}, 1),
	} {
		if _, err := store.SigningKeys(context.Background()); !errors.Is(err, ErrSealed) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	b := memory.New(nil)
	defer b.Close(context.Background())
	w.Service.store = inner
	if err := w.Start(t.Context(), b); err == nil || !strings.Contains(err.Error(), "key file is needed") {
		t.Errorf("started without the key: %v", err)
	}
}

type exchanged struct{ *Memory }

func (e exchanged) SigningKeys(ctx context.Context) ([]SigningKey, error) {
	keys, err := e.Memory.SigningKeys(ctx)
	keys[0].KID = keys[1].KID
	return keys, err
}

type cut struct{ *Memory }

func (c cut) SigningKeys(ctx context.Context) ([]SigningKey, error) {
	keys, err := c.Memory.SigningKeys(ctx)
	keys[0].PrivatePEM = keys[0].PrivatePEM[:len(sealedMark)+8]
	return keys, err
}

func TestStoreKeyText(t *testing.T) {
	key := bytes.Repeat([]byte{0xab}, StoreKeyBytes)
	for _, text := range []string{hex.EncodeToString(key), base64.StdEncoding.EncodeToString(key) + "\n"} {
		if got, err := ParseStoreKey(text); err != nil || !bytes.Equal(got, key) {
			t.Errorf("%q: %x, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "secret", hex.EncodeToString(key[1:]), base64.StdEncoding.EncodeToString(key[1:])} {
		if _, err := ParseStoreKey(text); err == nil || text != "" && strings.Contains(err.Error(), text) {
			t.Errorf("%q: error %v", text, err)
		}
	}
	if _, err := NewSealed(NewMemory(), key[1:]); err == nil {
		t.Error("a short key was taken")
	}
}
