package proxy

import (
	"errors"
	"time"

	"sluice/proxy/auth"
)

const (
	// recheckLeast is the least time between two checks.
	recheckLeast = time.Second
	// recheckPause is the pause after IAM could not be asked.
	recheckPause = 5 * time.Second
	// maxRechecks bounds the checks under way for all sockets.
	maxRechecks = 256

	// reasonUnchecked is the reason to close when IAM has been away for too long.
	reasonUnchecked = "credential could not be checked for too long"
)

var (
	reauthOK          = wsReauths.WithLabelValues("ok")
	reauthRefused     = wsReauths.WithLabelValues("refused")
	reauthUnavailable = wsReauths.WithLabelValues("unavailable")
	reauthExpired     = wsReauths.WithLabelValues("expired")
)

// credential is whom a socket of any kind speaks for, by which token, and until
// when that counts. IAM's answer lapses, and then IAM is asked again (iam.md D7,
// gateway.md G8). A no is final. Where there is no answer the last one counts until
// its grace ends. A token that has ended by itself is over without asking. It is
// guarded by its owner, for whom each loss is a verdict, once.
type credential struct {
	who   *auth.Identity // nil: unknown, or no longer
	token []byte         // of who, to ask again
	// checkAt is when to ask again, Unix nanoseconds; 0: never, or somebody does.
	checkAt int64
}

// verdict is what becomes of a credential that is looked at, or asked about.
type verdict uint8

const (
	counts    verdict = iota // if there was one
	mustAsk                  // it counts, and whoever is told this asks IAM
	ended                    // the token is over
	unchecked                // nobody could be asked for too long
	revoked                  // IAM says no
)

// know takes a yes. It keeps the token.
func (k *credential) know(who *auth.Identity, token []byte, now int64) {
	*k = credential{who: who, token: token}
	if who.Expires.IsZero() {
		return
	}
	// An answer that has lapsed on its way still is one.
	k.checkAt = max(who.Expires.UnixNano(), now+int64(recheckLeast))
	if !who.Ends.IsZero() {
		k.checkAt = min(k.checkAt, who.Ends.UnixNano())
	}
}

// look says whether it is time to ask again. Who must ask has a place among all's
// rechecks, gives it back, and passes the outcome to answer.
func (k *credential) look(now int64, all *sockets) verdict {
	switch {
	case k.checkAt == 0 || now <= k.checkAt:
		return counts
	case expired(k.who, now):
		return k.lose(ended)
	case all.rechecks.Add(1) <= maxRechecks:
		k.checkAt = 0
		return mustAsk
	}
	all.rechecks.Add(-1)
	return k.unasked(now) // and perhaps at the next look
}

// answer takes what asking again has brought.
func (k *credential) answer(who *auth.Identity, err error, now int64) verdict {
	switch {
	case err == nil:
		reauthOK.Inc()
		k.know(who, k.token, now)
		return counts
	case expired(k.who, now): // on the way
		return k.lose(ended)
	case errors.Is(err, auth.ErrUnavailable):
		reauthUnavailable.Inc()
		k.checkAt = now + int64(recheckPause)
		return k.unasked(now)
	}
	return k.lose(revoked)
}

// unasked is what the last answer is worth while there is no newer one.
func (k *credential) unasked(now int64) verdict {
	grace := k.who.GraceEnd
	if grace.Before(k.who.Expires) {
		grace = k.who.Expires
	}
	if now > grace.UnixNano() {
		return k.lose(unchecked)
	}
	return counts
}

func (k *credential) lose(why verdict) verdict {
	switch why {
	case ended:
		reauthExpired.Inc()
	case revoked:
		reauthRefused.Inc()
	}
	*k = credential{}
	return why
}

// expired reports whether an identity has ended for good, without asking anybody.
func expired(who *auth.Identity, now int64) bool {
	return who != nil && who.Ended(time.Unix(0, now))
}

// recheck asks again whom the stream's token stands for, and what they may do,
// when it is time. It does not wait: refused is called later, at most once, from
// another goroutine or from this one, with the reason to close.
func (f *flowStream) recheck(now time.Time, c *wsConn, refused func(reason string)) {
	f.mu.Lock()
	v := f.credential.look(now.UnixNano(), c.sockets)
	token := f.credential.token
	f.mu.Unlock()
	if v == mustAsk {
		go f.ask(token, c, refused)
		return
	}
	v.tell(refused)
}

// ask is a recheck's goroutine. It ends with the question, after 20 s at most.
func (f *flowStream) ask(token []byte, c *wsConn, refused func(reason string)) {
	defer c.sockets.rechecks.Add(-1)
	defer c.contain("authentication")
	who, err := f.server.authenticator.Authenticate(token)
	if err == nil {
		err = f.authorise(who, f.target)
	}
	f.mu.Lock()
	v := f.credential.answer(who, err, time.Now().UnixNano())
	f.mu.Unlock()
	v.tell(refused)
}

// tell passes a loss on; a stream does not outlive its credential.
func (v verdict) tell(refused func(reason string)) {
	switch v {
	case ended, revoked:
		refused(reasonRefused)
	case unchecked:
		refused(reasonUnchecked)
	}
}
