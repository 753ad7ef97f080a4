package auth

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"sluice/codec"
)

const (
	// cacheEntries bounds the resolved API keys, and the verified JWTs, each.
	cacheEntries = 100_000
	// refusalEntries bounds the refused API keys. They live for five seconds, so
	// IAM would have to answer thousands a second to fill it.
	refusalEntries = 20_000

	keyLife     = 60 * time.Second // of a resolved key, from the arrival of the request that missed
	refusalLife = 5 * time.Second  // of a definite refusal, from the answer

	// lookupSlots bounds the look-ups on the bus at one time, so that invented
	// keys can't use up the gateway's pending calls.
	lookupSlots = 64
	// lookupCallers bounds the requests that wait for a look-up.
	lookupCallers = 4096

	warnEvery = 10 * time.Second
)

// apiKeys authenticates API keys: those of a file, and those that IAM resolves.
type apiKeys struct {
	iam     IAM                  // nil: the file's keys are all there are
	file    map[digest]*Identity // set once
	known   *cache
	refused *cache
	lookups *flights[digest, *Identity]
	slots   chan struct{} // holds one token per look-up on the bus
	now     func() time.Time

	warned atomic.Int64 // when the last warning was logged, Unix nanoseconds
}

func newAPIKeys(iam IAM, file map[digest]*Identity, now func() time.Time) *apiKeys {
	return &apiKeys{
		iam:     iam,
		file:    file,
		known:   newCache(cacheEntries),
		refused: newCache(refusalEntries),
		lookups: newFlights[digest, *Identity](lookupCallers),
		slots:   make(chan struct{}, lookupSlots),
		now:     now,
	}
}

func (k *apiKeys) authenticate(token []byte) (*Identity, error) {
	if len(token) > maxTokenBytes {
		apiKeyMetrics.refusals.Inc()
		return nil, ErrRefused
	}
	key, now := sha256.Sum256(token), k.now()
	id, err, found := k.remembered(key, now)
	if found {
		apiKeyMetrics.hits.Inc()
	} else {
		apiKeyMetrics.misses.Inc()
		id, err = k.resolve(key, token, now)
	}
	if err != nil {
		countFailure(err)
	}
	return id, err
}

func countFailure(err error) {
	if errors.Is(err, ErrUnavailable) {
		unavailable.Inc()
		return
	}
	apiKeyMetrics.refusals.Inc()
}

// remembered answers from the file and the caches.
func (k *apiKeys) remembered(key digest, now time.Time) (id *Identity, err error, found bool) {
	if id := k.file[key]; id != nil {
		return id, nil, true
	}
	if e := k.known.load(key, now.UnixNano()); e != nil {
		return e.id, nil, true
	}
	if k.refused.load(key, now.UnixNano()) != nil {
		return nil, ErrRefused, true
	}
	return nil, nil, false
}

// resolve asks IAM, once for all who present the same key at the same time.
func (k *apiKeys) resolve(key digest, token []byte, arrived time.Time) (*Identity, error) {
	if k.iam == nil || !utf8.Valid(token) {
		return nil, ErrRefused
	}
	return k.lookups.do(key, iamPatience, func() (*Identity, error) {
		// An earlier look-up may have ended between our miss and this one.
		if id, err, found := k.remembered(key, arrived); found {
			return id, err
		}
		return k.lookUp(key, token, arrived)
	})
}

func (k *apiKeys) lookUp(key digest, token []byte, arrived time.Time) (*Identity, error) {
	if !k.takeSlot() {
		return nil, ErrUnavailable
	}
	defer k.freeSlot()
	reply, err := k.ask(token)
	if err != nil {
		k.warn(err)
		return nil, ErrUnavailable
	}
	return k.verdict(key, &reply, arrived)
}

// warn speaks up now and then: strangers decide how often there is a reason to.
func (k *apiKeys) warn(err error) {
	now, last := k.now().UnixNano(), k.warned.Load()
	if now-last >= int64(warnEvery) && k.warned.CompareAndSwap(last, now) {
		slog.Warn("API keys can't be resolved", "error", err)
	}
}

func (k *apiKeys) takeSlot() bool {
	timer := time.NewTimer(iamPatience)
	defer timer.Stop()
	select {
	case k.slots <- struct{}{}:
		lookupsInFlight.Inc()
		return true
	case <-timer.C:
		return false
	}
}

func (k *apiKeys) freeSlot() {
	lookupsInFlight.Dec()
	<-k.slots
}

// ask puts the key's text on the bus, once. Its errors never carry the text.
func (k *apiKeys) ask(token []byte) (codec.IAMReply, error) {
	request, err := codec.MarshalIAMRequest(&codec.IAMRequest{
		Operation: "resolve-api-key",
		APIKey:    string(token),
	})
	if err != nil {
		return codec.IAMReply{}, fmt.Errorf("writing the request failed: %w", err)
	}
	defer clear(request)
	answer, err := k.iam.Ask(request)
	if err != nil {
		return codec.IAMReply{}, err
	}
	return codec.ParseIAMReply(answer)
}

// verdict tells three outcomes apart. "auth-failed" is IAM's definite no and may
// be remembered. An internal error says nothing about the key. Whatever else IAM
// complains about is a no, but nothing to build on.
func (k *apiKeys) verdict(key digest, reply *codec.IAMReply, arrived time.Time) (*Identity, error) {
	if reply.Error != nil {
		return nil, k.refusal(key, reply.Error.Type)
	}
	if reply.ResolvedUserID == "" || reply.ResolvedWorkspace == "" {
		return nil, ErrRefused
	}
	id := NewIdentity(reply.ResolvedUserID, reply.ResolvedWorkspace, reply.ResolvedRoles)
	id.Source, id.Expires = APIKey, arrived.Add(keyLife)
	k.known.store(key, id, id.Expires.UnixNano(), k.now().UnixNano())
	return id, nil
}

func (k *apiKeys) refusal(key digest, errorType string) error {
	switch errorType {
	case "auth-failed":
		now := k.now()
		k.refused.store(key, nil, now.Add(refusalLife).UnixNano(), now.UnixNano())
		return ErrRefused
	case "internal-error", "gateway-error":
		return ErrUnavailable
	}
	return ErrRefused
}

func (k *apiKeys) sweep(now time.Time) {
	k.known.sweep(now.UnixNano())
	k.refused.sweep(now.UnixNano())
}
