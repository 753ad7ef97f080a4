package iam

import (
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

const (
	passwordScheme = "pbkdf2-sha256"
	// passwordRounds is the cost of new hashes; stored ones keep their own.
	passwordRounds = 600_000
	// maxPasswordRounds is far above what anybody stores. A row with more would
	// keep a core busy for seconds at every attempt.
	maxPasswordRounds = 10_000_000
	saltBytes         = 16
	digestBytes       = sha256.Size
)

// errBadHash is the error for a stored password hash that nothing can match.
var errBadHash = errors.New("stored password hash is not usable")

// formatPassword derives the text that is stored for a password (iam.md 7.1).
func formatPassword(password string, salt []byte, rounds int) (string, error) {
	digest, err := pbkdf2.Key(sha256.New, password, salt, rounds, digestBytes)
	if err != nil {
		return "", fmt.Errorf("deriving a password hash: %w", err)
	}
	b64 := base64.StdEncoding
	return fmt.Sprintf("%s$%d$%s$%s", passwordScheme, rounds, b64.EncodeToString(salt), b64.EncodeToString(digest)), nil
}

// checkPassword reports whether password matches the stored text. An error
// says that it could not be compared at all.
func checkPassword(password, stored string) (bool, error) {
	rounds, salt, digest, err := splitHash(stored)
	if err != nil {
		return false, err
	}
	got, err := pbkdf2.Key(sha256.New, password, salt, rounds, digestBytes)
	if err != nil {
		return false, fmt.Errorf("deriving a password hash: %w", err)
	}
	return subtle.ConstantTimeCompare(got, digest) == 1, nil
}

func splitHash(stored string) (rounds int, salt, digest []byte, err error) {
	parts := strings.Split(stored, "$")
	if len(parts) != 4 || parts[0] != passwordScheme {
		return 0, nil, nil, errBadHash
	}
	rounds, err = strconv.Atoi(parts[1])
	if err != nil || rounds < 1 || rounds > maxPasswordRounds {
		return 0, nil, nil, errBadHash
	}
	salt, saltErr := decodeLenient(parts[2])
	digest, digestErr := decodeLenient(parts[3])
	if saltErr != nil || digestErr != nil || len(digest) != digestBytes {
		return 0, nil, nil, errBadHash
	}
	return rounds, salt, digest, nil
}

// decodeLenient decodes standard base64 as the reference does: what is not in
// the alphabet is skipped, missing padding is an error.
func decodeLenient(text string) ([]byte, error) {
	return base64.StdEncoding.DecodeString(strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z', r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '+', r == '/', r == '=':
			return r
		}
		return -1
	}, text))
}
