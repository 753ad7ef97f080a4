package auth

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
)

var errNoPublicKey = errors.New("no Ed25519 public key in PEM form")

// parsePublicKeys takes every Ed25519 key out of a text of PEM blocks. Lines
// around the blocks, blocks of other types and keys of other algorithms are
// passed over: IAM may one day say more than we understand.
func parsePublicKeys(text []byte) ([]ed25519.PublicKey, error) {
	var keys []ed25519.PublicKey
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			break
		}
		text = rest
		if block.Type != "PUBLIC KEY" {
			continue
		}
		parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			continue
		}
		if key, ok := parsed.(ed25519.PublicKey); ok {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, errNoPublicKey
	}
	return keys, nil
}

func loadPublicKeys(path string) ([]ed25519.PublicKey, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("JWT public key: %w", err)
	}
	keys, err := parsePublicKeys(text)
	if err != nil {
		return nil, fmt.Errorf("JWT public key: %s: %w", path, err)
	}
	return keys, nil
}
