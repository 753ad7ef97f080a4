package iam

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"strings"
)

const (
	// sealedMark starts a private key that is stored encrypted; one that is not
	// starts like any PEM text.
	sealedMark = "sealed:aes-256-gcm:"
	// StoreKeyBytes is the length of the key of a Sealed store.
	StoreKeyBytes = 32
)

// ErrSealed: a private key is encrypted, and not with the key that was given.
var ErrSealed = errors.New("the signing key is encrypted with another key than the store's key file holds")

// Sealed is a store whose private signing keys are encrypted at rest. What was
// stored in clear stays readable, and is encrypted when it is written again. Only
// signing keys are: passwords and API keys are stored as hashes anyway.
type Sealed struct {
	Store
	aead cipher.AEAD
}

var (
	_ Store   = (*Sealed)(nil)
	_ Archive = (*Sealed)(nil)
)

// NewSealed encrypts with a key of StoreKeyBytes bytes.
func NewSealed(s Store, key []byte) (*Sealed, error) {
	if len(key) != StoreKeyBytes {
		return nil, fmt.Errorf("the key of an IAM store has %d bytes, not %d", StoreKeyBytes, len(key))
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	return &Sealed{Store: s, aead: aead}, nil
}

// ParseStoreKey reads a key as hexadecimal or base64 text, as a key file holds it.
func ParseStoreKey(text string) ([]byte, error) {
	text = strings.TrimSpace(text)
	key, err := hex.DecodeString(text)
	if err != nil {
		key, err = base64.StdEncoding.DecodeString(text)
	}
	if err != nil || len(key) != StoreKeyBytes {
		return nil, fmt.Errorf("must be %d bytes as hexadecimal or base64 text", StoreKeyBytes)
	}
	return key, nil
}

// seal encrypts the private half. The key id is bound to it, so that rows cannot
// be exchanged.
func (s *Sealed) seal(k SigningKey) SigningKey {
	if !strings.HasPrefix(k.PrivatePEM, sealedMark) {
		nonce := randomBytes(s.aead.NonceSize())
		sealed := s.aead.Seal(nonce, nonce, []byte(k.PrivatePEM), []byte(k.KID))
		k.PrivatePEM = sealedMark + base64.StdEncoding.EncodeToString(sealed)
	}
	return k
}

func (s *Sealed) open(k SigningKey) (SigningKey, error) {
	text, sealed := strings.CutPrefix(k.PrivatePEM, sealedMark)
	if !sealed {
		return k, nil
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(raw) < s.aead.NonceSize() {
		return k, ErrSealed
	}
	n := s.aead.NonceSize()
	clear, err := s.aead.Open(nil, raw[:n], raw[n:], []byte(k.KID))
	if err != nil {
		return k, ErrSealed
	}
	k.PrivatePEM = string(clear)
	return k, nil
}

// Seed implements Store.
func (s *Sealed) Seed(ctx context.Context, seed Seed) error {
	seed.SigningKey = s.seal(seed.SigningKey)
	return s.Store.Seed(ctx, seed)
}

// SigningKeys implements Store.
func (s *Sealed) SigningKeys(ctx context.Context) ([]SigningKey, error) {
	keys, err := s.Store.SigningKeys(ctx)
	for i := 0; i < len(keys) && err == nil; i++ {
		keys[i], err = s.open(keys[i])
	}
	return keys, err
}

// EnsureSigningKey implements Store.
func (s *Sealed) EnsureSigningKey(ctx context.Context, k SigningKey) (SigningKey, error) {
	active, err := s.Store.EnsureSigningKey(ctx, s.seal(k))
	if err != nil {
		return active, err
	}
	return s.open(active)
}

// RotateSigningKey implements Store.
func (s *Sealed) RotateSigningKey(ctx context.Context, next SigningKey) error {
	return s.Store.RotateSigningKey(ctx, s.seal(next))
}

// Export implements Archive, with private keys in clear: only so can they be
// imported without this key.
func (s *Sealed) Export(ctx context.Context, each func(record any) error) error {
	archive, ok := s.Store.(Archive)
	if !ok {
		return errors.ErrUnsupported
	}
	return archive.Export(ctx, func(record any) error {
		if k, ok := record.(*SigningKey); ok {
			opened, err := s.open(*k)
			if err != nil {
				return err
			}
			record = &opened
		}
		return each(record)
	})
}

// Import implements Archive.
func (s *Sealed) Import(ctx context.Context, records iter.Seq2[any, error]) error {
	archive, ok := s.Store.(Archive)
	if !ok {
		return errors.ErrUnsupported
	}
	return archive.Import(ctx, func(yield func(any, error) bool) {
		for record, err := range records {
			if k, ok := record.(*SigningKey); ok {
				record = new(s.seal(*k))
			}
			if !yield(record, err) {
				return
			}
		}
	})
}

// checkSealed refuses to serve from a store whose signing keys cannot be used.
func (s *Service) checkSealed(ctx context.Context) error {
	keys, err := s.store.SigningKeys(ctx)
	if err != nil {
		return err
	}
	for _, k := range keys {
		if strings.HasPrefix(k.PrivatePEM, sealedMark) {
			return errors.New("the signing keys in this store are encrypted: its key file is needed")
		}
	}
	return nil
}
