package proxy

import (
	"strconv"
	"unicode/utf8"

	"github.com/valyala/fasthttp"

	"sluice/proxy/auth"
)

// bytesType is the content type of cores and documents.
const bytesType = "application/octet-stream"

// admitStream takes a request for a byte stream as far as its parameters: who is
// it, may they do that at all, may they do it in `?workspace=`, or in their own
// when there is none, and of what; idName is the parameter that says so.
func (s *Server) admitStream(ctx *fasthttp.RequestCtx, surface auth.Surface, idName string) (workspace, id string, err error) {
	who, err := s.authenticate(ctx)
	if err != nil {
		return "", "", err
	}
	if !s.authoriser.AllowsAny(who, surface, 0) {
		return "", "", auth.ErrDenied
	}
	named, err := textParameter(ctx, "workspace")
	if err != nil {
		return "", "", err
	}
	target := auth.ResolveWorkspace(who, []byte(named), true, named != "")
	if err := s.authoriser.Authorise(who, auth.Access{Surface: surface}, target); err != nil {
		return "", "", err
	}
	id, err = requiredParameter(ctx, idName)
	return target.Name, id, err
}

func badParameter(text string) error {
	return &jsonError{status: fasthttp.StatusBadRequest, text: text}
}

// textParameter returns a parameter of the query, "" when it is absent.
func textParameter(ctx *fasthttp.RequestCtx, name string) (string, error) {
	text := ctx.QueryArgs().Peek(name)
	if !utf8.Valid(text) {
		return "", badParameter("Invalid parameter: " + name)
	}
	return string(text), nil
}

// requiredParameter returns a parameter of the query that must be there.
func requiredParameter(ctx *fasthttp.RequestCtx, name string) (string, error) {
	text, err := textParameter(ctx, name)
	if err == nil && text == "" {
		return "", badParameter("Missing required parameter: " + name)
	}
	return text, err
}

const (
	usualChunk = 1 << 20
	// maxChunk bounds what a download holds: the bus sends some parts ahead.
	maxChunk = 4 << 20
)

// chunkParameter returns the chunk size to ask for. A larger one than we take is
// no error, since the client cannot see where chunks end.
func chunkParameter(ctx *fasthttp.RequestCtx) (int, error) {
	const name = "chunk-size"
	if !ctx.QueryArgs().Has(name) {
		return usualChunk, nil
	}
	n, err := strconv.ParseUint(string(ctx.QueryArgs().Peek(name)), 10, 63)
	if err != nil || n == 0 {
		return 0, badParameter("Invalid parameter: " + name + " must be a positive integer")
	}
	return int(min(n, maxChunk)), nil //nolint:gosec // bounded
}
