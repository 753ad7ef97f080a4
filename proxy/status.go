package proxy

import (
	"errors"
	"strconv"

	"github.com/valyala/fasthttp"

	"sluice/codec"
	"sluice/proxy/auth"
	"sluice/proxy/core"
	"sluice/proxy/dispatch"
)

// This file is the only place that knows what an error means to an HTTP client.

const (
	jsonType = "application/json; charset=utf-8"
	textType = "text/plain; charset=utf-8"

	// statusGone is what is counted for a client that did not wait; nobody sees it.
	statusGone = 499
	// retryAfter is how many seconds a client that was turned away should wait.
	retryAfter = "1"
)

// plainError is answered as text.
type plainError struct {
	status int
	// reason is also the text of the status line where it is not the usual one.
	reason string
	body   string // empty: the status and the reason
}

func (e *plainError) Error() string { return e.reason }

// jsonError is answered as {"error": text}.
type jsonError struct {
	status int
	text   string
	retry  bool
}

func (e *jsonError) Error() string { return e.text }

var (
	errNotFound    = &plainError{status: fasthttp.StatusNotFound, reason: "Not Found"}
	errMethod      = &plainError{status: fasthttp.StatusMethodNotAllowed, reason: "Method Not Allowed"}
	errUnknownKind = &jsonError{status: fasthttp.StatusNotFound, text: "unknown kind"}
	errBusy        = &jsonError{status: fasthttp.StatusServiceUnavailable, text: "too many requests in flight, try again later", retry: true}
)

// stage is how far a request got. It decides the shape of an error.
type stage uint8

const (
	beforeDispatch stage = iota
	duringCall
	duringSend
	// duringStream: routes that the reference answers with 200 and too little.
	// Whatever fails has a status of its own here, in any mode (G18, G19).
	duringStream
	// duringLive: nothing of a streamed answer has been written yet. Failures have
	// statuses of their own here too: the client has asked for something new.
	duringLive
)

// shape is how an error is written.
type shape uint8

const (
	asString  shape = iota // {"error": "text"}
	asGateway              // {"error": {"type": "gateway-error", "message": "text"}}
	asText                 // text/plain
)

// outcome is what an error means.
type outcome struct {
	is     error // nil: matched by type, in outcomeOf
	usual  int   // status without --strict-status
	strict int
	shape  shape
	retry  bool // add Retry-After
	close  bool // the connection cannot be used any more
	// message replaces the error's own text.
	message string
}

func (o *outcome) text(err error) string {
	switch {
	case o.message != "":
		return o.message
	case o.is != nil:
		return o.is.Error() // the sentinel alone: details are for the log
	}
	return err.Error()
}

// outcomes are looked through from the top.
var outcomes = []outcome{
	{is: auth.ErrRefused, usual: 401, strict: 401},
	{is: auth.ErrDenied, usual: 403, strict: 403},
	{is: auth.ErrUnavailable, usual: 503, strict: 503, retry: true},

	{is: errBudget, usual: 503, strict: 503, retry: true},
	{is: errTruncated, usual: 400, strict: 400, shape: asText, close: true, message: "400: Bad Request"},
	{is: errFraming, usual: 400, strict: 400, shape: asText, close: true, message: "400: Bad Request"},
	{is: errBodyTimeout, usual: 408, strict: 408, shape: asText, close: true, message: "408: Request Timeout"},
	{is: errEncoding, usual: 415, strict: 415, shape: asText, message: "415: Unsupported Media Type"},
	{is: errCharset, usual: 415, strict: 415, shape: asText, message: "415: Unsupported Media Type"},
	{is: errUndecodable, usual: 400, strict: 400},
	{is: core.ErrTruncated, usual: 400, strict: 400},
	{is: core.ErrTooLarge, usual: 413, strict: 413},

	{is: dispatch.ErrUnsupportedKind, usual: 200, strict: 404},
	{is: dispatch.ErrUnavailable, usual: 503, strict: 503, retry: true},
	{is: dispatch.ErrExhausted, usual: 503, strict: 503, retry: true},
	{is: dispatch.ErrTooLarge, usual: 413, strict: 413, shape: asText},
	{is: dispatch.ErrTimeout, usual: 200, strict: 504, shape: asGateway},
	{is: dispatch.ErrNoService, usual: 200, strict: 503, shape: asGateway},
	{is: dispatch.ErrFlowStopped, usual: 200, strict: 503, shape: asGateway},
	{is: dispatch.ErrLost, usual: 200, strict: 502, shape: asGateway},
	{is: dispatch.ErrOutcomeUnknown, usual: 200, strict: 502, shape: asGateway},
	{is: errTooSlow, usual: 503, strict: 503, shape: asGateway},
	{is: dispatch.ErrGone, usual: statusGone, strict: statusGone, shape: asText, close: true},
}

var (
	tooLarge    = outcome{usual: 413, strict: 413, shape: asText}
	notJSON     = outcome{usual: 200, strict: 400}
	notCore     = outcome{usual: 400, strict: 400}
	badRequest  = outcome{usual: 200, strict: 400, shape: asGateway}
	badResponse = outcome{usual: 200, strict: 502, shape: asGateway}
	unknownFlow = outcome{usual: 200, strict: 404}
	unexpected  = outcome{
		usual: 500, strict: 500, shape: asText, close: true,
		message: "500 Internal Server Error\n\nServer got itself in trouble",
	}
)

// outcomeOf finds what err means, by value first and by type second.
func outcomeOf(err error) *outcome {
	for i := range outcomes {
		if errors.Is(err, outcomes[i].is) {
			return &outcomes[i]
		}
	}
	return outcomeOfType(err)
}

