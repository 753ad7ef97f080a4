package auth

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"sluice/codec"
)

// apiKeys authenticates API keys: those of a file, and those that IAM resolves.
type apiKeys struct {
	*resolver                      // its iam is nil when the file's keys are all there are
	file      map[digest]*Identity // set once
}

func newAPIKeys(iam IAM, grace time.Duration, now func() time.Time) *apiKeys {
	r := newResolver(iam, grace, now)
	r.what, r.stale = "API keys", apiKeyMetrics.stale
	return &apiKeys{resolver: r}
}

func newResolver(iam IAM, grace time.Duration, now func() time.Time) *resolver {
	return &resolver{
		iam:        iam,
		grace:      grace,
		now:        now,
		background: &background{limit: lookupSlots},
		known:      newCache(cacheEntries),
		refused:    newCache(refusalEntries),
		lookups:    newFlights[digest, *Identity](lookupCallers),
		slots:      make(chan struct{}, lookupSlots),
	}
}

func (k *apiKeys) authenticate(token []byte) (*Identity, error) {
	if len(token) > maxTokenBytes {
		apiKeyMetrics.refusals.Inc()
		return nil, ErrRefused
	}
	key, now := sha256.Sum256(token), k.now()
	if id := k.file[key]; id != nil {
		apiKeyMetrics.hits.Inc()
		return id, nil
	}
	id, err, found := k.remembered(key, now)
	switch {
	case !found:
		apiKeyMetrics.misses.Inc()
		id, err = k.lookUp(key, token, now)
	case id != nil && id.dueAt(now):
		k.renew(key, id, keyQuestion(token))
		fallthrough
	default:
		apiKeyMetrics.hits.Inc()
	}
	if err != nil {
		countFailure(err, apiKeyMetrics)
	}
	return id, err
}

func countFailure(err error, m methodMetrics) {
	if errors.Is(err, ErrUnavailable) {
		unavailable.Inc()
		return
	}
	m.refusals.Inc()
}

func (k *apiKeys) lookUp(key digest, token []byte, arrived time.Time) (*Identity, error) {
	if k.iam == nil || !utf8.Valid(token) {
		return nil, ErrRefused
	}
	return k.resolve(key, arrived, keyQuestion(token))
}

// keyQuestion is the text of an API key: whose is it?
type keyQuestion string

// ask puts the key's text on the bus, once. Its errors never carry the text. Three
// outcomes are told apart: "auth-failed" is IAM's definite no and may be
// remembered. An internal error says nothing about the key. Whatever else IAM
// complains about is a no, but nothing to build on.
func (q keyQuestion) ask(iam IAM) verdict {
	reply, err := askIAM(iam, &codec.IAMRequest{Operation: "resolve-api-key", APIKey: string(q)})
	switch {
	case err != nil:
		return verdict{err: fmt.Errorf("%w: %w", ErrUnavailable, err)}
	case reply.Error != nil:
		switch reply.Error.Type {
		case "auth-failed":
			return verdict{err: ErrRefused, definite: true}
		case "internal-error", "gateway-error":
			return verdict{err: fmt.Errorf("%w: %w", ErrUnavailable, reply.Error)}
		}
		return verdict{err: ErrRefused}
	case reply.ResolvedUserID == "" || reply.ResolvedWorkspace == "":
		return verdict{err: ErrRefused}
	}
	id := NewIdentity(reply.ResolvedUserID, reply.ResolvedWorkspace, reply.ResolvedRoles)
	id.Source = APIKey
	return verdict{id: id}
}

// askIAM asks one question. The error is about the asking; a refusal is in the
// reply. The request's text, which may hold a secret, does not outlive the call.
func askIAM(iam IAM, req *codec.IAMRequest) (codec.IAMReply, error) {
	request, err := codec.MarshalIAMRequest(req)
	if err != nil {
		return codec.IAMReply{}, fmt.Errorf("writing the request failed: %w", err)
	}
	defer clear(request)
	answer, err := iam.Ask(request)
	if err != nil {
		return codec.IAMReply{}, err
	}
	return codec.ParseIAMReply(answer)
}
