package iam

import (
	"cmp"
	"context"
	"hash/maphash"
	"sync"
	"time"

	"sluice/codec"
)

const (
	// accountSlots bounds what is remembered of login attempts. Accounts share
	// slots by a hash that nobody outside can compute, so that there is nothing to
	// evict and nobody can choose whom to share one with.
	accountSlots = 1 << 14
	// freeFailures come without a delay; every further one doubles it.
	freeFailures = 3
	firstDelay   = 250 * time.Millisecond
	// maxDelay is where delays stop growing: an account is never locked.
	maxDelay = 5 * time.Second
	// forgetAfter is how long failures count after the last one.
	forgetAfter = 10 * time.Minute
	// maxPerAccount and maxDelayed bound the attempts that wait for their delay.
	maxPerAccount = 4
	maxDelayed    = 1024
	// attemptBurst attempts may come at once, and attemptsPerSecond on average.
	attemptBurst      = 20
	attemptsPerSecond = 5
)

// accounts slows down guessing: each account, whether it exists or not, has a
// token bucket, and failures delay the attempts after them. It may be used
// concurrently.
type accounts struct {
	seed maphash.Seed

	mu      sync.Mutex
	delayed int
	slots   [accountSlots]account // guarded by mu
}

type account struct {
	tokens   float32
	filled   time.Time
	failed   time.Time
	failures uint8
	waiting  uint8
}

func newAccounts() *accounts { return &accounts{seed: maphash.MakeSeed()} }

func (a *accounts) slot(name string) *account {
	return &a.slots[maphash.String(a.seed, name)%accountSlots]
}

// wait holds an attempt back for the account's delay. It is false when too many
// wait already, or ctx ended.
func (a *accounts) wait(ctx context.Context, name string) bool {
	pause, ok := a.queue(name)
	if !ok || pause == 0 {
		return ok
	}
	defer a.dequeue(name)
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (a *accounts) queue(name string) (time.Duration, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.slot(name)
	pause := s.delay(time.Now())
	if pause == 0 {
		return 0, true
	}
	if s.waiting == maxPerAccount || a.delayed == maxDelayed {
		return 0, false
	}
	s.waiting++
	a.delayed++
	return pause, true
}

func (a *accounts) dequeue(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.slot(name).waiting--
	a.delayed--
}

// delay is what the failures so far cost the next attempt.
func (s *account) delay(now time.Time) time.Duration {
	if s.failures <= freeFailures || now.Sub(s.failed) > forgetAfter {
		return 0
	}
	return min(maxDelay, firstDelay<<(s.failures-freeFailures-1))
}

// take uses one of the account's tokens up, if there is one.
func (a *accounts) take(name string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	s, now := a.slot(name), time.Now()
	if s.filled.IsZero() {
		s.tokens = attemptBurst
	} else {
		s.tokens = min(attemptBurst, s.tokens+float32(now.Sub(s.filled).Seconds())*attemptsPerSecond)
	}
	s.filled = now
	if s.tokens < 1 {
		return false
	}
	s.tokens--
	return true
}

// report tells what became of an attempt.
func (a *accounts) report(name string, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s, now := a.slot(name), time.Now()
	if ok || now.Sub(s.failed) > forgetAfter {
		s.failures = 0
	}
	if !ok {
		s.failed = now
		s.failures = min(s.failures+1, freeFailures+8)
	}
}

// loginAccount is whom a login is about, "" for nobody.
func loginAccount(r *codec.IAMRequest) string {
	if r.Username == "" || r.Password == "" {
		return ""
	}
	return cmp.Or(r.Workspace, defaultWorkspace) + "\x00" + r.Username
}

// passwordAccount is whose password is to be changed, by id; "" for nobody.
func passwordAccount(r *codec.IAMRequest) string {
	if r.UserID == "" || r.Password == "" || r.NewPassword == "" {
		return ""
	}
	return r.UserID
}
