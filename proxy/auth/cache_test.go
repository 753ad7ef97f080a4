package auth

import (
	"crypto/sha256"
	"strconv"
	"sync"
	"testing"
)

func key(n int) digest { return sha256.Sum256([]byte(strconv.Itoa(n))) }

// checkCache: ring and map hold the same entries, each at its place.
func checkCache(t *testing.T, c *cache) {
	t.Helper()
	if c.entries.Size() != len(c.ring) || len(c.ring) > c.limit {
		t.Fatalf("%d in the map, %d in the ring, limit %d", c.entries.Size(), len(c.ring), c.limit)
	}
	for i, e := range c.ring {
		if found, _ := c.entries.Load(e.key); found != e || e.slot != i {
			t.Fatalf("slot %d holds an entry that is elsewhere", i)
		}
	}
}

func TestCacheExpiry(t *testing.T) {
	c := newCache(10)
	id := NewIdentity("u", "w", nil)
	c.store(key(1), id, 100, 0)
	for _, tt := range []struct {
		now   int64
		found bool
	}{{0, true}, {100, true}, {101, false}} {
		if e := c.load(key(1), tt.now); (e != nil) != tt.found || e != nil && e.id != id {
			t.Errorf("at %d: %v", tt.now, e)
		}
	}
	if c.load(key(2), 0) != nil {
		t.Error("found what was never stored")
	}
}

func TestCacheIsBounded(t *testing.T) {
	c := newCache(100)
	for i := range 10_000 {
		c.store(key(i), nil, 1000, 0)
	}
	checkCache(t, c)
	if c.size() != 100 {
		t.Errorf("%d entries", c.size())
	}
}

// TestCacheKeepsWhatIsUsed: entries in use survive a flood of others.
func TestCacheKeepsWhatIsUsed(t *testing.T) {
	c := newCache(100)
	for i := range 10 {
		c.store(key(i), nil, 1000, 0)
	}
	for flood := 100; flood < 5000; flood++ {
		for i := range 10 {
			if c.load(key(i), 0) == nil {
				t.Fatalf("entry %d gone after %d others", i, flood-100)
			}
		}
		c.store(key(flood), nil, 1000, 0)
	}
	checkCache(t, c)
}

// TestCacheEvictsTheExpiredFirst: an expired entry goes even if it was just used.
func TestCacheEvictsTheExpiredFirst(t *testing.T) {
	c := newCache(3)
	c.store(key(1), nil, 1000, 0)
	c.store(key(2), nil, 10, 0)
	c.store(key(3), nil, 1000, 0)
	for i := 1; i <= 3; i++ {
		c.load(key(i), 0)
	}
	c.store(key(4), nil, 1000, 20)
	if c.load(key(1), 20) == nil || c.load(key(3), 20) == nil || c.load(key(4), 20) == nil {
		t.Error("an entry that is still good was given up")
	}
	checkCache(t, c)
}

func TestCacheReplacesInPlace(t *testing.T) {
	c := newCache(3)
	for i := range 3 {
		c.store(key(i), nil, 10, 0)
	}
	id := NewIdentity("u", "w", nil)
	c.store(key(1), id, 30, 20)
	if e := c.load(key(1), 25); e == nil || e.id != id {
		t.Error("not replaced")
	}
	checkCache(t, c)
}

func TestCacheSweep(t *testing.T) {
	c := newCache(1000)
	for i := range 100 {
		c.store(key(i), nil, int64(i), 0)
	}
	c.sweep(50)
	checkCache(t, c)
	if c.size() != 50 {
		t.Errorf("%d entries, expected those from 50 to 99", c.size())
	}
	for i := 100; i < 2000; i++ { // the hand starts over
		c.store(key(i), nil, int64(i), 50)
	}
	checkCache(t, c)
	c.forget()
	checkCache(t, c)
	c.store(key(1), nil, 1, 0)
	checkCache(t, c)
}

func TestCacheConcurrently(t *testing.T) {
	c := newCache(64)
	var all sync.WaitGroup
	for worker := range 8 {
		all.Go(func() {
			for i := range 2000 {
				n := (i*7 + worker) % 300
				if c.load(key(n), int64(i)) == nil {
					c.store(key(n), nil, int64(i+100), int64(i))
				}
				if i%500 == 0 {
					c.sweep(int64(i))
				}
			}
		})
	}
	all.Wait()
	checkCache(t, c)
}

// size is the exact number of entries.
func (c *cache) size() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.ring)
}
