package auth

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"math"
	"time"
	"unicode/utf8"
)

// jwt is a token taken apart. Nothing in it is to be believed before the
// signature has been verified.
type jwt struct {
	signed    []byte // header "." payload as they came, a view into the token
	payload   []byte
	signature []byte
}

// parseJWT reads the compact form: exactly three parts, base64url without padding
// or stray bits, a header that says EdDSA and has no `crit`. It is stricter than
// the reference, which tolerates padding and foreign characters (D32).
func parseJWT(token []byte) (jwt, bool) {
	if len(token) > maxTokenBytes {
		return jwt{}, false
	}
	head, rest, found := bytes.Cut(token, dot)
	if !found {
		return jwt{}, false
	}
	body, sig, found := bytes.Cut(rest, dot)
	if !found {
		return jwt{}, false
	}
	t := jwt{signed: token[:len(head)+1+len(body)]}
	header, ok := decodePart(head)
	if !ok || !acceptHeader(header) {
		return jwt{}, false
	}
	if t.payload, ok = decodePart(body); !ok {
		return jwt{}, false
	}
	t.signature, ok = decodePart(sig)
	return t, ok && len(t.signature) == ed25519.SignatureSize
}

var dot = []byte{'.'}

// decodePart refuses line ends itself, because encoding/base64 skips them even
// when it is strict. A second dot in the last part is outside the alphabet.
func decodePart(part []byte) ([]byte, bool) {
	if bytes.ContainsAny(part, "\r\n") {
		return nil, false
	}
	out, err := strictBase64.AppendDecode(nil, part)
	return out, err == nil
}

var strictBase64 = base64.RawURLEncoding.Strict()

// acceptHeader: `crit` lists extensions that a verifier must understand, and this
// one understands none. `kid` and `typ` are ignored.
func acceptHeader(header []byte) bool {
	members, ok := parseObject(header)
	if !ok {
		return false
	}
	alg, ok := memberOf[string](members, "alg")
	_, critical := members["crit"]
	return ok && alg == "EdDSA" && !critical
}

// identityOf reads the claims. It reports false when a claim that is needed is
// missing or of the wrong type, or when the token ended before now; a token that
// ends exactly now still passes.
func identityOf(payload []byte, now time.Time) (*Identity, bool) {
	members, ok := parseObject(payload)
	if !ok {
		return nil, false
	}
	seconds, ok := memberOf[float64](members, "exp")
	if !ok {
		return nil, false
	}
	expires := instant(seconds)
	if expires.Before(now) {
		return nil, false
	}
	user, hasUser := memberOf[string](members, "sub")
	workspace, hasWorkspace := memberOf[string](members, "workspace")
	names, ok := rolesOf(members)
	if !ok || !hasUser || !hasWorkspace || user == "" || workspace == "" {
		return nil, false
	}
	id := NewIdentity(user, workspace, names)
	id.Source, id.Expires, id.Ends = JWT, expires, expires
	return id, true
}

// rolesOf: absent means none. Anything but a list of strings is refused, where
// the reference answers 500 or grants nothing (G11).
func rolesOf(members map[string]json.RawMessage) ([]string, bool) {
	if _, found := members["roles"]; !found {
		return nil, true
	}
	list, ok := memberOf[[]*string](members, "roles")
	if !ok {
		return nil, false
	}
	names := make([]string, 0, len(list))
	for _, name := range list {
		if name == nil {
			return nil, false
		}
		names = append(names, *name)
	}
	return names, true
}

// parseObject goes through a map and not a struct because encoding/json matches
// struct fields whatever their case: `EXP` must not count. Of duplicate members
// the last wins.
func parseObject(text []byte) (map[string]json.RawMessage, bool) {
	var members map[string]json.RawMessage
	if !utf8.Valid(text) || json.Unmarshal(text, &members) != nil {
		return nil, false
	}
	return members, members != nil
}

// memberOf reads a member of exactly the wanted type: absent and null are no
// values.
func memberOf[T any](members map[string]json.RawMessage, name string) (T, bool) {
	var value *T
	if err := json.Unmarshal(members[name], &value); err != nil || value == nil {
		var none T
		return none, false
	}
	return *value, true
}

// instant converts Unix seconds, fractions included, and stops at the ends of
// what nanoseconds in 64 bits can say (years 1678 and 2262).
func instant(seconds float64) time.Time {
	const end = float64(math.MaxInt64 / int64(time.Second))
	whole, fraction := math.Modf(max(-end, min(end, seconds)))
	return time.Unix(int64(whole), int64(fraction*float64(time.Second)))
}
