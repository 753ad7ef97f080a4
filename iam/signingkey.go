package iam

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"
)

// newSigningKey makes a key pair that is active from now on.
func newSigningKey(now time.Time) (SigningKey, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return SigningKey{}, fmt.Errorf("making a signing key: %w", err)
	}
	privatePEM, publicPEM, err := formatSigningKey(private)
	if err != nil {
		return SigningKey{}, err
	}
	return SigningKey{
		KID:        formatKID([16]byte(randomBytes(16))),
		PrivatePEM: privatePEM,
		PublicPEM:  publicPEM,
		Created:    now,
	}, nil
}

// formatSigningKey writes both halves as PEM (iam.md section 7.4).
func formatSigningKey(private ed25519.PrivateKey) (privatePEM, publicPEM string, err error) {
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return "", "", fmt.Errorf("encoding a signing key: %w", err)
	}
	public, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		return "", "", fmt.Errorf("encoding a signing key: %w", err)
	}
	privatePEM = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	publicPEM = string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}))
	return privatePEM, publicPEM, nil
}

// parsePrivateKey reads what formatSigningKey wrote.
func parsePrivateKey(text string) (ed25519.PrivateKey, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("signing key is not PEM")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("signing key: %w", err)
	}
	private, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("signing key is not Ed25519: %T", key)
	}
	return private, nil
}

// signingKeys reads the keys that there are, and which of them signs now. That one
// is made when there is none. They are read each time: another process may have
// rotated them.
func (s *Service) signingKeys(ctx context.Context) (active SigningKey, all []SigningKey, err error) {
	all, err = s.store.SigningKeys(ctx)
	if err != nil {
		return SigningKey{}, nil, err
	}
	for _, k := range all {
		if k.Retired.IsZero() {
			return k, all, nil
		}
	}
	k, err := newSigningKey(s.now())
	if err != nil {
		return SigningKey{}, nil, err
	}
	active, err = s.store.EnsureSigningKey(ctx, k)
	return active, all, err
}

// publicKeys is the PEM text that gateways verify with: first the key that
// signs, which is all an old gateway reads, then those whose tokens may still
// be in use.
func (s *Service) publicKeys(ctx context.Context) (string, error) {
	active, keys, err := s.signingKeys(ctx)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	out.WriteString(active.PublicPEM)
	now := s.now()
	for _, k := range keys {
		inUse := k.Retired.IsZero() || now.Sub(k.Retired) <= tokenLife
		if k.KID != active.KID && inUse {
			out.WriteString(k.PublicPEM)
		}
	}
	return out.String(), nil
}
