package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fasthttp/websocket"

	"sluice/bus"
	"sluice/bus/memory"
	"sluice/codec"
	"sluice/pool"
	"sluice/proxy/auth"
	"sluice/proxy/dispatch"
)

// tokens is an authenticator whose mind a test can change.
type tokens struct {
	mu    sync.Mutex
	known fakeTokens
	err   error // instead of refusing
	wait  chan struct{}
	asked atomic.Int64
	// changed is what to know of an identity that was forgotten.
	changed *auth.Identity
}

func (t *tokens) Forget(id *auth.Identity) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for name, known := range t.known {
		if known == id && t.changed != nil {
			t.known[name] = t.changed
		}
	}
}

func newTokens() *tokens {
	t := &tokens{known: make(fakeTokens)}
	for name, id := range people {
		t.known[name] = id
	}
	return t
}

func (t *tokens) set(name string, id *auth.Identity, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.known[name], t.err = id, err
}

func (t *tokens) hold(ch chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.wait = ch
}

func (t *tokens) Authenticate(token []byte) (*auth.Identity, error) {
	t.asked.Add(1)
	t.mu.Lock()
	wait := t.wait
	t.mu.Unlock()
	if wait != nil {
		<-wait
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if id := t.known[string(token)]; id != nil {
		return id, nil
	}
	if t.err != nil {
		return nil, t.err
	}
	return nil, auth.ErrRefused
}

// socketRig is a server over an in-process bus.
type socketRig struct {
	t       *testing.T
	server  *Server
	addr    string
	bus     *memory.Bus
	table   *dispatch.Table
	pending *dispatch.Pending
	tokens  *tokens
	stop    func()
}

func newSocketRig(t *testing.T, cfg Config) *socketRig {
	t.Helper()
	cfg.Logger = quiet()
	r := &socketRig{t: t, pending: dispatch.NewPending(0), tokens: newTokens()}
	r.bus = memory.New(r.pending)
	r.table = dispatch.New(r.bus, r.pending, dispatch.Config{Log: quiet()})
	for _, workspace := range []string{"acme", "default"} {
		r.table.StartFlow(workspace, "f", flowRecordOf(workspace))
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.addr = ln.Addr().String()
	r.server = New(cfg, Deps{Dispatcher: r.table, Authenticator: r.tokens, Authoriser: auth.NewRoleTable(nil)})
	served := make(chan error, 1)
	go func() { served <- r.server.Serve(ln) }()
	r.stop = sync.OnceFunc(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = r.server.Shutdown(ctx)
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
		_ = r.table.Close(ctx)
		_ = r.bus.Close(ctx)
		if n := r.pending.Waiting(); n != 0 {
			t.Errorf("%d slots are still in use", n)
		}
	})
	t.Cleanup(r.stop)
	return r
}

func flowRecordOf(workspace string) codec.FlowRecord {
	return codec.FlowRecord{Interfaces: map[string]codec.Interface{
		"text-completion": {Request: "request:tg:tc:" + workspace, Response: "response:tg:tc:" + workspace},
		"text-load":       {Flow: "flow:tg:text-load:" + workspace},
	}}
}

func busTopic(t testing.TB, id string) bus.Topic {
	t.Helper()
	topic, err := bus.ParseTopic(id)
	if err != nil {
		t.Fatal(err)
	}
	return topic
}

// serve runs a service on the bus: handle gets each request and answers it, then
// or later.
func (r *socketRig) serve(request, response string, handle func(body string, reply func(msg string))) {
	r.t.Helper()
	to := busTopic(r.t, response)
	_, err := r.bus.Subscribe(context.Background(), bus.Consumer{
		Topic: busTopic(r.t, request), Name: "svc",
		Handler: func(d *bus.Delivery) {
			id := strings.Clone(d.ID)
			handle(string(d.Body), func(msg string) {
				m := bus.Message{To: to, ID: id, Body: []byte(msg)}
				_, _ = r.bus.Publish(context.Background(), &m)
			})
			d.Ack()
		},
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

// completions answers every prompt with itself, except where the prompt says
// otherwise: "hold" is answered when released is closed, "stream" in three parts.
func (r *socketRig) completions(workspace string, released <-chan struct{}) *atomic.Int64 {
	var served atomic.Int64
	r.serve("request:tg:tc:"+workspace, "response:tg:tc:"+workspace, func(body string, reply func(string)) {
		served.Add(1)
		switch prompt := promptIn(body); {
		case strings.HasPrefix(prompt, "hold"):
			go func() {
				<-released
				reply(completionPart(prompt, true))
			}()
		case prompt == "stream":
			reply(completionPart("one", false))
			reply(completionPart("two", false))
			reply(completionPart("three", true))
		case prompt == "sad":
			reply(`{"error":{"type":"llm-error","message":"boom"},"response":null}`)
		case prompt == "garbage":
			reply(`}{`)
		case prompt == "silent":
		default:
			reply(completionPart(prompt, true))
		}
	})
	return &served
}

func promptIn(body string) string {
	var m struct {
		Prompt string `json:"prompt"`
	}
	_ = json.Unmarshal([]byte(body), &m)
	return m.Prompt
}

func completionPart(text string, final bool) string {
	quoted, _ := json.Marshal(text)
	end := "false"
	if final {
		end = "true"
	}
	return `{"error":null,"response":` + string(quoted) + `,"in_token":1,"out_token":2,"model":"m","end_of_stream":` + end + `}`
}

func answerBody(text string, final bool) string {
	quoted, _ := json.Marshal(text)
	end := "false"
	if final {
		end = "true"
	}
	return `{"response":` + string(quoted) + `,"in_token":1,"out_token":2,"model":"m","end_of_stream":` + end + `}`
}

func answerFrame(id, text string, final bool) string {
	end := "false"
	if final {
		end = "true"
	}
	return `{"id":` + id + `,"response":` + answerBody(text, final) + `,"complete":` + end + `}`
}

func askFrame(id, prompt string) string {
	quoted, _ := json.Marshal(prompt)
	return `{"id":` + id + `,"service":"text-completion","flow":"f","request":{"system":"s","prompt":` + string(quoted) + `}}`
}

// client is the socket library's client.
type client struct {
	*websocket.Conn
	t *testing.T
}

func (r *socketRig) dial(query string, header ...string) *client {
	r.t.Helper()
	h := http.Header{}
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	dialer := websocket.Dialer{HandshakeTimeout: patience}
	c, resp, err := dialer.Dial("ws://"+r.addr+"/api/v1/socket"+query, h)
	if err != nil {
		r.t.Fatalf("dial: %v", err)
	}
	_ = resp.Body.Close()
	r.t.Cleanup(func() { _ = c.Close() })
	_ = c.SetReadDeadline(time.Now().Add(patience))
	_ = c.SetWriteDeadline(time.Now().Add(patience))
	return &client{c, r.t}
}

func (c *client) say(frames ...string) {
	c.t.Helper()
	for _, f := range frames {
		if err := c.WriteMessage(websocket.TextMessage, []byte(f)); err != nil {
			c.t.Fatalf("write: %v", err)
		}
	}
}

func (c *client) hear() string {
	c.t.Helper()
	op, msg, err := c.ReadMessage()
	if err != nil {
		c.t.Fatalf("no frame: %v", err)
	}
	if op != websocket.TextMessage {
		c.t.Errorf("frame of type %d", op)
	}
	return string(msg)
}

func (c *client) expect(want ...string) {
	c.t.Helper()
	for _, w := range want {
		if got := c.hear(); got != w {
			c.t.Errorf("got  %s\nwant %s", got, w)
		}
	}
}

// expectAll hears these frames, in any order: answers overtake each other.
func (c *client) expectAll(want ...string) {
	c.t.Helper()
	got := make([]string, len(want))
	for i := range got {
		got[i] = c.hear()
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		c.t.Errorf("got  %q\nwant %q", got, want)
	}
}

// expectClose reads until the close frame and returns how many frames came before.
func (c *client) expectClose(code int, reason string) (frames int) {
	c.t.Helper()
	for {
		_, msg, err := c.ReadMessage()
		if err == nil {
			frames++
			_ = msg
			continue
		}
		var ce *websocket.CloseError
		if !errors.As(err, &ce) || ce.Code != code || ce.Text != reason {
			c.t.Errorf("ended with %v, want %d %q", err, code, reason)
		}
		return frames
	}
}

func (r *socketRig) socketCount() int { return len(r.server.sockets.snapshot(nil)) }

func bufferOf(text string) *pool.Buffer { return pool.Wrap([]byte(text)) }
