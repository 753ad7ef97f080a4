package auth

import (
	"crypto/ed25519"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"sluice/codec"
)

const (
	// keyFetchGap is the least time between two fetches in vain that failed
	// verifications ask for: any stranger can make a verification fail, but nobody
	// can make IAM rotate its keys.
	keyFetchGap = 5 * time.Second
	// keyRetention is for how long a key is still good after IAM stopped serving
	// it: the life of the tokens that IAM issues.
	keyRetention = time.Hour
	// keyringLimit bounds how many signatures one bad token costs. Rotating more
	// often than that within an hour drops the oldest keys early.
	keyringLimit = 16
	// keyWaiters bounds the callers who wait for a fetch; others are refused.
	keyWaiters = 256
	// iamPatience is how long anybody waits for somebody else's question to IAM.
	// IAM implementations bound the question itself in the same way.
	iamPatience = 10 * time.Second
)

// signingKey is a public key that tokens may be signed with.
type signingKey struct {
	public ed25519.PublicKey
	gone   time.Time // when IAM was first seen without it; zero while it is served
}

// keyring holds the signing keys. They come either from a file, for good, or from
// IAM, which rotates them and may not be there when the gateway starts.
type keyring struct {
	// set once
	iam     IAM // nil when the keys are those of a file
	now     func() time.Time
	dropped func() // called after a key was dropped; may be nil
	fetches *flights[struct{}, struct{}]

	keys atomic.Pointer[[]signingKey] // an immutable list, replaced whole

	mu    sync.Mutex
	asked time.Time // guarded by mu: when a failed verification last caused a fetch in vain
}

func newKeyring(iam IAM, fromFile []ed25519.PublicKey, now func() time.Time) *keyring {
	r := &keyring{iam: iam, now: now, fetches: newFlights[struct{}, struct{}](keyWaiters)}
	list := make([]signingKey, len(fromFile))
	for i, key := range fromFile {
		list[i].public = key
	}
	r.keys.Store(&list)
	return r
}

// verify returns the key that signed message. When none of the known ones did, it
// asks IAM for newer keys, so that a token signed after a rotation works at the
// first attempt (D3, D4).
func (r *keyring) verify(message, signature []byte) (ed25519.PublicKey, bool) {
	tried := r.keys.Load()
	if key, ok := signerOf(*tried, message, signature); ok {
		return key, true
	}
	if r.iam == nil {
		return nil, false
	}
	r.refresh()
	fresh := r.keys.Load()
	if fresh == tried {
		return nil, false
	}
	return signerOf(*fresh, message, signature)
}

func signerOf(keys []signingKey, message, signature []byte) (ed25519.PublicKey, bool) {
	for i := range keys {
		if ed25519.Verify(keys[i].public, message, signature) {
			return keys[i].public, true
		}
	}
	return nil, false
}

func (r *keyring) holds(key ed25519.PublicKey) bool {
	return slices.ContainsFunc(*r.keys.Load(), func(k signingKey) bool { return k.public.Equal(key) })
}

// refresh waits for the fetch under way, or makes one if the last one made here
// is long enough ago. Whether it helped is seen in the keys.
func (r *keyring) refresh() {
	_, _ = r.fetches.do(struct{}{}, iamPatience, func() (struct{}, error) {
		if !r.due() {
			return struct{}{}, nil
		}
		known := *r.keys.Load()
		err := r.fetch()
		if slices.ContainsFunc(*r.keys.Load(), func(k signingKey) bool { return !contains(known, k.public) }) {
			r.forgetGap()
		}
		return struct{}{}, err
	})
}

// forgetGap is for fetches that brought a key: who rotates twice need not wait.
func (r *keyring) forgetGap() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = time.Time{}
}

func (r *keyring) due() bool {
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.asked.IsZero() && now.Sub(r.asked) < keyFetchGap {
		return false
	}
	r.asked = now
	return true
}

// poll is refresh for the keyring's own rhythm, which is outside the gap.
func (r *keyring) poll() error {
	_, err := r.fetches.do(struct{}{}, iamPatience, func() (struct{}, error) {
		return struct{}{}, r.fetch()
	})
	return err
}

func (r *keyring) fetch() error {
	keys, err := r.ask()
	if err != nil {
		keyFetchesFailed.Inc()
		return fmt.Errorf("fetching the JWT signing keys: %w", err)
	}
	keyFetchesOK.Inc()
	r.merge(keys)
	return nil
}

func (r *keyring) ask() ([]ed25519.PublicKey, error) {
	request, err := codec.MarshalIAMRequest(&codec.IAMRequest{Operation: "get-signing-key-public"})
	if err != nil {
		return nil, err
	}
	answer, err := r.iam.Ask(request)
	if err != nil {
		return nil, err
	}
	reply, err := codec.ParseIAMReply(answer)
	if err != nil {
		return nil, err
	}
	if reply.Error != nil {
		return nil, reply.Error
	}
	return parsePublicKeys([]byte(reply.SigningKeyPublic))
}

// merge makes the served keys current. Earlier ones stay behind them, youngest
// departure first, until they have been gone for keyRetention. Only fetches call
// it, one at a time.
func (r *keyring) merge(served []ed25519.PublicKey) {
	now, old := r.now(), *r.keys.Load()
	fresh := make([]signingKey, 0, len(served)+len(old))
	for _, key := range served {
		if !contains(fresh, key) {
			fresh = append(fresh, signingKey{public: key})
		}
	}
	current := len(fresh)
	for _, k := range old {
		if contains(fresh[:current], k.public) {
			continue
		}
		if k.gone.IsZero() {
			k.gone = now
		}
		if now.Sub(k.gone) <= keyRetention {
			fresh = append(fresh, k)
		}
	}
	slices.SortStableFunc(fresh[current:], func(a, b signingKey) int { return b.gone.Compare(a.gone) })
	r.replace(old, fresh[:min(len(fresh), keyringLimit)])
}

func (r *keyring) replace(old, fresh []signingKey) {
	if slices.EqualFunc(old, fresh, func(a, b signingKey) bool {
		return a.public.Equal(b.public) && a.gone.Equal(b.gone)
	}) {
		return // callers who compare pointers need not verify again
	}
	r.keys.Store(&fresh)
	for _, k := range old {
		if !contains(fresh, k.public) && r.dropped != nil {
			r.dropped()
			return
		}
	}
}

func contains(keys []signingKey, key ed25519.PublicKey) bool {
	return slices.ContainsFunc(keys, func(k signingKey) bool { return k.public.Equal(key) })
}
