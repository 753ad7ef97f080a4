package proxy

import (
	"time"
	"unsafe"

	"github.com/valyala/fasthttp"

	"sluice/codec"
	"sluice/proxy/auth"
	"sluice/proxy/dispatch"
)

// globalService serves POST /api/v1/{kind}.
func (s *Server) globalService(ctx *fasthttp.RequestCtx, x *exchange) error {
	kind, known := codec.ParseKind(x.match.params[0])
	if !known || !kind.IsGlobal() {
		return errUnknownKind
	}
	if kind == codec.IAM {
		return s.iamService(ctx, x)
	}
	if _, err := s.admit(ctx, x, kind); err != nil {
		return err
	}
	key := dispatch.Key{Kind: kind}
	if x.live != notLive {
		return s.live(ctx, x, key)
	}
	return s.call(ctx, x, key)
}

// flowService serves POST /api/v1/flow/{flow}/service/{kind}.
func (s *Server) flowService(ctx *fasthttp.RequestCtx, x *exchange) error {
	kind, known := codec.ParseKind(x.match.params[1])
	if !known || !kind.IsFlow() && !kind.IsSend() {
		return errUnknownKind
	}
	target, err := s.admit(ctx, x, kind)
	if err != nil {
		return err
	}
	key := dispatch.Key{Workspace: target.Name, Flow: view(x.match.params[0]), Kind: kind}
	if target.Opaque {
		// It names no workspace, so there is no such flow: say so in its words.
		key.Workspace = view(x.req.Member("workspace").Raw)
	}
	switch {
	case x.live != notLive:
		return s.live(ctx, x, key)
	case kind.IsSend():
		return s.send(ctx, x, key)
	}
	return s.call(ctx, x, key)
}

// view is b as a string, for look-ups that end before the request does. The
// dispatcher clones what it keeps.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// admit takes a service request as far as the dispatcher, in the order of the
// contract: who is it, may they do anything of the kind, only then the body, may
// they do this in that workspace. What is forwarded is what was decided on.
func (s *Server) admit(ctx *fasthttp.RequestCtx, x *exchange, kind codec.Kind) (auth.Target, error) {
	id, err := s.enter(ctx, x, kind)
	if err != nil {
		return auth.Target{}, err
	}
	target, err := s.authorise(ctx, x, id)
	if err != nil {
		return target, err
	}
	x.admitLive(ctx)
	return target, nil
}

// enter is admit up to the parsed body.
func (s *Server) enter(ctx *fasthttp.RequestCtx, x *exchange, kind codec.Kind) (*auth.Identity, error) {
	id, err := s.authenticate(ctx)
	if err != nil {
		return nil, err
	}
	if !s.authoriser.AllowsAny(id, auth.HTTP, kind) {
		return nil, auth.ErrDenied
	}
	if err := x.body.read(ctx, &s.rules); err != nil {
		return nil, err
	}
	return id, x.req.Parse(kind, x.body.bytes())
}

func (s *Server) authenticate(ctx *fasthttp.RequestCtx) (*auth.Identity, error) {
	token, ok := auth.Bearer(ctx.Request.Header.Peek(fasthttp.HeaderAuthorization))
	if !ok {
		return nil, auth.ErrRefused
	}
	return s.authenticator.Authenticate(token)
}

// authorise decides capability and workspace together and writes the outcome
// into the request. A body that is no object passes, to be refused as a mistake.
func (s *Server) authorise(ctx *fasthttp.RequestCtx, x *exchange, id *auth.Identity) (auth.Target, error) {
	access := auth.ServiceAccess(auth.HTTP, &x.req)
	target := ownWorkspace(id)
	// No service route takes the workspace from its query; one that is there all
	// the same must be in reach, and stands for a body that names none.
	if named := ctx.QueryArgs().Peek("workspace"); len(named) > 0 {
		target = auth.ResolveWorkspace(id, named, true, true)
		if err := s.authoriser.Authorise(id, access, target); err != nil {
			return target, err
		}
	}
	if member := x.req.Member("workspace"); member.Truthy() {
		text, isText := member.String()
		target = auth.ResolveWorkspace(id, text, isText, true)
	} else {
		x.req.SetWorkspaceText(target.Name)
	}
	if err := s.authoriser.Authorise(id, access, target); err != nil {
		return target, err
	}
	if x.req.Kind() == codec.IAM {
		x.req.SetActor(id.UserID)
		keepAbsentFlags(&x.req)
	}
	return target, nil
}

func ownWorkspace(id *auth.Identity) auth.Target { return auth.Target{Name: id.Workspace} }

// call answers with the last part of the service's answer, written straight into
// the response's own buffer.
func (s *Server) call(ctx *fasthttp.RequestCtx, x *exchange, key dispatch.Key) error {
	_, err := s.callPart(ctx, x, key)
	return err
}

// callPart is call for those who want to know how the answer ended.
func (s *Server) callPart(ctx *fasthttp.RequestCtx, x *exchange, key dispatch.Key) (codec.Part, error) {
	x.stage = duringCall
	c, _ := ctx.Conn().(*conn)
	gone := c.begin(time.Now(), ctx.Request.Header.IsHTTP11())
	defer c.end()
	dst := ctx.Response.SwapBody(nil)
	out, part, err := s.dispatcher.Call(key, &x.req, dst[:0], s.terms(gone))
	if err != nil {
		ctx.Response.SwapBody(dst[:0])
		return part, err
	}
	ctx.Response.SwapBody(out)
	ctx.SetContentType(jsonType)
	ctx.SetStatusCode(s.statusOf(part))
	return part, nil
}

// send answers once the message is safe, and with nothing but that.
func (s *Server) send(ctx *fasthttp.RequestCtx, x *exchange, key dispatch.Key) error {
	x.stage = duringSend
	c, _ := ctx.Conn().(*conn)
	gone := c.begin(time.Now(), ctx.Request.Header.IsHTTP11())
	defer c.end()
	if err := s.dispatcher.Send(key, &x.req, s.terms(gone)); err != nil {
		return err
	}
	writeJSON(ctx, fasthttp.StatusOK, `{}`)
	return nil
}

func (s *Server) terms(gone <-chan struct{}) dispatch.Call {
	return dispatch.Call{Timeout: s.cfg.CallTimeout, PartTimeout: s.cfg.PartTimeout, Gone: gone}
}
