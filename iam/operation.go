package iam

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/codec"
)

// operation is one thing that callers can ask for.
type operation struct {
	name string
	// run carries it out. A *codec.ServiceError is for the caller; any other
	// error is an internal one.
	run func(*Service, context.Context, *codec.IAMRequest, *event) (*codec.IAMReply, error)
	// hashes says that it derives password hashes and must not hold up others.
	hashes bool
	// settles says that it asks the store for what may wait for other processes
	// (Store says which methods do), and must not hold up others.
	settles bool
	// account is whose secret is tried, "" for nobody's; nil where none is.
	account func(*codec.IAMRequest) string
	// audited operations authenticate somebody or change something.
	audited bool
	// life is how long its callers wait.
	life     time.Duration
	outcomes map[string]prometheus.Counter
}

// event is what the audit trail tells about one request.
type event struct{ actor, target, workspace string }

var operations = makeOperations(
	operation{name: "bootstrap", run: (*Service).bootstrap, hashes: true, audited: true},
	operation{name: "login", run: (*Service).login, account: loginAccount, hashes: true, audited: true},
	operation{name: "resolve-api-key", run: (*Service).resolveAPIKey, audited: true, life: lookupLife},
	operation{name: "get-signing-key-public", run: (*Service).signingKeyPublic, life: lookupLife},
	operation{name: "rotate-signing-key", run: (*Service).rotateSigningKey, audited: true},
	operation{name: "create-user", run: (*Service).createUser, hashes: true, audited: true},
	operation{name: "list-users", run: (*Service).listUsers},
	operation{name: "get-user", run: (*Service).getUser},
	operation{name: "update-user", run: (*Service).updateUser, settles: true, audited: true},
	operation{name: "enable-user", run: (*Service).enableUser, settles: true, audited: true},
	operation{name: "disable-user", run: (*Service).disableUser, settles: true, audited: true},
	operation{name: "delete-user", run: (*Service).deleteUser, settles: true, audited: true},
	operation{name: "change-password", run: (*Service).changePassword, account: passwordAccount, hashes: true, audited: true},
	operation{name: "reset-password", run: (*Service).resetPassword, hashes: true, audited: true},
	operation{name: "create-workspace", run: (*Service).createWorkspace, settles: true, audited: true},
	operation{name: "list-workspaces", run: (*Service).listWorkspaces},
	operation{name: "list-my-workspaces", run: (*Service).listMyWorkspaces},
	operation{name: "get-workspace", run: (*Service).getWorkspace},
	operation{name: "update-workspace", run: (*Service).updateWorkspace, settles: true, audited: true},
	operation{name: "disable-workspace", run: (*Service).disableWorkspace, settles: true, audited: true},
	operation{name: "create-api-key", run: (*Service).createAPIKey, audited: true},
	operation{name: "list-api-keys", run: (*Service).listAPIKeys},
	operation{name: "revoke-api-key", run: (*Service).revokeAPIKey, audited: true},
)

// unknown stands for every operation that does not exist.
var unknown = &operation{
	name: "unknown", run: (*Service).refuseUnknown, life: requestLife, outcomes: outcomeCounters("unknown"),
}

func makeOperations(list ...operation) map[string]*operation {
	out := make(map[string]*operation, len(list))
	for _, op := range list {
		if op.life == 0 {
			op.life = requestLife
		}
		op.outcomes = outcomeCounters(op.name)
		out[op.name] = &op
	}
	return out
}

// findOperation never returns nil.
func findOperation(name string) *operation {
	if op, ok := operations[name]; ok {
		return op
	}
	return unknown
}

func (s *Service) refuseUnknown(_ context.Context, r *codec.IAMRequest, _ *event) (*codec.IAMReply, error) {
	literal := pythonLiteral(r.Operation)
	if r.OperationNull {
		literal = "None"
	}
	return nil, invalid("unknown or not-yet-implemented operation: " + literal)
}

// answer carries out a request. It returns nil when nobody waits for the
// answer any more.
func (s *Service) answer(ctx context.Context, op *operation, r *codec.IAMRequest) *codec.IAMReply {
	ev := event{actor: r.Actor, workspace: r.Workspace}
	reply, err := s.attempt(ctx, op, r, &ev)
	if err == nil {
		op.outcomes[outcomeOK].Inc()
		s.audit(ctx, op, &ev, slog.String("outcome", outcomeOK))
		return reply
	}
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	var refusal *codec.ServiceError
	if !errors.As(err, &refusal) {
		s.log.Error("IAM operation failed", "operation", op.name, "error", err)
		refusal = errInternal
	}
	s.audit(ctx, op, &ev, slog.String("outcome", refusal.Type), slog.String("reason", refusal.Message))
	return op.fail(refusal)
}

// attempt runs op. A panic is an error: one request must not end the process.
func (s *Service) attempt(ctx context.Context, op *operation, r *codec.IAMRequest, ev *event) (reply *codec.IAMReply, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return op.run(s, ctx, r, ev)
}

// refuse answers a request that is not carried out.
func (s *Service) refuse(op *operation, r *codec.IAMRequest, why *codec.ServiceError) *codec.IAMReply {
	ev := event{actor: r.Actor, workspace: r.Workspace, target: cmp.Or(r.UserID, r.Username)}
	s.audit(context.Background(), op, &ev, slog.String("outcome", why.Type), slog.String("reason", why.Message))
	return op.fail(why)
}

// fail counts and makes a reply that only tells of a failure.
func (op *operation) fail(refusal *codec.ServiceError) *codec.IAMReply {
	op.outcomes[refusal.Type].Inc()
	return &codec.IAMReply{Error: refusal}
}

// audit leaves a trace of an authentication or a change. It never holds a
// password, a key or a token.
func (s *Service) audit(ctx context.Context, op *operation, ev *event, outcome ...slog.Attr) {
	if !op.audited || !s.log.Enabled(ctx, slog.LevelInfo) {
		return
	}
	s.log.LogAttrs(ctx, slog.LevelInfo, "IAM audit", append([]slog.Attr{
		slog.String("operation", op.name),
		slog.String("actor", clip(ev.actor)),
		slog.String("target", clip(ev.target)),
		slog.String("workspace", clip(ev.workspace)),
	}, outcome...)...)
}

// clip bounds what a caller can put into the log with one field.
func clip(text string) string {
	const limit = 128
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit], "") + "..."
}
