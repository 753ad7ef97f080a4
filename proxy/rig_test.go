package proxy

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/codec"
	"sluice/proxy/auth"
	"sluice/proxy/dispatch"
)

// patience bounds what a test waits for something that must happen.
const patience = 20 * time.Second

// fakeDispatcher answers calls as a test tells it to, and remembers them.
type fakeDispatcher struct {
	call func(k dispatch.Key, msg string, c dispatch.Call) (string, codec.Part, error)
	send func(k dispatch.Key, msg string) error
	// stream and download are like call; their parts are bus messages.
	stream   func(k dispatch.Key, msg string, sink dispatch.Sink) error
	download func(k dispatch.Key, msg string, c dispatch.Call, fn func(part []byte, final bool) error) error
	ask      func(req codec.IAMRequest) (codec.IAMReply, error)

	mu   sync.Mutex
	keys []dispatch.Key
	msgs []string
}

func (f *fakeDispatcher) note(k dispatch.Key, req *codec.Request) (string, error) {
	msg, err := req.AppendMessage(nil)
	if err != nil {
		return "", err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.keys = append(f.keys, dispatch.Key{Workspace: strings.Clone(k.Workspace), Flow: strings.Clone(k.Flow), Kind: k.Kind})
	f.msgs = append(f.msgs, string(msg))
	return string(msg), nil
}

func (f *fakeDispatcher) Call(k dispatch.Key, req *codec.Request, dst []byte, c dispatch.Call) ([]byte, codec.Part, error) {
	msg, err := f.note(k, req)
	if err != nil {
		return dst, codec.Part{}, err
	}
	if f.call == nil {
		return append(dst, `{"ok":true}`...), codec.Part{Final: true}, nil
	}
	body, part, err := f.call(k, msg, c)
	return append(dst, body...), part, err
}

func (f *fakeDispatcher) Send(k dispatch.Key, req *codec.Request, _ dispatch.Call) error {
	msg, err := f.note(k, req)
	if err != nil || f.send == nil {
		return err
	}
	return f.send(k, msg)
}

func (f *fakeDispatcher) Stream(k dispatch.Key, req *codec.Request, _ dispatch.Call, sink dispatch.Sink) (dispatch.StreamHandle, error) {
	msg, err := f.note(k, req)
	if err == nil {
		err = f.stream(k, msg, sink)
	}
	return dispatch.StreamHandle{}, err
}

func (f *fakeDispatcher) Download(k dispatch.Key, req *codec.Request, c dispatch.Call, fn func(part []byte, final bool) error) error {
	msg, err := f.note(k, req)
	if err != nil {
		return err
	}
	return f.download(k, msg, c, fn)
}

func (*fakeDispatcher) Wired(dispatch.Key) bool { return true }

func (f *fakeDispatcher) Ask(_ codec.Kind, msg, dst []byte, _ time.Duration) ([]byte, error) {
	req, err := codec.ParseIAMRequest(msg)
	if err != nil {
		return dst, err
	}
	reply, err := f.ask(req)
	if err != nil {
		return dst, err
	}
	raw, err := codec.MarshalIAMReply(&reply)
	return append(dst, raw...), err
}

// last is the latest call or message.
func (f *fakeDispatcher) last(t *testing.T) (dispatch.Key, string) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.keys) == 0 {
		t.Fatal("nothing was dispatched")
	}
	return f.keys[len(f.keys)-1], f.msgs[len(f.msgs)-1]
}

func (f *fakeDispatcher) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.keys)
}

// fakeTokens are identities by token.
type fakeTokens map[string]*auth.Identity

var errNoIAM = auth.ErrUnavailable

func (f fakeTokens) Authenticate(token []byte) (*auth.Identity, error) {
	if id := f[string(token)]; id != nil {
		return id, nil
	}
	if string(token) == "away" {
		return nil, errNoIAM
	}
	return nil, auth.ErrRefused
}

func (fakeTokens) Forget(*auth.Identity) {}

