package proxy

import (
	"errors"

	"github.com/valyala/fasthttp"

	"sluice/codec"
	"sluice/proxy/auth"
	"sluice/proxy/dispatch"
)

// authBodyBytes bounds the bodies of the auth routes, which anybody may send.
const authBodyBytes = 64 << 10

var (
	errInvalidJSON = &jsonError{status: fasthttp.StatusBadRequest, text: "invalid json"}
	errNoObject    = &jsonError{status: fasthttp.StatusBadRequest, text: "the body must be a JSON object"}
)

// login serves POST /api/v1/auth/login. Whatever goes wrong on IAM's side is the
// one masked 401.
func (s *Server) login(ctx *fasthttp.RequestCtx, x *exchange) error {
	client := s.clientOf(ctx)
	if !s.logins.allow(client) {
		shedLogins.Inc()
		return auth.ErrRefused
	}
	form, err := s.readForm(ctx, x)
	if err != nil {
		return err
	}
	req := codec.IAMRequest{Operation: "login"}
	var sound [3]bool
	req.Username, sound[0] = textOf(form.Get("username"))
	req.Password, sound[1] = textOf(form.Get("password"))
	req.Workspace, sound[2] = textOf(form.Get("workspace"))
	if sound != [3]bool{true, true, true} {
		return auth.ErrRefused // IAM would not know such a user either
	}
	attempt := s.guesses.loginGuess(req.Workspace, req.Username, client)
	if err := s.awaitTurn(ctx, &attempt); err != nil {
		return err
	}
	reply, err := s.askIAM(&req)
	s.audit("login", req.Username, req.Workspace, client, err)
	if err != nil {
		return masked(err)
	}
	s.guesses.right(&attempt)
	writeMembers(ctx, "jwt", reply.JWT, "jwt_expires", reply.JWTExpires)
	return nil
}

// bootstrap serves POST /api/v1/auth/bootstrap. The body is not looked at.
func (s *Server) bootstrap(ctx *fasthttp.RequestCtx, _ *exchange) error {
	client := s.clientOf(ctx)
	if !s.logins.allow(client) {
		shedLogins.Inc()
		return auth.ErrRefused
	}
	reply, err := s.askIAM(&codec.IAMRequest{Operation: "bootstrap"})
	s.audit("bootstrap", "", "", client, err)
	if err != nil {
		return masked(err)
	}
	writeMembers(ctx, "bootstrap_admin_user_id", reply.BootstrapAdminUserID,
		"bootstrap_admin_api_key", reply.BootstrapAdminAPIKey)
	return nil
}

// changePassword serves POST /api/v1/auth/change-password: always the caller's.
func (s *Server) changePassword(ctx *fasthttp.RequestCtx, x *exchange) error {
	id, err := s.authenticate(ctx)
	if err != nil {
		return err
	}
	form, err := s.readForm(ctx, x)
	if err != nil {
		return err
	}
	req := codec.IAMRequest{Operation: "change-password", UserID: id.UserID, Actor: id.UserID}
	var ok bool
	if req.Password, ok = textOf(form.Get("current_password")); !ok {
		return &jsonError{status: fasthttp.StatusBadRequest, text: `"current_password" must be a string`}
	}
	if req.NewPassword, ok = textOf(form.Get("new_password")); !ok {
		return &jsonError{status: fasthttp.StatusBadRequest, text: `"new_password" must be a string`}
	}
	client := s.clientOf(ctx)
	attempt := s.guesses.changeGuess(id.UserID, client)
	if err := s.awaitTurn(ctx, &attempt); err != nil {
		return err
	}
	_, err = s.askIAM(&req)
	s.audit("change-password", id.UserID, id.Workspace, client, err)
	if err != nil {
		return refusedChange(err)
	}
	s.guesses.right(&attempt)
	s.authenticator.Forget(id)
	writeJSON(ctx, fasthttp.StatusOK, `{}`)
	return nil
}

// readForm reads the body of an auth route, an object.
func (s *Server) readForm(ctx *fasthttp.RequestCtx, x *exchange) (codec.Value, error) {
	rules := s.rules
	rules.max = min(rules.max, authBodyBytes)
	if err := x.body.read(ctx, &rules); err != nil {
		return codec.Value{}, err
	}
	form, err := codec.ParseValue(x.body.bytes())
	if err != nil {
		return codec.Value{}, errInvalidJSON
	}
	if !form.IsObject() {
		return codec.Value{}, errNoObject
	}
	return form, nil
}

// textOf is the text of a member; absent and null are "". It is false for other
// types.
func textOf(v codec.Value) (string, bool) {
	if !v.Present() || v.IsNull() {
		return "", true
	}
	text, ok := v.String()
	return string(text), ok
}

// iamError is a refusal by IAM.
type iamError struct{ codec.ServiceError }

func (e *iamError) Error() string { return e.Message }

func (s *Server) askIAM(req *codec.IAMRequest) (codec.IAMReply, error) {
	msg, err := codec.MarshalIAMRequest(req)
	if err != nil {
		return codec.IAMReply{}, err
	}
	raw, err := s.dispatcher.Ask(codec.IAM, msg, nil, s.cfg.AuthTimeout)
	if err != nil {
		return codec.IAMReply{}, err
	}
	reply, err := codec.ParseIAMReply(raw)
	if err == nil && reply.Error != nil {
		err = &iamError{*reply.Error}
	}
	return reply, err
}

// unsent reports whether err means that IAM was never asked.
func unsent(err error) bool {
	return errors.Is(err, dispatch.ErrUnavailable) || errors.Is(err, dispatch.ErrExhausted)
}

func masked(err error) error {
	if unsent(err) {
		return err
	}
	return auth.ErrRefused
}

func refusedChange(err error) error {
	var refusal *iamError
	switch {
	case unsent(err):
		return err
	case errors.As(err, &refusal) && refusal.Type == "auth-failed":
		return auth.ErrRefused
	case errors.As(err, &refusal):
		return &jsonError{status: fasthttp.StatusBadRequest, text: refusal.Message}
	}
	return &jsonError{status: fasthttp.StatusBadRequest, text: outcomeOf(err).text(err)}
}
