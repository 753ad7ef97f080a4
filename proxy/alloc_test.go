//go:build !race

package proxy

import (
	"bytes"
	"net"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"sluice/codec"
	"sluice/proxy/auth"
	"sluice/proxy/dispatch"
)

// stubDispatcher translates for real and answers at once, without allocating.
type stubDispatcher struct {
	Dispatcher // nil: what is not below is never called
	msg        []byte
	calls      int
}

var stubAnswer = []byte(`{"response":"hello","error":null,"in_token":1,"out_token":2,"model":"m","end_of_stream":true}`)

func (d *stubDispatcher) Call(_ dispatch.Key, req *codec.Request, dst []byte, _ dispatch.Call) ([]byte, codec.Part, error) {
	var err error
	if d.msg, err = req.AppendMessage(d.msg[:0]); err != nil {
		return dst, codec.Part{}, err
	}
	d.calls++
	return codec.AppendResponse(dst, req.Kind(), stubAnswer)
}

func (d *stubDispatcher) Send(_ dispatch.Key, req *codec.Request, _ dispatch.Call) error {
	var err error
	d.msg, err = req.AppendMessage(d.msg[:0])
	d.calls++
	return err
}

func (*stubDispatcher) Wired(dispatch.Key) bool { return true }

func (d *stubDispatcher) Ask(codec.Kind, []byte, []byte, time.Duration) ([]byte, error) {
	return nil, dispatch.ErrNoService
}

// tableTokens knows one token without making a string of it.
type oneToken struct {
	token []byte
	id    *auth.Identity
}

func (oneToken) Forget(*auth.Identity) {}

func (o oneToken) Authenticate(token []byte) (*auth.Identity, error) {
	if !bytes.Equal(token, o.token) {
		return nil, auth.ErrRefused
	}
	return o.id, nil
}

// request is a context as fasthttp hands it over, body still in its stream.
func request(c net.Conn, path, body string) (ctx *fasthttp.RequestCtx, rewind func()) {
	ctx = new(fasthttp.RequestCtx)
	ctx.Init2(c, httpLog{quiet()}, true)
	ctx.Request.Header.SetMethod(fasthttp.MethodPost)
	ctx.Request.Header.SetHost("x")
	ctx.Request.Header.SetContentType("application/json")
	ctx.Request.Header.Set(fasthttp.HeaderAuthorization, "Bearer tg_known")
	ctx.Request.SetRequestURI(path)
	stream := bytes.NewReader(nil)
	text := []byte(body)
	ctx.Request.SetBodyStream(stream, len(body))
	ctx.URI() // as the server has parsed it
	return ctx, func() {
		stream.Reset(text)
		ctx.Response.Reset()
	}
}

func TestHotPathAllocatesNothing(t *testing.T) {
	stub := new(stubDispatcher)
	s := New(Config{Logger: quiet()}, Deps{
		Dispatcher:    stub,
		Authenticator: oneToken{[]byte("tg_known"), auth.NewIdentity("u", "default", []string{"writer"})},
		Authoriser:    auth.NewRoleTable(nil),
	})
	here, there := net.Pipe()
	defer there.Close()
	c := newConn(here, s.conns, time.Second)
	for _, row := range []struct{ name, path, body string }{
		{"text-completion", "/api/v1/flow/default/service/text-completion", `{"system":"be brief","prompt":"what is this?","streaming":true}`},
		{"with workspace", "/api/v1/flow/default/service/text-completion", `{"system":"be brief","prompt":"what is this?","workspace":"default"}`},
		{"embeddings", "/api/v1/flow/default/service/embeddings", `{"texts":["one","two"]}`},
		{"encoded flow", "/api/v1/flow/my%20flow/service/text-completion", completion},
		{"config", "/api/v1/config", `{"operation":"get","keys":[{"type":"a","key":"b"}]}`},
		{"text-load", loadPath, loadBody},
	} {
		ctx, rewind := request(c, row.path, row.body)
		run := func() {
			rewind()
			s.handle(ctx)
		}
		run()
		if status := ctx.Response.StatusCode(); status != 200 {
			t.Fatalf("%s: %d %s", row.name, status, ctx.Response.Body())
		}
		before := stub.calls
		if n := testing.AllocsPerRun(200, run); n != 0 {
			t.Errorf("%s: %.0f allocations a request", row.name, n)
		}
		if stub.calls <= before {
			t.Errorf("%s: nothing was called", row.name)
		}
	}
	_ = c.kill()
}

func TestRefusalsAllocateNothing(t *testing.T) {
	s := New(Config{Logger: quiet()}, Deps{
		Dispatcher:    new(stubDispatcher),
		Authenticator: oneToken{[]byte("tg_other"), nil},
		Authoriser:    auth.NewRoleTable(nil),
	})
	ctx, rewind := request(nil, completionPath, "")
	n := testing.AllocsPerRun(200, func() {
		rewind()
		s.handle(ctx)
	})
	if status := ctx.Response.StatusCode(); status != 401 || n != 0 {
		t.Errorf("%d, %.0f allocations a request", status, n)
	}
}

func BenchmarkHandle(b *testing.B) {
	s := New(Config{Logger: quiet()}, Deps{
		Dispatcher:    new(stubDispatcher),
		Authenticator: oneToken{[]byte("tg_known"), auth.NewIdentity("u", "default", []string{"writer"})},
		Authoriser:    auth.NewRoleTable(nil),
	})
	here, there := net.Pipe()
	defer there.Close()
	ctx, rewind := request(newConn(here, s.conns, time.Second), completionPath, `{"system":"be brief","prompt":"what is this?"}`)
	b.ReportAllocs()
	for b.Loop() {
		rewind()
		s.handle(ctx)
	}
}
