package proxy

import (
	"encoding/base64"
	"strconv"

	"github.com/valyala/fasthttp"

	"sluice/codec"
	"sluice/proxy/auth"
	"sluice/proxy/dispatch"
)

// documentStream serves GET /api/v1/document-stream.
func (s *Server) documentStream(ctx *fasthttp.RequestCtx, x *exchange) error {
	workspace, id, err := s.admitStream(ctx, auth.DocumentStream, "document-id")
	if err != nil {
		return err
	}
	chunk, err := chunkParameter(ctx)
	if err != nil {
		return err
	}
	if ctx.IsHead() {
		return headOnly(ctx)
	}
	d := &download{key: dispatch.Key{Kind: codec.Librarian}, bytes: documentBytes, typ: bytesType}
	body := codec.AppendQuoted([]byte(`{"operation":"stream-document","document-id":`), id)
	body = strconv.AppendInt(append(body, `,"chunk-size":`...), int64(chunk), 10)
	if err := d.req.Parse(codec.Librarian, append(body, '}')); err != nil {
		return err
	}
	d.req.SetWorkspaceText(workspace)
	x.stage = duringStream
	return s.download(ctx, d)
}

var errContent = &codec.Error{Member: "content", Reason: "must be base64", Response: true}

// documentBytes makes the bytes of one part: each part's content is base64 of its
// own. Only what is wrong is translated: parts are large, and nothing else is
// wanted of them.
func documentBytes(dst, part []byte, _ bool) ([]byte, error) {
	message, err := codec.ParseValue(part)
	failure := message.Get("error")
	if err != nil || !message.IsObject() || failure.IsObject() || failure.Truthy() {
		return dst, documentFailure(part)
	}
	content := message.Get("content")
	if !content.Truthy() {
		return dst, nil
	}
	text, ok := content.String()
	if !ok {
		return dst, errContent
	}
	bytes, err := base64.StdEncoding.AppendDecode(dst, text)
	if err != nil {
		return dst, errContent
	}
	return bytes, nil
}

// documentFailure says what is wrong with a part.
func documentFailure(part []byte) error {
	body, what, err := codec.AppendResponse(nil, codec.Librarian, part)
	switch {
	case err != nil:
		return err
	case what.Failed:
		return serviceFailure(body)
	}
	return errIncomplete
}
