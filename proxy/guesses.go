package proxy

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"

	"sluice/proxy/auth"
)

const (
	// freeGuesses is how many attempts an account has before they are slowed down;
	// one comes back every forgiveEvery.
	freeGuesses  = 5
	forgiveEvery = 30 * time.Second
	// firstGap is the pause after the first attempt too many. It doubles, up to
	// longestGap, which is also the longest that an attempt waits for its turn.
	firstGap   = 250 * time.Millisecond
	longestGap = 5 * time.Second
	// worst is where counting stops, so that an account that was attacked is as
	// good as new some minutes later.
	worst = 12
	// maxAccounts bounds the accounts that are remembered, maxDelayed the attempts
	// that wait.
	maxAccounts = 20_000
	maxDelayed  = 256
)

// guesses slows down whoever guesses the password of one account, from wherever:
// attempts take turns, with growing pauses between them. An account need not exist.
// None is ever locked: an attempt whose turn would come too late is refused, the
// next one may be luckier, and whoever comes from where the last success came from
// does not stand in line with strangers.
type guesses struct {
	off     bool
	now     func() time.Time
	seed    maphash.Seed
	delayed chan struct{} // holds one token per attempt that waits

	mu       sync.Mutex
	accounts map[uint64]account // guarded by mu
}

// account is one whose password somebody tries.
type account struct {
	count float64   // attempts that are not forgiven yet
	seen  time.Time // when count was that
	turn  time.Time // when the next attempt may go on
	home  uint64    // where the last success came from; 0: nowhere
}

// guess is one attempt.
type guess struct {
	account, site uint64
	// lane is where it stands in line: the account, or the account as seen from
	// home.
	lane uint64
}

func newGuesses(off bool) *guesses {
	return &guesses{
		off: off, now: time.Now, seed: maphash.MakeSeed(),
		delayed: make(chan struct{}, maxDelayed), accounts: make(map[uint64]account),
	}
}

// loginGuess is an attempt to log in. No workspace means the one that IAM takes.
func (g *guesses) loginGuess(workspace, name string, client netip.Addr) guess {
	if workspace == "" {
		workspace = "default"
	}
	return g.guess("login", workspace, name, client)
}

// changeGuess is an attempt to say the present password of a user.
func (g *guesses) changeGuess(userID string, client netip.Addr) guess {
	return g.guess("change", "", userID, client)
}

func (g *guesses) guess(what, workspace, name string, client netip.Addr) guess {
	type id struct{ what, workspace, name string }
	return guess{
		account: maphash.Comparable(g.seed, id{what, workspace, name}),
		site:    maphash.Comparable(g.seed, siteOf(client)),
	}
}

// wait returns when it is the attempt's turn. It answers ErrRefused when that is
// too far away, when too many wait already, or when the client leaves.
func (g *guesses) wait(a *guess, gone <-chan struct{}) error {
	if g.off {
		return nil
	}
	delay, ok := g.take(a)
	if !ok {
		shedGuesses.Inc()
		return auth.ErrRefused
	}
	if delay == 0 {
		return nil
	}
	select {
	case g.delayed <- struct{}{}:
		defer func() { <-g.delayed }()
	default:
		shedGuesses.Inc()
		return auth.ErrRefused
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-gone:
		return auth.ErrRefused
	}
}

// take gives the attempt its turn.
func (g *guesses) take(a *guess) (delay time.Duration, ok bool) {
	now := g.now()
	g.mu.Lock()
	defer g.mu.Unlock()
	a.lane = a.account
	if g.accounts[a.account].home == a.site {
		a.lane = a.account ^ a.site
	}
	acc, known := g.accounts[a.lane]
	if !known {
		g.makeRoom(now)
		acc.turn = now
	}
	acc.forgive(now)
	if acc.turn.Before(now) {
		acc.turn = now
	}
	delay = acc.turn.Sub(now)
	if delay > longestGap {
		return 0, false
	}
	acc.count = min(acc.count+1, worst)
	acc.turn = acc.turn.Add(gapAfter(acc.count))
	g.accounts[a.lane] = acc
	return delay, true
}

// right notes that an attempt was none: it was the account's owner.
func (g *guesses) right(a *guess) {
	if g.off {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.accounts, a.lane)
	acc := g.accounts[a.account]
	acc.home = a.site
	if acc.seen.IsZero() {
		acc.seen = g.now()
	}
	g.accounts[a.account] = acc
}

func (a *account) forgive(now time.Time) {
	if !a.seen.IsZero() {
		a.count = max(0, a.count-float64(now.Sub(a.seen))/float64(forgiveEvery))
	}
	a.seen = now
}

// gapAfter is the pause after so many attempts.
func gapAfter(count float64) time.Duration {
	extra := int(count) - freeGuesses
	if extra <= 0 {
		return 0
	}
	return min(longestGap, firstGap<<(extra-1))
}

// makeRoom forgets accounts when there are too many: first those that are not
// slowed down, which invented names are not, then any. It makes room for many at
// once, so that a flood of names does not sweep for each of them.
func (g *guesses) makeRoom(now time.Time) {
	if len(g.accounts) < maxAccounts {
		return
	}
	for _, all := range []bool{false, true} {
		for key, acc := range g.accounts {
			if len(g.accounts) <= maxAccounts*3/4 {
				return
			}
			acc.forgive(now)
			if all || acc.count <= freeGuesses && !acc.turn.After(now) {
				delete(g.accounts, key)
			}
		}
	}
}
