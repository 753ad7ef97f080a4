package proxy

import (
	"errors"
	"sync"
	"time"

	"sluice/proxy/auth"
)

// reasonUnchecked is the reason to close when IAM has been away for too long.
const reasonUnchecked = "credential could not be checked for too long"

// credential is what the socket of an import or export was opened with. It is
// looked at again while the socket is open.
type credential struct {
	mu    sync.Mutex
	token []byte
	// checkAt is when to ask again, Unix nanoseconds; 0: never.
	checkAt int64
	// goodUntil is how long the last answer counts while IAM cannot be asked.
	goodUntil int64
	who       *auth.Identity
	checking  bool
}

// know takes a yes. It keeps the token.
func (k *credential) know(who *auth.Identity, token []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.token, k.who, k.checking = token, who, false
	k.checkAt, k.goodUntil = 0, 0
	if !who.Expires.IsZero() {
		k.checkAt = who.Expires.UnixNano()
		k.goodUntil = graceOf(who)
	}
}

// lapsed reports whether it is time to ask again; the caller must do so.
func (k *credential) lapsed(now int64) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.checkAt == 0 || now <= k.checkAt || k.checking {
		return false
	}
	k.checking = true
	return true
}

// ended reports whether the token itself is over, so that nobody needs to be asked.
func (k *credential) ended(now time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.who.Ended(now)
}

// postpone puts the next question off. It is false when the last answer does not
// count any more; then there is no next one.
func (k *credential) postpone(now int64, pause time.Duration) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if now > k.goodUntil {
		k.checkAt = 0
		return false
	}
	k.checking, k.checkAt = false, now+int64(pause)
	return true
}

// recheck asks again whom the stream's token stands for, and what they may do,
// when it is time. It does not wait: refused is called later, at most once, from
// another goroutine or from this one, with the reason to close.
func (f *flowStream) recheck(now time.Time, c *wsConn, refused func(reason string)) {
	k := &f.credential
	if !k.lapsed(now.UnixNano()) {
		return
	}
	if k.ended(now) {
		reauthExpired.Inc()
		refused(reasonRefused)
		return
	}
	if c.sockets.rechecks.Add(1) > maxRechecks {
		c.sockets.rechecks.Add(-1)
		if !k.postpone(now.UnixNano(), 0) {
			refused(reasonUnchecked)
		}
		return
	}
	go f.ask(c, refused)
}

// ask is a recheck's goroutine. It ends with the question, after 20 s at most.
func (f *flowStream) ask(c *wsConn, refused func(reason string)) {
	defer c.sockets.rechecks.Add(-1)
	defer func() {
		if p := recover(); p != nil {
			c.panicked("authentication", p)
			c.abandon(codeServerError, reasonInternal)
		}
	}()
	k := &f.credential
	who, err := f.server.authenticator.Authenticate(k.token)
	if err == nil {
		err = f.authorise(who, f.target)
	}
	switch {
	case err == nil:
		reauthOK.Inc()
		k.know(who, k.token)
	case errors.Is(err, auth.ErrUnavailable):
		reauthUnavailable.Inc()
		if !k.postpone(time.Now().UnixNano(), recheckPause) {
			refused(reasonUnchecked)
		}
	default:
		reauthRefused.Inc()
		refused(reasonRefused)
	}
}
