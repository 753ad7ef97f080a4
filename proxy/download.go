package proxy

import (
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/valyala/fasthttp"

	"sluice/codec"
	"sluice/pool"
	"sluice/proxy/dispatch"
)

var (
	streamsOpen = promauto.NewGauge(prometheus.GaugeOpts{
		Name: "sluice_http_streams",
		Help: "Responses whose body is being streamed now.",
	})
	streamsBroken = promauto.NewCounter(prometheus.CounterOpts{
		Name: "sluice_http_streams_broken_total",
		Help: "Streamed responses that ended before their body was whole, by us or by the client.",
	})
)

// errIncomplete is an answer that ended without saying that it is complete.
var errIncomplete = &codec.Error{Reason: "it ended without its end marker", Response: true}

// download is a response whose body is made of the parts of a service's answer,
// which can outrun the client.
type download struct {
	key dispatch.Key
	req codec.Request
	// bytes appends what one part becomes to dst.
	bytes func(dst, part []byte, final bool) ([]byte, error)
	// failed, when there is one, appends what tells the client of an error in the
	// middle; otherwise that breaks the connection.
	failed func(dst []byte, err error) []byte
	// empty is the error for an answer that becomes nothing; nil: an empty body.
	empty error
	typ   string
}

// download answers with d. It waits for the first bytes before there is a status,
// so that an error until then is one.
func (s *Server) download(ctx *fasthttp.RequestCtx, d *download) error {
	if !ctx.Request.Header.IsHTTP11() {
		return errVersion // an older client cannot tell a broken stream from a whole one
	}
	r := newRelay()
	s.streams.Go(func() { s.produce(r, d) })
	err := s.startBody(ctx, r, d.typ)
	if !errors.Is(err, io.EOF) {
		return err
	}
	if d.empty != nil {
		return d.empty
	}
	ctx.SetContentType(d.typ)
	return nil
}

// startBody waits for the first piece and makes the body of it and what follows.
// From then on the request counts as in flight until the body has been written,
// or could not be. After an error, which is io.EOF for a body without any piece,
// the source has been stopped.
func (s *Server) startBody(ctx *fasthttp.RequestCtx, from pieces, typ string) error {
	c, _ := ctx.Conn().(*conn)
	b := &bodyOut{from: from, gone: c.begin(time.Now(), true)}
	err := b.wait()
	c.end()
	if err != nil {
		from.stop()
		return err
	}
	// Without interim responses: they would end up in the body.
	b.gone = c.begin(time.Now(), false)
	s.gate.hold()
	streamsOpen.Inc()
	b.onClose = func(whole bool) {
		if !whole {
			streamsBroken.Inc()
		}
		streamsOpen.Dec()
		s.gate.leave()
		c.end()
	}
	ctx.SetContentType(typ)
	ctx.SetBodyStream(b, -1)
	return nil
}

// produce runs the call behind a download.
func (s *Server) produce(r *relay, d *download) {
	defer func() {
		if p := recover(); p != nil {
			panicsTotal.Inc()
			s.cfg.Logger.Error("panic in a stream", "kind", d.key.Kind.String(), "panic", p, "stack", string(debug.Stack()))
			r.end(fmt.Errorf("panic: %v", p))
		}
	}()
	frugality.enter()
	defer frugality.leave()
	piece := pool.Acquire(0)
	defer piece.Release()
	started, complete := false, false
	err := s.dispatcher.Download(d.key, &d.req, s.terms(r.stopped), func(part []byte, final bool) (err error) {
		if piece.B, err = d.bytes(piece.B[:0], part, final); err != nil {
			return err
		}
		if err = r.put(piece.B); err == nil && final {
			complete = true
			r.end(nil) // now: Download itself has to tidy up first
		}
		started = started || len(piece.B) > 0
		return err
	})
	switch {
	case complete:
		return
	case err == nil:
		err = errIncomplete
	}
	if started && d.failed != nil {
		piece.B = d.failed(piece.B[:0], err)
		err = r.put(piece.B)
	}
	r.end(err)
}

// serviceFailure is the error of a body in which a service reports one.
func serviceFailure(body []byte) error {
	failure := codec.Value{Raw: body}.Get("error")
	kind, _ := failure.Get("type").String()
	message, _ := failure.Get("message").String()
	e := &jsonError{status: fasthttp.StatusBadGateway, text: string(message)}
	if e.text == "" {
		e.text = string(kind)
	}
	if meansNotFound(string(kind)) {
		e.status = fasthttp.StatusNotFound
	}
	return e
}

// meansNotFound reports whether an error of that type says that there is no such
// thing. Services spell that as they like.
func meansNotFound(kind string) bool {
	kind = strings.NewReplacer("-", "", "_", "", " ", "").Replace(strings.ToLower(kind))
	return strings.Contains(kind, "notfound") || strings.HasPrefix(kind, "unknown") || strings.HasPrefix(kind, "nosuch")
}
