package auth

import (
	"crypto/sha256"
	"sync"
	"sync/atomic"

	"github.com/puzpuzpuz/xsync/v3"
)

// digest is the SHA-256 of a token. Caches know tokens by nothing else.
type digest = [sha256.Size]byte

// cache remembers what a token's digest stands for until an instant. A hit takes
// no lock and allocates nothing; the number of entries is bounded.
//
// Whoever fills it chooses the keys, so there is one cache per kind of verdict:
// invented tokens can only ever push out other invented tokens.
type cache struct {
	limit   int
	entries *xsync.MapOf[digest, *entry] // read by anybody, written under mu

	mu   sync.Mutex
	ring []*entry // guarded by mu: exactly the entries of the map
	hand int      // guarded by mu: where the search for a victim goes on
}

// entry is immutable but for used and slot.
type entry struct {
	key     digest
	id      *Identity // nil in a cache of refusals
	expires int64     // Unix nanoseconds; the entry is good up to and including it
	used    atomic.Bool
	slot    int // guarded by the cache's mu
}

func newCache(limit int) *cache {
	return &cache{limit: limit, entries: xsync.NewMapOf[digest, *entry]()}
}

// load returns the entry of key unless there is none or it has expired.
func (c *cache) load(key digest, now int64) *entry {
	e, found := c.entries.Load(key)
	if !found || now > e.expires {
		return nil
	}
	// Most hits find the mark set; writing it every time would make all cores
	// fight for the line.
	if !e.used.Load() {
		e.used.Store(true)
	}
	return e
}

// store puts or replaces an entry. A full cache gives up an entry that is expired
// or has not been used for a whole round of the hand.
func (c *cache) store(key digest, id *Identity, expires, now int64) {
	e := &entry{key: key, id: id, expires: expires}
	c.mu.Lock()
	defer c.mu.Unlock()
	old, found := c.entries.Load(key)
	switch {
	case found:
		e.slot = old.slot
	case len(c.ring) < c.limit:
		e.slot = len(c.ring)
		c.ring = append(c.ring, nil)
	default:
		e.slot = c.evict(now)
	}
	c.ring[e.slot] = e
	c.entries.Store(key, e)
}

// evict empties one slot of a full ring. It ends: the first round clears all
// marks that are not set again meanwhile, and the limit of the loop takes care of
// a storm of hits.
func (c *cache) evict(now int64) int {
	for range 2 * len(c.ring) {
		if e := c.ring[c.hand]; now > e.expires || !e.used.Swap(false) {
			break
		}
		c.hand = (c.hand + 1) % len(c.ring)
	}
	slot := c.hand
	c.entries.Delete(c.ring[slot].key)
	c.hand = (c.hand + 1) % len(c.ring)
	return slot
}

// sweep drops what has expired, so that tokens that never come back do not stay
// in memory.
func (c *cache) sweep(now int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	kept := c.ring[:0]
	for _, e := range c.ring {
		if now > e.expires {
			c.entries.Delete(e.key)
			continue
		}
		e.slot = len(kept)
		kept = append(kept, e)
	}
	clear(c.ring[len(kept):])
	c.ring, c.hand = kept, 0
}

// remove drops and returns one entry; nil when there is none.
func (c *cache) remove(key digest) *entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, found := c.entries.Load(key)
	if !found {
		return nil
	}
	c.entries.Delete(key)
	last := len(c.ring) - 1
	c.ring[e.slot] = c.ring[last]
	c.ring[e.slot].slot = e.slot
	c.ring[last] = nil
	c.ring, c.hand = c.ring[:last], 0
	return e
}

// forget drops everything.
func (c *cache) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.entries.Clear()
	c.ring, c.hand = nil, 0
}
