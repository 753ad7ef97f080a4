package proxy

import (
	"net/netip"
	"sync"
	"time"
)

// maxBuckets bounds the memory of the rate limit. Beyond it an arbitrary address
// is forgotten, which at worst gives that one a fresh burst.
const maxBuckets = 10_000

// loginRate limits how often one client address may try to log in: a token
// bucket for each IPv4 address and each IPv6 /64.
type loginRate struct {
	rate  float64 // tokens a second; negative: no limit
	burst float64
	now   func() time.Time

	mu      sync.Mutex
	buckets map[netip.Prefix]bucket // guarded by mu
}

type bucket struct {
	tokens float64
	at     time.Time
}

func newLoginRate(rate float64, burst int) *loginRate {
	return &loginRate{rate: rate, burst: float64(burst), now: time.Now, buckets: make(map[netip.Prefix]bucket)}
}

// allow takes a token of the address's bucket.
func (l *loginRate) allow(client netip.Addr) bool {
	if l.rate < 0 {
		return true
	}
	key := siteOf(client)
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	b, known := l.buckets[key]
	if !known {
		l.makeRoom(now)
		b = bucket{tokens: l.burst, at: now}
	}
	b.tokens = min(l.burst, b.tokens+l.rate*now.Sub(b.at).Seconds())
	b.at = now
	ok := b.tokens >= 1
	if ok {
		b.tokens--
	}
	l.buckets[key] = b
	return ok
}

// makeRoom forgets full buckets, and any others when those are not enough. It
// makes room for many at once, so that a flood of addresses does not sweep for
// each of them.
func (l *loginRate) makeRoom(now time.Time) {
	if len(l.buckets) < maxBuckets {
		return
	}
	for key, b := range l.buckets {
		if b.tokens+l.rate*now.Sub(b.at).Seconds() >= l.burst {
			delete(l.buckets, key)
		}
	}
	for key := range l.buckets {
		if len(l.buckets) <= maxBuckets*3/4 {
			return
		}
		delete(l.buckets, key)
	}
}
