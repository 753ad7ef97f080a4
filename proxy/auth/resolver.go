package auth

import (
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// answerLife is for how long an answer of IAM counts, from when it was asked
	// for; what IAM changes is felt within that time.
	answerLife = 60 * time.Second
	// refusalLife is how long a definite refusal is remembered, from the answer.
	refusalLife = 5 * time.Second

	// staleRetry is the pause between two questions about an answer that could
	// not be renewed. staleLife is longer than a question may take after that, so
	// that whoever keeps coming does not wait while IAM is away; whoever has
	// stayed away for longer does.
	staleRetry = 5 * time.Second
	staleLife  = 25 * time.Second

	// cacheEntries bounds the remembered answers of one kind.
	cacheEntries = 100_000
	// refusalEntries bounds the remembered refusals. They live for five seconds,
	// so IAM would have to answer thousands a second to fill it.
	refusalEntries = 20_000

	// lookupSlots bounds the questions on the bus at one time, so that invented
	// credentials can't use up the gateway's pending calls.
	lookupSlots = 64
	// lookupCallers bounds the requests that wait for an answer.
	lookupCallers = 4096

	warnEvery = 10 * time.Second
)

// question is one thing to ask IAM. It owns what it needs to ask.
type question interface {
	ask(iam IAM) verdict
}

// verdict is what came of it: an identity, or ErrRefused, or ErrUnavailable.
type verdict struct {
	id  *Identity
	err error
	// definite: the refusal may be remembered.
	definite bool
}

// resolver asks IAM about one kind of thing, once for all who want to know, and
// remembers the answers: a yes for answerLife, a definite no for refusalLife. When
// IAM can't be asked again, the last yes counts until it is as old as grace. A no
// ends it at once, and is never used in place of an answer.
type resolver struct {
	// Set once.

	iam   IAM
	grace time.Duration
	// early is how long before its end an answer in use is renewed behind its
	// users' backs; 0: never.
	early      time.Duration
	what       string // for the log
	now        func() time.Time
	stale      counter
	background *background

	known   *cache // until the end of grace
	refused *cache
	lookups *flights[digest, *Identity]
	slots   chan struct{} // holds one token per question on the bus

	warned atomic.Int64 // when the last warning was logged, Unix nanoseconds
}

type counter interface{ Inc() }

// standing is what all identities made of IAM's answers about one thing share.
type standing struct {
	over     atomic.Bool // the answers count no more
	renewing atomic.Bool
}

// remembered answers without IAM. An answer that is due to be renewed has renewAt
// in the past: the caller then says how, with renew.
func (r *resolver) remembered(key digest, now time.Time) (id *Identity, err error, found bool) {
	ns := now.UnixNano()
	if e := r.known.load(key, ns); e != nil && ns <= e.id.Expires.UnixNano() && e.id.counts() {
		return e.id, nil, true
	}
	if r.refused.load(key, ns) != nil {
		return nil, ErrRefused, true
	}
	return nil, nil, false
}

// resolve asks, once for all who ask at the same time.
func (r *resolver) resolve(key digest, arrived time.Time, q question) (*Identity, error) {
	id, err := r.lookups.do(key, iamPatience, func() (*Identity, error) {
		// An earlier question may have been answered between our miss and this one.
		if id, err, found := r.remembered(key, arrived); found {
			return id, err
		}
		return r.ask(key, arrived, q)
	})
	if errors.Is(err, ErrUnavailable) {
		if last := r.lastKnown(key); last != nil {
			r.stale.Inc()
			return last, nil
		}
	}
	return id, err
}

func (r *resolver) ask(key digest, arrived time.Time, q question) (*Identity, error) {
	if !r.takeSlot() {
		return nil, ErrUnavailable
	}
	defer r.freeSlot()
	before := r.known.load(key, r.now().UnixNano())
	v := q.ask(r.iam)
	if before != nil && !before.id.counts() { // forgotten meanwhile: this may be the old answer
		v = q.ask(r.iam)
	}
	switch {
	case v.err == nil:
		r.accept(key, v.id, arrived)
		return v.id, nil
	case errors.Is(v.err, ErrUnavailable):
		r.warn(v.err)
		return nil, ErrUnavailable
	}
	r.forget(key)
	if v.definite {
		now := r.now()
		r.refused.store(key, nil, now.Add(refusalLife).UnixNano(), now.UnixNano())
	}
	return nil, ErrRefused
}

