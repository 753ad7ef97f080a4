package proxy

import (
	"sluice/codec"
	"sluice/pool"
	"sluice/proxy/auth"
	"sluice/proxy/dispatch"
)

// admitIAM is admit for requests to IAM: what is refused is written down, and
// guesses of a password take their turn. The answer to a change is not looked at,
// so that on a socket every change counts as a guess.
func (s *session) admitIAM(in *inbound, who *auth.Identity) (dispatch.Key, error) {
	key, err := s.admit(in, who)
	if err != nil {
		if who != nil {
			s.server.auditDenied(&in.req, who, s.client, err)
		}
		return key, err
	}
	access := auth.ServiceAccess(auth.Socket, &in.req)
	if string(access.Operation) != "change-password" {
		return key, nil
	}
	s.mu.Lock()
	gone := s.goneLocked()
	s.mu.Unlock()
	attempt := s.server.guesses.changeGuess(string(access.UserID), s.client)
	return key, s.server.guesses.wait(&attempt, gone)
}

// answerWhoami answers for the gateway itself.
func (s *session) answerWhoami(in *inbound, who *auth.Identity) {
	id := in.frame.ID().Raw
	out := pool.Acquire(len(id) + 512)
	b := append(append(append(out.B, `{"id":`...), id...), `,"response":`...)
	out.B = append(appendWhoami(b, who), `,"complete":true}`...)
	s.send(out)
	s.unreserve()
	in.release()
}

// changed looks again at a client whose password may just have been changed, if
// that matters: nothing else may have been allowed.
func (r *muxCall) changed() {
	if r.kind != codec.IAM || !r.who.MustChangePassword {
		return
	}
	s := r.s
	s.server.authenticator.Forget(r.who)
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := &s.identity; i.who == r.who && i.checkAt != 0 {
		i.checkAt = 1
	}
}
