package auth

import (
	"crypto/sha256"
	"time"
)

// tokens authenticates JWTs.
type tokens struct {
	keys     *keyring
	verified *cache // until the token's own end
	now      func() time.Time
}

func newTokens(keys *keyring, now func() time.Time) *tokens {
	t := &tokens{keys: keys, verified: newCache(cacheEntries), now: now}
	// A token must not outlive the key that vouched for it.
	keys.dropped = t.verified.forget
	return t
}

// authenticate answers ErrRefused for every failure, IAM's absence included: a
// gateway without signing keys can't tell a good token from a bad one.
func (t *tokens) authenticate(token []byte) (*Identity, error) {
	if len(token) > maxTokenBytes {
		return nil, ErrRefused
	}
	key, now := sha256.Sum256(token), t.now()
	if e := t.verified.load(key, now.UnixNano()); e != nil {
		jwtMetrics.hits.Inc()
		return e.id, nil
	}
	jwtMetrics.misses.Inc()
	id, ok := t.verify(key, token, now)
	if !ok {
		jwtMetrics.refusals.Inc()
		return nil, ErrRefused
	}
	return id, nil
}

// verify looks at the claims before the signature only in order to spare expired
// tokens, which old browser tabs keep sending, the search for a newer key.
func (t *tokens) verify(key digest, token []byte, now time.Time) (*Identity, bool) {
	parsed, ok := parseJWT(token)
	if !ok {
		return nil, false
	}
	id, ok := identityOf(parsed.payload, now)
	if !ok {
		return nil, false
	}
	signer, ok := t.keys.verify(parsed.signed, parsed.signature)
	if !ok {
		return nil, false
	}
	t.verified.store(key, id, id.Expires.UnixNano(), now.UnixNano())
	if !t.keys.holds(signer) { // dropped meanwhile: forget may have come before store
		t.verified.forget()
	}
	return id, true
}
