package proxy

import (
	"errors"
	"time"

	"sluice/codec"
	"sluice/pool"
	"sluice/proxy/auth"
)

const (
	// recheckLeast is the least time between two checks.
	recheckLeast = time.Second
	// recheckPause is the pause after IAM could not be asked.
	recheckPause = 5 * time.Second
	// maxAttempts bounds the authentications of one socket that wait their turn.
	maxAttempts = 8
	// maxRechecks bounds those that the sweeper has under way for all sockets.
	maxRechecks = 256
)

var (
	reauthOK          = wsReauths.WithLabelValues("ok")
	reauthRefused     = wsReauths.WithLabelValues("refused")
	reauthUnavailable = wsReauths.WithLabelValues("unavailable")
	reauthExpired     = wsReauths.WithLabelValues("expired")
)

// occasion is why a token is authenticated.
type occasion uint8

const (
	atHandshake occasion = iota // silently: an auth-* frame only answers an auth frame
	inBand
	whenLapsed
)

type attempt struct {
	token  []byte
	why    occasion
	number uint64 // counts up within the session
	// aside: requests do not wait for it, because the last answer still counts.
	aside bool
}

// identityState is who the client is, and the attempts to find out. Asking may
// take as long as IAM does, so one goroutine asks, for as long as there is
// something to ask, and the reader reads on. It is guarded by the session's mu.
type identityState struct {
	who     *auth.Identity // nil: unknown, or no longer
	token   []byte         // of who, to ask again
	checkAt int64          // when to ask again, Unix nanoseconds; 0: never
	// goodUntil is how long the answer counts while IAM cannot be asked.
	goodUntil int64
	attempts  []attempt     // the first one is under way
	settled   chan struct{} // closed when no attempt that requests wait for is left; nil when nobody waits
	count     uint64        // attempts so far
	everKnown bool
	revoked   bool // the credential was refused: the socket closes when its requests are done
}

// busy reports whether requests have to wait to know whose they are.
func (i *identityState) busy() bool {
	for k := range i.attempts {
		if !i.attempts[k].aside {
			return true
		}
	}
	return false
}

// authenticate handles an auth frame.
func (s *session) authenticate(token codec.Value) {
	text, _ := token.String() // of another type, it is no token
	if len(text) == 0 || !s.try(attempt{token: append([]byte(nil), text...), why: inBand}) {
		s.answerAuth(nil)
	}
}

// try queues an attempt and makes sure that somebody works on it.
func (s *session) try(a attempt) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tryLocked(a)
}

func (s *session) tryLocked(a attempt) bool {
	i := &s.identity
	if s.ended || len(i.attempts) >= maxAttempts {
		return false
	}
	i.count++
	a.number = i.count
	i.attempts = append(i.attempts, a)
	if len(i.attempts) == 1 {
		go s.attempt()
	}
	return true
}

// attempt works through the attempts.
func (s *session) attempt() {
	defer func() {
		if p := recover(); p != nil {
			s.c.panicked("authentication", p)
			s.c.abandon(codeServerError, reasonInternal)
		}
	}()
	for {
		s.mu.Lock()
		i := &s.identity
		a := i.attempts[0]
		s.mu.Unlock()
		who, err := s.server.authenticator.Authenticate(a.token)
		s.mu.Lock()
		s.settle(&a, who, err)
		i.attempts = i.attempts[1:]
		more := len(i.attempts) > 0
		if !more {
			i.attempts = nil
		}
		if i.settled != nil && !i.busy() {
			close(i.settled)
			i.settled = nil
		}
		s.kick()
		over := s.overNow()
		s.mu.Unlock()
		s.finishUp(over)
		if !more {
			return
		}
	}
}

