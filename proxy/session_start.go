package proxy

import (
	"errors"

	"sluice/codec"
	"sluice/pool"
	"sluice/proxy/auth"
	"sluice/proxy/dispatch"
)

// socketError is a refusal as a top-level error frame.
type socketError struct{ kind, message string }

func (e *socketError) Error() string { return e.message }

var (
	errAuthRequired = &socketError{"auth-required", "auth failure"}
	errSocketDenied = &socketError{"access-denied", "access denied"}
	errNoService    = &socketError{"error", "'service'"}
	errInvalidKind  = &socketError{"error", "Invalid kind"}
	errOverloaded   = &socketError{"overloaded", "too many requests in flight, try again later"}
)

// maxNameBytes is how much of a client's text an error message repeats.
const maxNameBytes = 256

// start goes on with a request that has a place among the running ones. It owns
// in.
func (s *session) start(in *inbound, who *auth.Identity) {
	// Whose key is to be revoked may have to be asked of IAM, and a service may
	// have to be wired: the reader does not wait for either.
	if name, _ := in.frame.Service().String(); string(name) == codec.IAM.String() {
		s.server.streams.Go(func() { s.startOn(in, who) })
		return
	}
	key, err := s.admit(in, who)
	if err != nil {
		s.turnAway(in, err)
		return
	}
	switch r := s.open(in, who); {
	case r == nil:
		s.unreserve()
		in.release()
	case isDownload(&in.req):
		s.server.streams.Go(func() { s.download(r, in, key) })
	case s.server.dispatcher.Wired(key):
		s.launch(r, in, key, nil)
	default:
		s.server.streams.Go(func() { s.launchOn(r, in, key) })
	}
}

// startOn is start where waiting is no harm.
func (s *session) startOn(in *inbound, who *auth.Identity) {
	defer s.c.contain("request")
	key, err := s.admitIAM(in, who)
	switch {
	case err != nil:
		s.turnAway(in, err)
		return
	case isWhoami(&in.req):
		s.answerWhoami(in, who)
		return
	}
	if r := s.open(in, who); r != nil {
		s.launch(r, in, key, s.whenGone())
		return
	}
	s.unreserve()
	in.release()
}

func (s *session) launchOn(r *muxCall, in *inbound, key dispatch.Key) {
	defer s.c.contain("request")
	s.launch(r, in, key, s.whenGone())
}

// launch puts a request on the bus. Gone ends what it has to wait for before.
func (s *session) launch(r *muxCall, in *inbound, key dispatch.Key, gone <-chan struct{}) {
	handle, err := s.server.dispatcher.Stream(key, &in.req, s.server.terms(gone), r)
	if err != nil {
		r.Fail(err)
	}
	in.release()
	r.launchedAs(handle)
}

// download runs a request whose answer may be larger than what may wait for the
// client: the next part is taken when there is room.
func (s *session) download(r *muxCall, in *inbound, key dispatch.Key) {
	defer s.c.contain("download")
	finished := false
	err := s.server.dispatcher.Download(key, &in.req, s.server.terms(s.whenGone()), func(part []byte, final bool) error {
		if !s.c.waitRoom(max(0, s.c.sockets.maxPerSocket/2-int64(len(part)))) {
			return dispatch.ErrGone
		}
		body := pool.Acquire(len(part))
		body.B = append(body.B, part...)
		finished = final
		r.Part(body, final)
		return nil
	})
	switch {
	case finished:
	case err != nil:
		r.Fail(err)
	default:
		r.Fail(dispatch.ErrLost)
	}
	in.release()
	r.launchedAs(dispatch.StreamHandle{})
}

// isDownload tells the operations whose answers have many parts.
func isDownload(req *codec.Request) bool {
	operation, _ := req.Operation()
	switch req.Kind() {
	case codec.Librarian:
		return string(operation) == "stream-document"
	case codec.Knowledge:
		return string(operation) == "get-kg-core"
	}
	return false
}

