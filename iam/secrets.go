package iam

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"unicode/utf8"
)

const (
	apiKeyMark             = "tg_"
	apiKeyBytes            = 24
	prefixRunes            = 7
	temporaryPasswordBytes = 12
	adminPasswordBytes     = 32
)

// randomBytes returns n bytes nobody can guess.
func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails: it ends the process instead
	return b
}

// newUUID returns a random UUID (version 4) as text.
func newUUID() string { return formatUUID([16]byte(randomBytes(16))) }

func formatUUID(b [16]byte) string {
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	h := hex.EncodeToString(b[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// formatKID is a signing key id: the first 16 digits of a random UUID.
func formatKID(b [16]byte) string {
	b[6] = b[6]&0x0f | 0x40
	return hex.EncodeToString(b[:8])
}

// formatAPIKey is the API key made of random bytes.
func formatAPIKey(random []byte) string {
	return apiKeyMark + base64.RawURLEncoding.EncodeToString(random)
}

// NewAPIKey makes an API key that nobody knows. It is a secret.
func NewAPIKey() string { return formatAPIKey(randomBytes(apiKeyBytes)) }

// hashAPIKey is what is stored of an API key.
func hashAPIKey(plaintext string) string {
	sum := sha256.Sum256([]byte(plaintext))
	return hex.EncodeToString(sum[:])
}

// apiKeyPrefix is what people see of an API key: its first seven characters.
func apiKeyPrefix(plaintext string) string {
	end := 0
	for range prefixRunes {
		_, size := utf8.DecodeRuneInString(plaintext[end:])
		end += size
	}
	return plaintext[:end]
}

// formatPasswordText is a generated password made of random bytes.
func formatPasswordText(random []byte) string {
	return base64.RawURLEncoding.EncodeToString(random)
}