// settle applies the outcome of an attempt. The caller holds mu.
func (s *session) settle(a *attempt, who *auth.Identity, err error) {
	i := &s.identity
	if a.why == whenLapsed {
		s.server.sockets.rechecks.Add(-1)
	}
	switch {
	case err == nil:
		i.know(who, a.token, time.Now().UnixNano())
		s.server.sockets.admitted(s.c)
		if a.why == whenLapsed {
			reauthOK.Inc()
		}
	case a.why == whenLapsed:
		i.lapsed(err, time.Now().UnixNano())
	}
	s.requests.settle(a.number, i.who)
	if a.why == inBand {
		s.answerAuth(who) // nil on failure, and an earlier identity stays in force
	}
}

func (i *identityState) know(who *auth.Identity, token []byte, now int64) {
	i.who, i.token, i.everKnown, i.revoked = who, token, true, false
	i.checkAt, i.goodUntil = 0, 0
	if who.Expires.IsZero() {
		return
	}
	// An answer that has lapsed on its way still is one.
	i.checkAt = max(who.Expires.UnixNano(), now+int64(recheckLeast))
	if !who.Ends.IsZero() {
		i.checkAt = min(i.checkAt, who.Ends.UnixNano())
	}
	i.goodUntil = graceOf(who)
}

// graceOf is how long an identity counts while IAM cannot be asked, Unix
// nanoseconds.
func graceOf(who *auth.Identity) int64 {
	if who.GraceEnd.After(who.Expires) {
		return who.GraceEnd.UnixNano()
	}
	return who.Expires.UnixNano()
}

// lapsed notes that asking again did not bring a yes.
func (i *identityState) lapsed(err error, now int64) {
	if expired(i.who, now) { // on the way
		reauthExpired.Inc()
		i.forget()
		return
	}
	if errors.Is(err, auth.ErrUnavailable) {
		reauthUnavailable.Inc()
		i.checkAt = now + int64(recheckPause)
		if now > i.goodUntil {
			i.forget()
		}
		return
	}
	reauthRefused.Inc()
	i.forget()
	i.revoked = true
}

func (i *identityState) forget() { i.who, i.token, i.checkAt = nil, nil, 0 }

// lapse asks again when it is time. A JWT that has ended needs no asking: its client may
// authenticate anew. The caller holds the session's mu.
func (i *identityState) lapse(s *session) {
	now := s.c.sockets.now.Load()
	if i.checkAt == 0 || now <= i.checkAt || len(i.attempts) > 0 {
		return
	}
	if expired(i.who, now) {
		reauthExpired.Inc()
		i.forget()
		return
	}
	if s.server.sockets.rechecks.Add(1) > maxRechecks {
		s.server.sockets.rechecks.Add(-1)
		if now > i.goodUntil {
			i.forget()
		}
		return // at the next sweep, or the next frame
	}
	// The first time requests wait for the answer. While IAM is away they do not.
	again := i.checkAt > i.who.Expires.UnixNano()
	if !s.tryLocked(attempt{token: i.token, why: whenLapsed, aside: again}) {
		s.server.sockets.rechecks.Add(-1)
	}
}

// expired reports whether an identity has ended for good, without asking anybody.
func expired(who *auth.Identity, now int64) bool {
	return who != nil && who.Ended(time.Unix(0, now))
}

// allowLarge implements wsHandler: strangers have to be brief.
func (s *session) allowLarge() bool {
	s.mu.Lock()
	i := &s.identity
	if !i.busy() {
		defer s.mu.Unlock()
		return i.who != nil
	}
	if i.settled == nil {
		i.settled = make(chan struct{})
	}
	settled, gone := i.settled, s.goneLocked()
	s.mu.Unlock()
	select {
	case <-settled:
	case <-gone:
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return i.who != nil
}

// answerAuth answers an auth frame.
func (s *session) answerAuth(who *auth.Identity) {
	out := pool.Acquire(0)
	if who == nil {
		out.B = append(out.B, `{"type":"auth-failed","error":"auth failure"}`...)
	} else {
		b := codec.AppendQuoted(append(out.B, `{"type":"auth-ok","workspace":`...), who.Workspace)
		out.B = append(b, '}')
	}
	s.send(out)
}
