package proxy

import (
	"time"

	"github.com/valyala/fasthttp"

	"sluice/codec"
	"sluice/proxy/auth"
	"sluice/proxy/dispatch"
)

// iamService serves POST /api/v1/iam.
func (s *Server) iamService(ctx *fasthttp.RequestCtx, x *exchange) error {
	id, err := s.enter(ctx, x, codec.IAM)
	if err != nil {
		return err
	}
	switch {
	case !isWhoami(&x.req):
		if _, err := s.authorise(ctx, x, id); err != nil {
			s.auditDenied(&x.req, id, s.clientOf(ctx), err)
			return err
		}
	case id.IsOfIAM():
		aboutCaller(&x.req, id)
	default:
		answerWhoami(ctx, id)
		return nil
	}
	x.admitLive(ctx)
	key := dispatch.Key{Kind: codec.IAM}
	access := auth.ServiceAccess(auth.HTTP, &x.req)
	switch {
	case string(access.Operation) == "change-password":
		return s.changeByService(ctx, x, id, &access)
	case x.live != notLive:
		return s.live(ctx, x, key)
	}
	return s.call(ctx, x, key)
}

// changeByService is change-password as an operation of the service. Its answer
// has one part, so there is nothing to stream.
func (s *Server) changeByService(ctx *fasthttp.RequestCtx, x *exchange, id *auth.Identity, access *auth.Access) error {
	client := s.clientOf(ctx)
	attempt := s.guesses.changeGuess(string(access.UserID), client)
	if err := s.awaitTurn(ctx, &attempt); err != nil {
		return err
	}
	part, err := s.callPart(ctx, x, dispatch.Key{Kind: codec.IAM})
	outcome := err
	if err == nil && part.Failed {
		outcome = auth.ErrRefused
	}
	s.audit("change-password", id.UserID, id.Workspace, client, outcome)
	if outcome == nil {
		s.guesses.right(&attempt)
		s.authenticator.Forget(id)
	}
	return err
}

// awaitTurn waits until a guess may be made.
func (s *Server) awaitTurn(ctx *fasthttp.RequestCtx, g *guess) error {
	c, _ := ctx.Conn().(*conn)
	gone := c.begin(time.Now(), false)
	defer c.end()
	return s.guesses.wait(g, gone)
}

// keepAbsentFlags makes an update leave alone the flags that it does not name
// (D12): the contract's defaults for an absent flag would set it.
func keepAbsentFlags(req *codec.Request) {
	operation, _ := req.Operation()
	switch string(operation) {
	case "update-user":
		req.NullWhereAbsent("user", "enabled", "must_change_password")
	case "update-workspace":
		req.NullWhereAbsent("workspace_record", "enabled")
	}
}

// aboutCaller makes whoami of it that which every IAM service knows: get-user, of
// the caller and nobody else.
func aboutCaller(req *codec.Request, id *auth.Identity) {
	req.SetOperation("get-user")
	req.SetUserID(id.UserID)
	req.SetWorkspaceText(id.Workspace)
	req.SetActor(id.UserID)
}

// isWhoami reports whether an IAM request asks who the caller is, which anybody may
// know. Of callers whom IAM does not know, the gateway itself tells.
func isWhoami(req *codec.Request) bool {
	operation, _ := req.Operation()
	return req.Kind() == codec.IAM && string(operation) == "whoami"
}

func answerWhoami(ctx *fasthttp.RequestCtx, id *auth.Identity) {
	ctx.SetStatusCode(fasthttp.StatusOK)
	ctx.SetContentType(jsonType)
	ctx.Response.SwapBody(appendWhoami(ctx.Response.SwapBody(nil)[:0], id))
}

// appendWhoami appends what the gateway knows of a caller, in the shape of the
// operation that later versions of the service have.
func appendWhoami(dst []byte, id *auth.Identity) []byte {
	text := func(name, value string) {
		dst = codec.AppendQuoted(append(append(append(dst, `,"`...), name...), `":`...), value)
	}
	dst = codec.AppendQuoted(append(dst, `{"user":{"id":`...), id.UserID)
	text("workspace", id.Workspace)
	text("default_workspace", id.Workspace)
	text("username", id.Username)
	text("name", id.Name)
	dst = append(dst, `,"roles":[`...)
	for i, role := range id.Roles {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = codec.AppendQuoted(dst, role)
	}
	dst = append(dst, `],"enabled":true,"must_change_password":`...)
	if id.MustChangePassword {
		dst = append(dst, "true"...)
	} else {
		dst = append(dst, "false"...)
	}
	text("source", id.Source.String())
	return append(dst, "}}"...)
}
