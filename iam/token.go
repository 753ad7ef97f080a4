package iam

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"strconv"
	"time"
	"unicode/utf16"
)

const (
	tokenIssuer = "trustgraph-iam"
	tokenLife   = time.Hour
)

// claims is what a token says. Times are seconds since 1970.
type claims struct {
	subject, workspace string
	roles              []string // sorted
	issued, expires    int64
}

// signToken writes and signs a JWT (iam.md section 7.3), byte for byte as the
// reference would.
func signToken(c claims, kid string, private ed25519.PrivateKey) string {
	b64 := base64.RawURLEncoding
	text := b64.AppendEncode(nil, appendHeader(nil, kid))
	text = append(text, '.')
	text = b64.AppendEncode(text, c.appendPayload(nil))
	signature := ed25519.Sign(private, text)
	text = append(text, '.')
	return string(b64.AppendEncode(text, signature))
}

func appendHeader(dst []byte, kid string) []byte {
	dst = append(dst, `{"alg":"EdDSA","kid":`...)
	dst = appendASCII(dst, kid)
	return append(dst, `,"typ":"JWT"}`...)
}

func (c claims) appendPayload(dst []byte) []byte {
	dst = append(dst, `{"exp":`...)
	dst = strconv.AppendInt(dst, c.expires, 10)
	dst = append(dst, `,"iat":`...)
	dst = strconv.AppendInt(dst, c.issued, 10)
	dst = append(dst, `,"iss":"`+tokenIssuer+`","roles":[`...)
	for i, role := range c.roles {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendASCII(dst, role)
	}
	dst = append(dst, `],"sub":`...)
	dst = appendASCII(dst, c.subject)
	dst = append(dst, `,"workspace":`...)
	dst = appendASCII(dst, c.workspace)
	return append(dst, '}')
}

// appendASCII appends s as a JSON string in which everything outside printable
// ASCII is escaped.
func appendASCII(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r >= ' ' && r <= '~':
			dst = append(dst, byte(r))
		case r == '\n':
			dst = append(dst, `\n`...)
		case r == '\r':
			dst = append(dst, `\r`...)
		case r == '\t':
			dst = append(dst, `\t`...)
		case r == '\b':
			dst = append(dst, `\b`...)
		case r == '\f':
			dst = append(dst, `\f`...)
		case r > 0xffff:
			hi, lo := utf16.EncodeRune(r)
			dst = fmt.Appendf(dst, `\u%04x\u%04x`, hi, lo)
		default:
			dst = fmt.Appendf(dst, `\u%04x`, r)
		}
	}
	return append(dst, '"')
}