// admit decides about a request, on the very spans that are forwarded, and writes
// the outcome into it: workspace of the envelope, workspace of the request inside,
// each together with the capability (G1, G26).
func (s *session) admit(in *inbound, who *auth.Identity) (dispatch.Key, error) {
	if who == nil {
		return dispatch.Key{}, errAuthRequired
	}
	f := &in.frame
	envelope := f.Workspace()
	outer := resolve(who, envelope)
	kind, err := serviceOf(f)
	if err != nil {
		if !who.Reaches(outer) || !who.Reaches(resolve(who, f.Request().Get("workspace"))) {
			err = errSocketDenied
		}
		return dispatch.Key{}, err
	}
	in.req.ParseWithin(kind, f)
	if isWhoami(&in.req) {
		if who.IsOfIAM() {
			aboutCaller(&in.req, who)
		}
		return dispatch.Key{Kind: kind}, nil
	}
	access := auth.ServiceAccess(auth.Socket, &in.req)
	if err := s.server.authoriser.Authorise(who, access, outer); err != nil {
		return dispatch.Key{}, err
	}
	if inner := in.req.Member("workspace"); inner.Truthy() {
		if err := s.server.authoriser.Authorise(who, access, resolve(who, inner)); err != nil {
			return dispatch.Key{}, err
		}
	} else if outer.Opaque {
		in.req.SetWorkspaceRaw(envelope.Raw)
	} else {
		in.req.SetWorkspaceText(outer.Name)
	}
	if kind == codec.IAM {
		in.req.SetActor(who.UserID)
		keepAbsentFlags(&in.req)
	}
	if kind.IsGlobal() {
		return dispatch.Key{Kind: kind}, nil
	}
	return dispatch.Key{Workspace: nameOf(outer, envelope), Flow: flowOf(f), Kind: kind}, nil
}

func resolve(who *auth.Identity, v codec.Value) auth.Target {
	if !v.Truthy() {
		return ownWorkspace(who)
	}
	text, isText := v.String()
	return auth.ResolveWorkspace(who, text, isText, true)
}

// nameOf is the workspace for the look-up of a flow: no flow has an opaque one.
func nameOf(t auth.Target, v codec.Value) string {
	if t.Opaque {
		return view(v.Raw)
	}
	return t.Name
}

func flowOf(f *codec.Frame) string {
	v := f.Flow()
	if text, isText := v.String(); isText {
		return view(text)
	}
	return view(v.Raw)
}

// serviceOf finds the kind that a frame asks for.
func serviceOf(f *codec.Frame) (codec.Kind, error) {
	v := f.Service()
	if !v.Present() {
		return 0, errNoService
	}
	name, isText := v.String()
	kind, known := codec.ParseKind(name)
	inFlow := f.Flow().Truthy()
	switch {
	case isText && known && inFlow && (kind.IsFlow() || kind.IsSend()):
		return kind, nil
	case isText && known && !inFlow && kind.IsGlobal():
		return kind, nil
	case inFlow:
		return 0, errInvalidKind
	}
	if !isText {
		name = v.Raw
	}
	return 0, &socketError{"error", "'" + string(name[:min(len(name), maxNameBytes)]) + "'"}
}

// turnAway answers a request that does not start. It owns in.
func (s *session) turnAway(in *inbound, err error) {
	id := in.frame.ID().Raw
	if errors.Is(err, errNoService) {
		id = truthyID(&in.frame)
	}
	s.fail(id, in.req.Kind(), err)
	s.unreserve()
	in.release()
}

// fail queues the one frame that ends a request with an error. What kept it from
// being dispatched is told at the top, what came later inside `response`.
func (s *session) fail(id []byte, kind codec.Kind, err error) {
	var top *socketError
	switch {
	case errors.As(err, &top):
	case errors.Is(err, auth.ErrDenied):
		top = errSocketDenied
	case errors.Is(err, dispatch.ErrExhausted):
		top = errOverloaded
	case errors.Is(err, dispatch.ErrGone):
		return // nobody hears it
	}
	if top != nil {
		s.refuse(id, top.kind, top.message)
		return
	}
	o := outcomeOf(err)
	text := o.text(err)
	if o == &unexpected {
		s.server.cfg.Logger.Error("request of a socket failed", "kind", kind.String(), "error", err)
		text = reasonInternal
	}
	if o.shape == asString {
		s.refuse(id, "error", text)
		return
	}
	out := pool.Acquire(len(id) + len(text))
	b := append(append(append(out.B, `{"id":`...), id...), `,"response":`...)
	if kind.IsSend() {
		b = append(codec.AppendQuoted(append(b, `{"error":`...), text), '}')
	} else {
		b = appendGatewayError(b, text)
	}
	out.B = append(b, `,"complete":true}`...)
	s.send(out)
}
