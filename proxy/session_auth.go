package proxy

import (
	"time"

	"sluice/codec"
	"sluice/pool"
	"sluice/proxy/auth"
)

// maxAttempts bounds the authentications of one socket that wait their turn.
const maxAttempts = 8

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
	credential
	attempts []attempt     // the first one is under way
	settled  chan struct{} // closed when no attempt that requests wait for is left; nil when nobody waits
	count    uint64        // attempts so far
	revoked  bool          // the credential was refused: the socket closes when its requests are done
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
	defer s.c.contain("authentication")
	for {
		s.mu.Lock()
		i := &s.identity
		a := i.attempts[0]
		s.mu.Unlock()
		who, err := s.ask(&a)
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

func (s *session) ask(a *attempt) (*auth.Identity, error) {
	if a.why == whenLapsed {
		defer s.c.sockets.rechecks.Add(-1)
	}
	return s.server.authenticator.Authenticate(a.token)
}

// settle applies the outcome of an attempt. The caller holds mu.
func (s *session) settle(a *attempt, who *auth.Identity, err error) {
	i, now := &s.identity, time.Now().UnixNano()
	switch {
	case a.why == whenLapsed:
		i.revoked = i.answer(who, err, now) == revoked
	case err == nil:
		i.know(who, a.token, now)
		i.revoked = false
		s.c.sockets.admitted(s.c)
	}
	s.requests.settle(a.number, i.who)
	if a.why == inBand {
		s.answerAuth(who) // nil on failure, and an earlier identity stays in force
	}
}

// lapse asks again when it is time, unless the client is about to be somebody else.
// One that is nobody any more may authenticate anew. The caller holds mu.
func (s *session) lapse() {
	i := &s.identity
	if len(i.attempts) > 0 {
		return
	}
	due := i.checkAt
	if i.look(s.c.sockets.now.Load(), s.c.sockets) != mustAsk {
		return
	}
	// The first time requests wait for the answer. While IAM is away they do not.
	aside := due > i.who.Expires.UnixNano()
	if !s.tryLocked(attempt{token: i.token, why: whenLapsed, aside: aside}) {
		s.c.sockets.rechecks.Add(-1)
	}
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
