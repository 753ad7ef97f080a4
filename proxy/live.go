package proxy

import (
	"bytes"

	"github.com/valyala/fasthttp"

	"sluice/proxy/dispatch"
)

// liveForm is how the parts of an answer are written one after the other.
type liveForm uint8

const (
	notLive    liveForm = iota
	liveEvents          // text/event-stream: `data: …` and an empty line for each part
	liveLines           // application/x-ndjson: a line for each part
)

const (
	eventsType = "text/event-stream; charset=utf-8"
	linesType  = "application/x-ndjson; charset=utf-8"
)

// liveFormOf reads an Accept header. A client that takes JSON, or anything, gets
// the one answer of the contract.
func liveFormOf(accept []byte) liveForm {
	form := notLive
	for len(accept) > 0 {
		var one []byte
		one, accept, _ = bytes.Cut(accept, []byte{','})
		name, parameters, _ := bytes.Cut(one, []byte{';'})
		switch name = bytes.TrimSpace(name); {
		case refusedType(parameters):
		case equalFold(name, "application/json") || equalFold(name, "application/*") || equalFold(name, "*/*"):
			return notLive
		case form != notLive: // the first one counts
		case equalFold(name, "text/event-stream"):
			form = liveEvents
		case equalFold(name, "application/x-ndjson"):
			form = liveLines
		}
	}
	return form
}

// refusedType reports whether a media type comes with a weight of zero.
func refusedType(parameters []byte) bool {
	for p := range bytes.SplitSeq(parameters, []byte{';'}) {
		name, value, found := bytes.Cut(p, []byte{'='})
		if found && equalFold(bytes.TrimSpace(name), "q") {
			return len(bytes.Trim(bytes.TrimSpace(value), "0.")) == 0
		}
	}
	return false
}

// live answers with every part as it comes.
func (s *Server) live(ctx *fasthttp.RequestCtx, x *exchange, key dispatch.Key) error {
	if !ctx.Request.Header.IsHTTP11() {
		return errVersion
	}
	x.stage = duringLive
	ctx.Response.Header.Set(fasthttp.HeaderCacheControl, "no-cache")
	ctx.Response.Header.Set("X-Accel-Buffering", "no") // a common proxy would hold the parts back
	t := teller{kind: key.Kind, form: x.live}
	if isDownload(&x.req) {
		return s.liveDownload(ctx, x, key, &t)
	}
	l := newLiveBody(s, ctx, t)
	if err := l.call(key, &x.req); err != nil {
		return err
	}
	return s.startBody(ctx, l, x.live.contentType())
}

// liveDownload is live for an answer that can outrun the client.
func (s *Server) liveDownload(ctx *fasthttp.RequestCtx, x *exchange, key dispatch.Key, t *teller) error {
	d := &download{key: key, bytes: t.part, failed: t.failure, typ: x.live.contentType()}
	// The call outlives the handler, and with it the request's memory.
	if err := d.req.Parse(key.Kind, bytes.Clone(x.body.bytes())); err != nil {
		return err
	}
	d.req.SetWorkspaceRaw(bytes.Clone(x.req.Member("workspace").Raw))
	return s.download(ctx, d)
}

func (f liveForm) contentType() string {
	if f == liveEvents {
		return eventsType
	}
	return linesType
}

// admitLive decides how the answer of a service request is to be written, and has
// the service stream accordingly.
func (x *exchange) admitLive(ctx *fasthttp.RequestCtx) {
	x.live = liveFormOf(ctx.Request.Header.Peek(fasthttp.HeaderAccept))
	if x.live == notLive {
		x.req.DisableStreaming() // one answer can only be the last part (G22)
		return
	}
	x.req.EnableStreaming()
}