func outcomeOfType(err error) *outcome {
	var (
		large   *tooLargeError
		format  *core.FormatError
		flow    *dispatch.UnknownFlowError
		invalid *codec.Error
		syntax  *codec.SyntaxError
	)
	switch {
	case errors.As(err, &large):
		return &tooLarge
	case errors.As(err, &format):
		return &notCore
	case errors.As(err, &flow):
		return &unknownFlow
	case errors.As(err, &invalid):
		if invalid.Response {
			return &badResponse
		}
		return &badRequest
	case errors.As(err, &syntax):
		return &notJSON
	}
	return &unexpected
}

// answer writes the response to a request that failed.
func (s *Server) answer(ctx *fasthttp.RequestCtx, x *exchange, err error) {
	ctx.Response.ResetBody()
	switch e := err.(type) { //nolint:errorlint // these are never wrapped
	case *plainError:
		s.answerPlain(ctx, x, e)
		return
	case *jsonError:
		s.answerError(ctx, e.status, e.text, asString, e.retry)
		return
	case *importError:
		s.answerImport(ctx, x, e)
		return
	case *failedFirst:
		writeJSON(ctx, fasthttp.StatusBadGateway, e.body)
		return
	}
	o := outcomeOf(err)
	status, form := o.usual, o.shape
	if s.cfg.Strict {
		status = o.strict
	}
	switch x.stage {
	case duringCall:
		if o == &notJSON { // the request was JSON, so the answer was not
			status, form = s.pick(&badResponse), asGateway
		}
	case duringSend:
		if o == &badRequest {
			form = asString
		} else if o.shape == asGateway {
			status = o.strict // 200 says that the message is in a queue
		}
	case duringStream:
		status, form = o.strict, asString
		if o == &notJSON {
			status = badResponse.strict
		}
	case duringLive:
		if status = o.strict; o == &notJSON {
			status, form = badResponse.strict, asGateway
		}
	case beforeDispatch:
	}
	if o == &unexpected {
		s.cfg.Logger.Error("request failed", "route", x.route(), "error", err)
	}
	s.answerError(ctx, status, o.text(err), form, o.retry)
	if o.close {
		closeAfter(ctx)
	}
}

// answerImport says besides what went wrong how many values are stored.
func (s *Server) answerImport(ctx *fasthttp.RequestCtx, x *exchange, e *importError) {
	var refused *jsonError
	o := outcomeOf(e.cause)
	switch {
	case errors.As(e.cause, &refused):
		s.answerError(ctx, fasthttp.StatusBadGateway, refused.text, asString, false)
	case o.is != nil: // in its own words, not the text of a plain answer
		s.answerError(ctx, o.strict, o.is.Error(), asString, o.retry)
	default:
		s.answerError(ctx, o.strict, o.text(e.cause), asString, o.retry)
		if o == &unexpected {
			s.cfg.Logger.Error("request failed", "route", x.route(), "error", e)
		}
	}
	body := ctx.Response.SwapBody(nil)
	body = append(body[:len(body)-1], `, "stored": `...)
	ctx.Response.SwapBody(append(strconv.AppendInt(body, int64(e.stored), 10), '}'))
}

func (s *Server) pick(o *outcome) int {
	if s.cfg.Strict {
		return o.strict
	}
	return o.usual
}

// statusOf is the status of an answer that a service gave.
func (s *Server) statusOf(part codec.Part) int {
	if part.Failed && s.cfg.Strict {
		return fasthttp.StatusBadGateway
	}
	return fasthttp.StatusOK
}

func (s *Server) answerPlain(ctx *fasthttp.RequestCtx, x *exchange, e *plainError) {
	ctx.SetStatusCode(e.status)
	ctx.SetContentType(textType)
	if e == errMethod {
		ctx.Response.Header.Set(fasthttp.HeaderAllow, x.match.allow)
	}
	if e.reason != "" && e.reason != fasthttp.StatusMessage(e.status) {
		ctx.Response.Header.SetStatusMessage([]byte(e.reason))
	}
	if e.body != "" {
		ctx.SetBodyString(e.body)
		return
	}
	ctx.SetBodyString(strconv.Itoa(e.status) + ": " + e.reason)
}

func (s *Server) answerError(ctx *fasthttp.RequestCtx, status int, text string, form shape, retry bool) {
	ctx.SetStatusCode(status)
	if retry {
		ctx.Response.Header.Set(fasthttp.HeaderRetryAfter, retryAfter)
	}
	if form == asText {
		ctx.SetContentType(textType)
		ctx.SetBodyString(text)
		return
	}
	ctx.SetContentType(jsonType)
	body := ctx.Response.SwapBody(nil)[:0]
	if form == asGateway {
		body = append(body, `{"error": {"type": "gateway-error", "message": `...)
		body = append(codec.AppendQuoted(body, text), "}}"...)
	} else {
		body = append(body, `{"error": `...)
		body = append(codec.AppendQuoted(body, text), '}')
	}
	ctx.Response.SwapBody(body)
}

// writeJSON answers with a constant text.
func writeJSON(ctx *fasthttp.RequestCtx, status int, text string) {
	ctx.SetStatusCode(status)
	ctx.SetContentType(jsonType)
	ctx.SetBodyString(text)
}

// writeMembers answers with an object of two texts.
func writeMembers(ctx *fasthttp.RequestCtx, name1, value1, name2, value2 string) {
	ctx.SetContentType(jsonType)
	body := append(ctx.Response.SwapBody(nil)[:0], '{')
	body = append(codec.AppendQuoted(body, name1), ": "...)
	body = append(codec.AppendQuoted(body, value1), ", "...)
	body = append(codec.AppendQuoted(body, name2), ": "...)
	body = append(codec.AppendQuoted(body, value2), '}')
	ctx.Response.SwapBody(body)
}
