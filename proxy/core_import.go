package proxy

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/valyala/fasthttp"

	"sluice/codec"
	"sluice/pool"
	"sluice/proxy/auth"
	"sluice/proxy/core"
	"sluice/proxy/dispatch"
)

// importError is an import that ended early, after so many values were stored.
type importError struct {
	cause  error
	stored int
}

func (e *importError) Error() string {
	return fmt.Sprintf("%v, after %d values were stored", e.cause, e.stored)
}

// Unwrap returns why.
func (e *importError) Unwrap() error { return e.cause }

// importCore serves POST /api/v1/import-core. Whenever it fails the connection
// ends, for there may be any amount of body left on it.
func (s *Server) importCore(ctx *fasthttp.RequestCtx, x *exchange) error {
	err := s.receiveCore(ctx, x)
	if err != nil {
		closeAfter(ctx)
		if failed := (*importError)(nil); errors.As(err, &failed) {
			c, _ := ctx.Conn().(*conn)
			c.lingerFor(lingerBulk) // the count of what is stored should arrive
		}
		return err
	}
	x.body.whole = true
	ctx.SetContentType(bytesType)
	return nil
}

func (s *Server) receiveCore(ctx *fasthttp.RequestCtx, x *exchange) error {
	workspace, id, err := s.admitStream(ctx, auth.CoreImport, "id")
	if err != nil {
		return err
	}
	x.stage = duringStream
	rules := s.rules
	src, done, err := x.body.stream(ctx, &rules)
	if err != nil {
		return &importError{cause: err}
	}
	defer done()
	frugality.enter()
	defer frugality.leave()
	i := coreImport{server: s, ctx: ctx, exchange: x, workspace: workspace, id: id}
	i.values = core.NewReader(src, s.cfg.MaxCoreValueBytes, func(more int) error { return x.body.hold(more, &rules) })
	if err := i.run(); err != nil {
		return &importError{err, i.stored}
	}
	return nil
}

// coreImport is one import under way.
type coreImport struct {
	server        *Server
	ctx           *fasthttp.RequestCtx
	exchange      *exchange
	workspace, id string
	values        *core.Reader
	stored        int
}

// run stores one value after the other, each when the one before is safe.
func (i *coreImport) run() error {
	request, answer := pool.Acquire(0), pool.Acquire(0)
	defer request.Release()
	defer answer.Release()
	for {
		value, err := i.values.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		body, kept, err := core.AppendPut(request.B[:0], i.id, value)
		request.B = body
		if err != nil {
			return err
		}
		if !kept {
			continue
		}
		if answer.B, err = i.put(body, answer.B[:0]); err != nil {
			return err
		}
		i.stored++
	}
}

// put sends one request and waits for its answer.
func (i *coreImport) put(body, dst []byte) ([]byte, error) {
	s, req := i.server, &i.exchange.req
	if err := req.Parse(codec.Knowledge, body); err != nil {
		return dst, err
	}
	req.SetWorkspaceText(i.workspace)
	start := time.Now()
	c, _ := i.ctx.Conn().(*conn)
	gone := c.begin(start, i.ctx.Request.Header.IsHTTP11())
	defer c.end()
	out, part, err := s.dispatcher.Call(dispatch.Key{Kind: codec.Knowledge}, req, dst, s.terms(gone))
	i.exchange.body.wire.excuse(time.Since(start))
	if err == nil && part.Failed {
		err = serviceFailure(out)
	}
	return out, err
}
