package auth

import "bytes"

// maxTokenBytes bounds what is hashed or parsed for somebody unknown. It is the
// size of a whole header line, so no token that travels over HTTP is above it.
const maxTokenBytes = 8 << 10

var bearerScheme = []byte("Bearer ")

// Bearer takes the token out of an Authorization header: the scheme must be
// exactly "Bearer " (case-sensitive, one blank), the rest is trimmed and must not
// be empty. The token is a view into header.
func Bearer(header []byte) ([]byte, bool) {
	rest, found := bytes.CutPrefix(header, bearerScheme)
	if !found {
		return nil, false
	}
	token := bytes.TrimSpace(rest)
	return token, len(token) > 0
}
