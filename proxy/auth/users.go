package auth

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"time"

	"sluice/codec"
)

// renewEarly is how long before the minute of a confirmation ends it is renewed,
// if somebody uses it then: enough for a slow answer.
const renewEarly = 15 * time.Second

// users confirms that the users of JWTs still exist and are enabled, and what
// their roles are now (D7): once a minute for each user, however many tokens and
// requests there are.
type users struct{ *resolver }

func newUsers(iam IAM, grace time.Duration, now func() time.Time) users {
	r := newResolver(iam, grace, now)
	r.what, r.early, r.stale = "users", renewEarly, jwtMetrics.stale
	return users{r}
}

// userKey stands for a user in a workspace. No two users share one: the length
// keeps the two texts apart.
func userKey(workspace, user string) digest {
	return sha256.Sum256(fmt.Appendf(nil, "%d %s%s", len(workspace), workspace, user))
}

// confirm returns what IAM says of the user that verified claims name. The caller
// compares pointers: the same answer is the same identity.
func (u users) confirm(claims *Identity, now time.Time) (*Identity, error) {
	id, err, found := u.remembered(claims.user, now)
	if !found {
		return u.resolve(claims.user, now, (*userQuestion)(claims))
	}
	if id != nil && id.dueAt(now) {
		u.renew(claims.user, id, (*userQuestion)(claims))
	}
	return id, err
}

// userQuestion is what a token claims: is there such a user?
type userQuestion Identity

// ask tells four outcomes apart. Users who are gone, disabled or elsewhere are a
// definite no. An IAM service that has no such operation can't confirm anybody:
// then the token alone has to do, as in the contract, and it is counted. From one
// that fails or answers nonsense nothing is known.
func (q *userQuestion) ask(iam IAM) verdict {
	v := q.put(iam)
	confirmations[v.result].Inc()
	return v.verdict
}

type confirmation struct {
	verdict

	result confirmed
}

func (q *userQuestion) put(iam IAM) confirmation {
	reply, err := askIAM(iam, &codec.IAMRequest{
		Operation: "get-user", Workspace: q.Workspace, UserID: q.UserID, Actor: q.UserID,
	})
	switch {
	case err != nil:
		return unknown(err)
	case reply.Error != nil:
		return q.refusal(reply.Error)
	case reply.User == nil || reply.User.ID == "":
		return unknown(errNoUser)
	}
	u := reply.User
	if !u.Enabled || u.ID != q.UserID || u.Workspace != "" && u.Workspace != q.Workspace {
		return refused
	}
	if closed, err := q.workspaceClosed(iam); err != nil {
		return unknown(err)
	} else if closed {
		return refused
	}
	id := NewIdentity(q.UserID, q.Workspace, u.Roles)
	id.Source, id.MustChangePassword = JWT, u.MustChangePassword
	id.Username, id.Name = u.Username, u.Name
	return confirmation{verdict{id: id}, confirmedYes}
}

// workspaceClosed reports whether the workspace is disabled, in which nobody could
// log in. Its users need not be: update-workspace leaves them alone. An IAM that has
// no word on it does not stand in the way, but one that fails says nothing.
func (q *userQuestion) workspaceClosed(iam IAM) (bool, error) {
	reply, err := askIAM(iam, &codec.IAMRequest{
		Operation: "get-workspace", Workspace: q.Workspace, Actor: q.UserID,
		WorkspaceRecord: &codec.IAMWorkspaceInput{ID: q.Workspace},
	})
	if err != nil {
		return false, err
	}
	if e := reply.Error; e != nil && e.Type == "internal-error" {
		return false, e
	}
	w := reply.Workspace
	return w != nil && w.ID == q.Workspace && !w.Enabled, nil
}

var (
	refused   = confirmation{verdict{err: ErrRefused, definite: true}, confirmedNo}
	errNoUser = fmt.Errorf("a reply to get-user without a user")
)

func unknown(err error) confirmation {
	return confirmation{verdict{err: fmt.Errorf("%w: %w", ErrUnavailable, err)}, confirmedUnknown}
}

func (q *userQuestion) refusal(e *codec.ServiceError) confirmation {
	switch {
	case e.Type == "internal-error":
		return unknown(e)
	case e.Type == "gateway-error", e.Type == "invalid-argument" && strings.HasPrefix(e.Message, "unknown"):
		id := NewIdentity(q.UserID, q.Workspace, nil)
		id.Source, id.unconfirmed = JWT, true
		return confirmation{verdict{id: id}, confirmedNever}
	}
	return refused
}