var people = fakeTokens{
	"admin":  auth.NewIdentity("u-admin", "default", []string{"admin"}),
	"writer": auth.NewIdentity("u-writer", "acme", []string{"writer"}),
	"reader": auth.NewIdentity("u-reader", "acme", []string{"reader"}),
	"nobody": auth.NewIdentity("u-nobody", "acme", []string{"unheard-of"}),
}

// rig is a running server.
type rig struct {
	t      *testing.T
	server *Server
	addr   string
	bus    *fakeDispatcher
	client *http.Client
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func newRig(t *testing.T, cfg Config) *rig {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return newRigOn(t, cfg, ln)
}

func newRigOn(t *testing.T, cfg Config, ln net.Listener) *rig {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = quiet()
	}
	r := &rig{t: t, addr: ln.Addr().String(), bus: new(fakeDispatcher)}
	r.server = New(cfg, Deps{Dispatcher: r.bus, Authenticator: people, Authoriser: auth.NewRoleTable(nil)})
	served := make(chan error, 1)
	go func() { served <- r.server.Serve(ln) }()
	transport := &http.Transport{DisableCompression: true}
	r.client = &http.Client{Transport: transport, Timeout: patience}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = r.server.Shutdown(ctx)
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return r
}

// answer is a response, read whole.
type answer struct {
	status int
	header http.Header
	body   string
	close  bool
}

func (r *rig) do(method, path, token, body string, headers ...string) answer {
	r.t.Helper()
	req, err := http.NewRequest(method, "http://"+r.addr+path, strings.NewReader(body)) //nolint:noctx // the client has a time-out
	if err != nil {
		r.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := r.client.Do(req)
	if err != nil {
		r.t.Fatalf("%s %s: %v", method, path, err)
	}
	return readAnswer(r.t, resp)
}

func readAnswer(t *testing.T, resp *http.Response) answer {
	t.Helper()
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("body of the answer: %v", err)
	}
	return answer{resp.StatusCode, resp.Header, string(body), resp.Close}
}

// dial opens a raw connection that the test closes.
func (r *rig) dial() *wireConn {
	r.t.Helper()
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return &wireConn{TCPConn: c.(*net.TCPConn), t: r.t, in: bufio.NewReader(c)} //nolint:forcetypeassert // dialled tcp
}

// wireConn is a client that speaks bytes.
type wireConn struct {
	*net.TCPConn
	t  *testing.T
	in *bufio.Reader
}

func (c *wireConn) say(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c.TCPConn, text); err != nil {
		c.t.Fatalf("write: %v", err)
	}
}

// hearOne reads one response, which may be an interim one.
func (c *wireConn) hearOne() (answer, error) {
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return answer{}, err
	}
	return readAnswer(c.t, resp), nil
}

// hear reads one final response.
func (c *wireConn) hear() answer {
	c.t.Helper()
	for {
		got, err := c.hearOne()
		if err != nil {
			c.t.Fatalf("no response: %v", err)
		}
		if got.status >= 200 {
			return got
		}
	}
}

// hearEnd expects that nothing more comes.
func (c *wireConn) hearEnd() {
	c.t.Helper()
	rest, err := io.ReadAll(c.in)
	if len(bytes.TrimSpace(rest)) > 0 {
		c.t.Errorf("more than expected: %q", rest)
	}
	if e := net.Error(nil); errors.As(err, &e) && e.Timeout() {
		c.t.Error("the connection stayed open")
	}
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, met func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if met() {
			return
		}
	}
	t.Fatalf("never happened: %s", what)
}

const completion = `{"system":"s","prompt":"p"}`

func post(path, token, body string) string {
	return "POST " + path + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + token +
		"\r\nContent-Length: " + itoa(len(body)) + "\r\n\r\n" + body
}

const completionPath = "/api/v1/flow/f/service/text-completion"

func newReader(text string) *bufio.Reader { return bufio.NewReader(strings.NewReader(text)) }
