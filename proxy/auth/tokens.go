package auth

import (
	"crypto/sha256"
	"time"
)

// tokens authenticates JWTs: the token by its signature, then its user by asking
// IAM.
type tokens struct {
	keys *keyring
	// users confirms; nil when there is no IAM, and the claims are all there is.
	users    *users
	verified *cache // what tokens claim, until their own end
	current  *cache // whom they stand for, until that must be confirmed again
	now      func() time.Time
}

func newTokens(keys *keyring, users *users, now func() time.Time) *tokens {
	t := &tokens{keys: keys, users: users, verified: newCache(cacheEntries), current: newCache(cacheEntries), now: now}
	// A token must not outlive the key that vouched for it.
	keys.dropped = t.forget
	return t
}

func (t *tokens) forget() {
	t.verified.forget()
	t.current.forget()
}

// authenticate answers ErrRefused for whatever is wrong with a token, the absence
// of signing keys included: a gateway without them can't tell a good token from a
// bad one. It answers ErrUnavailable for a good token whose user IAM can't be
// asked about, and has not been for too long.
func (t *tokens) authenticate(token []byte) (*Identity, error) {
	if len(token) > maxTokenBytes {
		return nil, ErrRefused
	}
	key, now := sha256.Sum256(token), t.now()
	e := t.current.load(key, now.UnixNano())
	if e != nil && e.id.counts() && !e.id.dueAt(now) {
		jwtMetrics.hits.Inc()
		return e.id, nil
	}
	claims, ok := t.claims(key, token, now)
	if !ok {
		jwtMetrics.refusals.Inc()
		return nil, ErrRefused
	}
	if t.users == nil {
		return claims, nil
	}
	who, err := t.users.confirm(claims, now)
	if err != nil {
		countFailure(err, jwtMetrics)
		return nil, err
	}
	if e != nil && e.id.answer == who {
		return e.id, nil // it is being renewed
	}
	id := claims.confirmedBy(who)
	t.current.store(key, id, id.Expires.UnixNano(), now.UnixNano())
	return id, nil
}

// claims returns what a token says that some key has signed.
func (t *tokens) claims(key digest, token []byte, now time.Time) (*Identity, bool) {
	if e := t.verified.load(key, now.UnixNano()); e != nil {
		jwtMetrics.hits.Inc()
		return e.id, true
	}
	jwtMetrics.misses.Inc()
	return t.verify(key, token, now)
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
	id.user = userKey(id.Workspace, id.UserID)
	t.verified.store(key, id, id.Expires.UnixNano(), now.UnixNano())
	if !t.keys.holds(signer) { // dropped meanwhile: forget may have come before store
		t.forget()
	}
	return id, true
}

// confirmedBy is the identity of a token whose user IAM has answered for: as IAM
// says, but not beyond the token's own end.
func (id *Identity) confirmedBy(who *Identity) *Identity {
	out := *who
	if who.unconfirmed {
		out.Roles, out.grants = id.Roles, id.grants
	}
	out.answer, out.Ends, out.user = who, id.Ends, id.user
	if out.Expires.After(out.Ends) {
		out.Expires = out.Ends
	}
	if out.GraceEnd.After(out.Ends) {
		out.GraceEnd = out.Ends
	}
	return &out
}