// accept completes and remembers an identity that nobody else has seen yet.
func (r *resolver) accept(key digest, id *Identity, asked time.Time) {
	now := r.now().UnixNano()
	id.Expires = asked.Add(answerLife)
	id.GraceEnd = asked.Add(max(r.grace, answerLife))
	if r.early > 0 {
		id.renewAt = id.Expires.Add(-r.early).UnixNano()
	}
	id.standing = new(standing)
	if e := r.known.load(key, now); e != nil && e.id.counts() {
		id.standing = e.id.standing
	}
	r.known.store(key, id, id.GraceEnd.UnixNano(), now)
}

// lastKnown is the last yes, made to count a little longer; nil when there is none
// or it is too old.
func (r *resolver) lastKnown(key digest) *Identity {
	now := r.now()
	e := r.known.load(key, now.UnixNano())
	if e == nil || !e.id.counts() {
		return nil
	}
	id := *e.id
	if end := now.Add(staleLife); end.After(id.Expires) {
		id.Expires = end
	}
	if id.Expires.After(id.GraceEnd) {
		id.Expires = id.GraceEnd
	}
	id.renewAt = now.Add(staleRetry).UnixNano()
	r.known.store(key, &id, e.expires, now.UnixNano())
	return &id
}

// renew asks again about a remembered identity, without making anybody wait.
func (r *resolver) renew(key digest, id *Identity, q question) {
	s := id.standing
	if !s.renewing.CompareAndSwap(false, true) {
		return
	}
	started := r.background.start(func() {
		defer s.renewing.Store(false)
		_, err := r.lookups.do(key, iamPatience, func() (*Identity, error) { return r.ask(key, r.now(), q) })
		if errors.Is(err, ErrUnavailable) {
			r.lastKnown(key)
		}
	})
	if !started {
		s.renewing.Store(false) // somebody else's hit tries again
	}
}

// forget makes the next one ask, whatever was answered before.
func (r *resolver) forget(key digest) {
	if e := r.known.remove(key); e != nil {
		e.id.standing.over.Store(true)
	}
}

// warn speaks up now and then: strangers decide how often there is a reason to.
func (r *resolver) warn(err error) {
	now, last := r.now().UnixNano(), r.warned.Load()
	if now-last >= int64(warnEvery) && r.warned.CompareAndSwap(last, now) {
		slog.Warn("IAM can't be asked about "+r.what, "error", err)
	}
}

func (r *resolver) takeSlot() bool {
	timer := time.NewTimer(iamPatience)
	defer timer.Stop()
	select {
	case r.slots <- struct{}{}:
		lookupsInFlight.Inc()
		return true
	case <-timer.C:
		return false
	}
}

func (r *resolver) freeSlot() {
	lookupsInFlight.Dec()
	<-r.slots
}

func (r *resolver) sweep(now time.Time) {
	r.known.sweep(now.UnixNano())
	r.refused.sweep(now.UnixNano())
}

// background runs what nobody waits for, so much of it at a time, until it is
// closed.
type background struct {
	limit int

	mu      sync.Mutex
	running int  // guarded by mu
	closed  bool // guarded by mu
	done    sync.WaitGroup
}

// start runs work on a goroutine of its own, and reports whether it does.
func (b *background) start(work func()) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed || b.running >= b.limit {
		return false
	}
	b.running++
	b.done.Go(func() {
		defer b.ended()
		work()
	})
	return true
}

// ended also takes care of a panic: nobody's request is here to answer for it.
func (b *background) ended() {
	if p := recover(); p != nil {
		slog.Error("panic while asking IAM", "panic", p)
	}
	b.mu.Lock()
	b.running--
	b.mu.Unlock()
}

// close waits for what runs.
func (b *background) close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.done.Wait()
}
