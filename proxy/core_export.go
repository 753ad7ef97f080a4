package proxy

import (
	"github.com/valyala/fasthttp"

	"sluice/codec"
	"sluice/pool"
	"sluice/proxy/auth"
	"sluice/proxy/core"
	"sluice/proxy/dispatch"
)

// errNoCore is also the answer for a core that is there and holds nothing: the
// service's answer is the same.
var errNoCore = &jsonError{status: fasthttp.StatusNotFound, text: "unknown or empty core"}

// exportCore serves GET /api/v1/export-core.
func (s *Server) exportCore(ctx *fasthttp.RequestCtx, x *exchange) error {
	workspace, id, err := s.admitStream(ctx, auth.CoreExport, "id")
	if err != nil {
		return err
	}
	if ctx.IsHead() {
		return headOnly(ctx)
	}
	d := &download{key: dispatch.Key{Kind: codec.Knowledge}, bytes: coreBytes, empty: errNoCore, typ: bytesType}
	body := codec.AppendQuoted([]byte(`{"operation":"get-kg-core","id":`), id)
	if err := d.req.Parse(codec.Knowledge, append(body, '}')); err != nil {
		return err
	}
	d.req.SetWorkspaceText(workspace)
	x.stage = duringStream
	return s.download(ctx, d)
}

// headOnly answers a HEAD: what the request asks for is allowed; whether it is
// there only the service could tell.
func headOnly(ctx *fasthttp.RequestCtx) error {
	ctx.SetContentType(bytesType)
	ctx.Response.Header.SetContentLength(-1) // unknown, as for the GET
	return nil
}

// coreBytes makes the MessagePack of one part.
func coreBytes(dst, part []byte, final bool) ([]byte, error) {
	body := pool.Acquire(len(part))
	defer body.Release()
	out, what, err := codec.AppendResponse(body.B, codec.Knowledge, part)
	if err != nil {
		return dst, err
	}
	body.B = out
	if what.Failed {
		return dst, serviceFailure(out)
	}
	if final {
		// A list of cores, or nothing at all, ends the exchange too; the core
		// would then look whole without being so.
		message, err := codec.ParseValue(part)
		if err != nil {
			return dst, err
		}
		if string(message.Get("eos").Raw) != "true" {
			return dst, errIncomplete
		}
	}
	return core.AppendValues(dst, out), nil
}
