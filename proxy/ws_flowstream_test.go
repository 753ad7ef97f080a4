package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fasthttp/websocket"
	"github.com/prometheus/client_golang/prometheus"

	"sluice/bus"
	"sluice/bus/memory"
	"sluice/codec"
	"sluice/proxy/auth"
	"sluice/proxy/dispatch"
)

// slowBus is a bus in this process that settles what is published in bulk when,
// and as, a test says.
type slowBus struct {
	*memory.Bus

	mu      sync.Mutex
	held    bool // settle nothing by itself
	waiting []settlement
	bodies  []string
	refuse  error // of PublishAsync
}

type settlement struct {
	to    bus.Settler
	token uint64
}

// errPanic makes PublishAsync panic.
var errPanic = errors.New("panic")

func (b *slowBus) hold() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held = true
}

func (b *slowBus) PublishAsync(ctx context.Context, m *bus.Message, s bus.Settler, token uint64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if errors.Is(b.refuse, errPanic) {
		panic(b.refuse)
	}
	if b.refuse != nil {
		return b.refuse
	}
	if !b.held {
		return b.Bus.PublishAsync(ctx, m, s, token)
	}
	// The dispatcher's token says nothing: they are numbered as they come.
	b.waiting = append(b.waiting, settlement{s, uint64(len(b.bodies))})
	b.bodies = append(b.bodies, string(m.Body))
	return nil
}

// take returns what waits, at least n of it.
func (b *slowBus) take(t *testing.T, n int) (waiting []settlement) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d messages on their way", n), func() bool { return b.count() >= n })
	b.mu.Lock()
	defer b.mu.Unlock()
	waiting, b.waiting = b.waiting, nil
	return waiting
}

func (b *slowBus) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.waiting)
}

func (b *slowBus) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refuse = err
}

// streamRig is a server with a flow "f" in the workspaces acme and default, of
// which acme's has all streams and default's only triples.
type streamRig struct {
	t      testing.TB
	server *Server
	addr   string
	bus    *slowBus
	table  *dispatch.Table
	tokens *tokens
	stop   func()
	// mayPanic: the test provokes errors that are logged.
	mayPanic atomic.Bool
}

// loudHandler fails the test on what is logged as an error, panics above all.
type loudHandler struct {
	slog.Handler
	t        testing.TB
	mayPanic *atomic.Bool
}

func (h loudHandler) Handle(_ context.Context, r slog.Record) error {
	if r.Level >= slog.LevelError && !h.mayPanic.Load() {
		var text strings.Builder
		r.Attrs(func(a slog.Attr) bool { fmt.Fprintf(&text, " %v", a); return true })
		h.t.Errorf("logged: %s%s", r.Message, text.String())
	}
	return nil
}

func streamTopic(workspace, iface string) string { return "flow:tg:" + iface + ":" + workspace }

func newStreamRig(t testing.TB, cfg Config) *streamRig {
	t.Helper()
	r := &streamRig{t: t, tokens: newTokens()}
	cfg.Logger = slog.New(loudHandler{quiet().Handler(), t, &r.mayPanic})
	pending := dispatch.NewPending(0)
	r.bus = &slowBus{Bus: memory.New(pending)}
	r.table = dispatch.New(r.bus, pending, dispatch.Config{Log: quiet()})
	r.table.StartFlow("acme", "f", streamRecord("acme", "triples-store", "graph-embeddings-store",
		"document-embeddings-store", "entity-contexts-load", "rows-store"))
	r.table.StartFlow("default", "f", streamRecord("default", "triples-store"))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.addr = ln.Addr().String()
	r.server = New(cfg, Deps{
		Dispatcher: r.table, Authenticator: r.tokens, Authoriser: auth.NewRoleTable(nil), FlowStreams: r.table,
	})
	served := make(chan error, 1)
	go func() { served <- r.server.Serve(ln) }()
	r.stop = sync.OnceFunc(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = r.server.Shutdown(ctx)
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
		if err := r.table.Close(ctx); err != nil {
			t.Errorf("Close: %v", err)
		}
		_ = r.bus.Close(ctx)
		if n := r.server.importing.Load(); n != 0 {
			t.Errorf("%d bytes of imports are still accounted for", n)
		}
		if n := r.server.sockets.queued.Load(); n != 0 {
			t.Errorf("%d bytes of queues are still accounted for", n)
		}
	})
	t.Cleanup(r.stop)
	return r
}

func streamRecord(workspace string, ifaces ...string) codec.FlowRecord {
	record := codec.FlowRecord{Interfaces: map[string]codec.Interface{}}
	for _, iface := range ifaces {
		record.Interfaces[iface] = codec.Interface{Flow: streamTopic(workspace, iface)}
	}
	return record
}

// consume notes the ids of the messages that arrive in a workspace's stream.
func (r *streamRig) consume(workspace, iface string) *arrivals {
	r.t.Helper()
	topic, err := bus.ParseTopic(streamTopic(workspace, iface))
	if err != nil {
		r.t.Fatal(err)
	}
	a := new(arrivals)
	sub, err := r.bus.Subscribe(context.Background(), bus.Consumer{Topic: topic, Name: "store", Handler: func(d *bus.Delivery) {
		a.add(string(d.Body))
		d.Ack()
	}})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = sub.Close(context.Background()) })
	return a
}

// publish puts messages into a workspace's stream.
func (r *streamRig) publish(workspace, iface string, bodies ...string) {
	r.t.Helper()
	topic, err := bus.ParseTopic(streamTopic(workspace, iface))
	if err != nil {
		r.t.Fatal(err)
	}
	for _, body := range bodies {
		if _, err := r.bus.Publish(context.Background(), &bus.Message{To: topic, Body: []byte(body)}); err != nil {
			r.t.Fatal(err)
		}
	}
}

// arrivals are messages in the order in which they came.
type arrivals struct {
	mu     sync.Mutex
	bodies []string
}

func (a *arrivals) add(body string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.bodies = append(a.bodies, body)
}

func (a *arrivals) all() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]string(nil), a.bodies...)
}

// open dials a stream; the status is that of the answer when there is no socket.
func (r *streamRig) open(path, token string) (*websocket.Conn, int, string) {
	r.t.Helper()
	return r.openOver(path, token, new(net.Dialer).DialContext)
}

type dialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

func (r *streamRig) openOver(path, token string, dial dialFunc) (*websocket.Conn, int, string) {
	r.t.Helper()
	header := http.Header{}
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	dialer := websocket.Dialer{HandshakeTimeout: patience, NetDialContext: dial}
	ws, resp, err := dialer.Dial("ws://"+r.addr+path, header)
	if err != nil {
		if resp == nil {
			r.t.Fatalf("%s: %v", path, err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return nil, resp.StatusCode, string(body)
	}
	_ = ws.SetReadDeadline(time.Now().Add(patience))
	r.t.Cleanup(func() { _ = ws.Close() })
	return ws, http.StatusSwitchingProtocols, ""
}

// smallBuffers dials so that a client that does not read is soon noticed.
func smallBuffers(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err == nil {
		_ = c.(*net.TCPConn).SetReadBuffer(16 << 10) //nolint:forcetypeassert // dialled tcp
	}
	return c, err
}

// mustOpenSlow opens a stream whose client has little room for what it does not
// read.
func (r *streamRig) mustOpenSlow(path, token string) *websocket.Conn {
	r.t.Helper()
	ws, status, body := r.openOver(path, token, smallBuffers)
	if ws == nil {
		r.t.Fatalf("%s: status %d %s", path, status, body)
	}
	return ws
}

func (r *streamRig) mustOpen(path, token string) *websocket.Conn {
	r.t.Helper()
	ws, status, body := r.open(path, token)
	if ws == nil {
		r.t.Fatalf("%s: status %d %s", path, status, body)
	}
	return ws
}

func write(t testing.TB, ws *websocket.Conn, text string) {
	t.Helper()
	if err := ws.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
		t.Fatalf("write: %v", err)
	}
}

// sayBye sends a close frame.
func sayBye(t testing.TB, ws *websocket.Conn) {
	t.Helper()
	bye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	if err := ws.WriteControl(websocket.CloseMessage, bye, time.Now().Add(patience)); err != nil {
		t.Fatalf("close: %v", err)
	}
}

// readAll reads until the socket is closed.
func readAll(t testing.TB, ws *websocket.Conn) (frames []string, code int, reason string) {
	t.Helper()
	for {
		_, msg, err := ws.ReadMessage()
		if err == nil {
			frames = append(frames, string(msg))
			continue
		}
		var ce *websocket.CloseError
		if !errors.As(err, &ce) {
			t.Fatalf("no close frame: %v", err)
		}
		return frames, ce.Code, ce.Text
	}
}

func wantClose(t testing.TB, ws *websocket.Conn, code int, reason string) (frames []string) {
	t.Helper()
	frames, gotCode, gotReason := readAll(t, ws)
	if gotCode != code || gotReason != reason {
		t.Errorf("closed with %d %q, want %d %q", gotCode, gotReason, code, reason)
	}
	return frames
}

// tripleFrame is message i of an import.
func tripleFrame(i int) string {
	return fmt.Sprintf(`{"metadata":{"id":"m%d","metadata":[],"collection":"c"},"triples":[{"s":{"t":"i","i":"s"},"p":{"t":"i","i":"p"},"o":{"t":"l","v":"o"}}]}`, i)
}

// tripleMessage is what it becomes on the bus.
func tripleMessage(t testing.TB, i int) string {
	t.Helper()
	out, err := codec.AppendImport(nil, codec.Triples, []byte(tripleFrame(i)))
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

const (
	importTriples = "/api/v1/flow/f/import/triples"
	exportTriples = "/api/v1/flow/f/export/triples"
)

// TestStreamHandshake checks the order of the contract, and that everything is
// decided before the upgrade (G2, G37).
func TestStreamHandshake(t *testing.T) {
	r := newStreamRig(t, Config{})
	for _, c := range []struct {
		path, token string
		status      int
		body        string
	}{
		{"/api/v1/flow/f/import/nothing", "", 404, `{"error": "unknown kind"}`},
		{"/api/v1/flow/f/import/agent", "writer", 404, `{"error": "unknown kind"}`},
		{"/api/v1/flow/f/export/rows", "reader", 404, `{"error": "unknown kind"}`},
		{importTriples + "?token=", "", 401, `{"error": "auth failure"}`},
		{importTriples + "?token=wrong", "writer", 401, `{"error": "auth failure"}`},
		{importTriples, "wrong", 401, `{"error": "auth failure"}`},
		{importTriples, "reader", 403, `{"error": "access denied"}`},
		{importTriples + "?token=reader", "", 403, `{"error": "access denied"}`},
		{exportTriples, "nobody", 403, `{"error": "access denied"}`},
		{importTriples + "?workspace=default", "writer", 403, `{"error": "access denied"}`},
		{exportTriples + "?workspace=default", "reader", 403, `{"error": "access denied"}`},
		{"/api/v1/flow/absent/import/triples", "writer", 404, `{"error": "Invalid flow acme/absent"}`},
		{"/api/v1/flow/absent/export/triples", "reader", 404, `{"error": "Invalid flow acme/absent"}`},
		{"/api/v1/flow/f/import/rows?workspace=default", "admin", 404, `{"error": "This kind not supported by flow"}`},
		{"/api/v1/flow/f/export/triples?workspace=nowhere", "admin", 404, `{"error": "Invalid flow nowhere/f"}`},
		{importTriples + "?ack=0", "writer", 400, `{"error": "ack must be a number of messages, 1 or more"}`},
		{importTriples + "?ack=", "writer", 400, `{"error": "ack must be a number of messages, 1 or more"}`},
		{importTriples + "?ack=-3", "writer", 400, `{"error": "ack must be a number of messages, 1 or more"}`},
		{importTriples + "?ack=99999999999", "writer", 400, `{"error": "ack must be a number of messages, 1 or more"}`},
		{exportTriples + "?overflow=spill", "reader", 400, `{"error": "overflow must be \"close\", \"drop-oldest\" or \"block\""}`},
		{importTriples + "?token=writer", "", 101, ""},
		{importTriples, "writer", 101, ""},
		{importTriples, "", 101, ""}, // to authenticate in band
		{importTriples + "?workspace=default", "admin", 101, ""},
		{importTriples + "?workspace=acme&ack=10", "writer", 101, ""},
		{exportTriples + "?overflow=close", "reader", 101, ""},
	} {
		ws, status, body := r.open(c.path, c.token)
		if status != c.status || body != c.body {
			t.Errorf("%s as %q: %d %s, want %d %s", c.path, c.token, status, body, c.status, c.body)
		}
		if ws != nil {
			_ = ws.Close()
		}
	}
}

func TestStreamNeedsAnUpgrade(t *testing.T) {
	r := newStreamRig(t, Config{})
	for token, want := range map[string]int{"": 401, "?token=reader": 403, "?token=writer": 400} {
		resp, err := http.Get("http://" + r.addr + importTriples + token) //nolint:noctx // the server is ours
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%q: %d %s, want %d", token, resp.StatusCode, body, want)
		}
	}
}

// TestStreamWorkspaces imports into the caller's own workspace, or the one asked
// for, and never into "default" of itself (G2).
func TestStreamWorkspaces(t *testing.T) {
	r := newStreamRig(t, Config{})
	own, other := r.consume("acme", "triples-store"), r.consume("default", "triples-store")
	for path, token := range map[string]string{importTriples: "writer", importTriples + "?workspace=acme": "admin"} {
		ws := r.mustOpen(path, token)
		write(t, ws, tripleFrame(1))
		sayBye(t, ws)
		wantClose(t, ws, 1000, "")
	}
	eventually(t, "both messages arrive", func() bool { return len(own.all()) == 2 })
	if n := len(other.all()); n != 0 {
		t.Errorf("%d messages in another workspace", n)
	}
}

func TestStreamAuthenticatesInBand(t *testing.T) {
	r := newStreamRig(t, Config{})
	store := r.consume("acme", "triples-store")
	ws := r.mustOpen(importTriples+"?ack=1", "")
	write(t, ws, `{"type":"auth","token":"writer"}`)
	write(t, ws, tripleFrame(0))
	sayBye(t, ws)
	frames := wantClose(t, ws, 1000, "")
	if got, want := strings.Join(frames, " "), `{"type":"auth-ok","workspace":"acme"} {"ack":0}`; got != want {
		t.Errorf("frames %s, want %s", got, want)
	}
	eventually(t, "the message arrives", func() bool { return len(store.all()) == 1 })
	if n := r.server.sockets.strangers.Load(); n != 0 {
		t.Errorf("%d strangers are left", n)
	}

	export := r.mustOpen(exportTriples, "")
	write(t, export, `{"type":"auth","token":"reader"}`)
	if _, msg, err := export.ReadMessage(); err != nil || string(msg) != `{"type":"auth-ok","workspace":"acme"}` {
		t.Fatalf("%s, %v", msg, err)
	}
	r.publish("acme", "triples-store", tripleMessage(t, 3))
	if _, msg, err := export.ReadMessage(); err != nil || !strings.Contains(string(msg), `"m3"`) {
		t.Fatalf("%s, %v", msg, err)
	}
}

func TestStreamRefusesInBand(t *testing.T) {
	r := newStreamRig(t, Config{})
	r.tokens.set("lapsed", nil, nil)
	for _, c := range []struct {
		path, frame string
		code        int
		answer      string // auth-failed's error; also the reason
	}{
		{importTriples, `{"type":"auth","token":"wrong"}`, 1008, "auth failure"},
		{importTriples, `{"type":"auth"}`, 1008, "auth failure"},
		{importTriples, `{"type":"auth","token":17}`, 1008, "auth failure"},
		{importTriples, `{"type":"auth","token":"reader"}`, 1008, "access denied"},
		{importTriples + "?workspace=default", `{"type":"auth","token":"writer"}`, 1008, "access denied"},
		{"/api/v1/flow/no/import/triples", `{"type":"auth","token":"writer"}`, 1008, "Invalid flow acme/no"},
		{"/api/v1/flow/no/export/triples", `{"type":"auth","token":"reader"}`, 1008, "Invalid flow acme/no"},
		{"/api/v1/flow/f/import/rows?workspace=default", `{"type":"auth","token":"admin"}`, 1008, "This kind not supported by flow"},
		{importTriples, tripleFrame(1), 1008, ""},
		{importTriples, `{`, 1008, ""},
		{exportTriples, `[]`, 1008, ""},
	} {
		ws := r.mustOpen(c.path, "")
		write(t, ws, c.frame)
		want, reason := []string(nil), "the first frame must authenticate"
		if c.answer != "" {
			want, reason = []string{`{"type":"auth-failed","error":"` + c.answer + `"}`}, c.answer
		}
		if frames := wantClose(t, ws, c.code, reason); strings.Join(frames, " ") != strings.Join(want, " ") {
			t.Errorf("%s: %s: frames %q", c.path, c.frame, frames)
		}
	}
	r.tokens.set("lapsed", nil, auth.ErrUnavailable)
	ws := r.mustOpen(importTriples, "")
	write(t, ws, `{"type":"auth","token":"lapsed"}`)
	wantClose(t, ws, 1013, reasonNoIAM)
	// A stranger must be brief.
	ws = r.mustOpen(importTriples, "")
	write(t, ws, `{"type":"auth","token":"`+strings.Repeat("x", strangerBytes)+`"}`)
	wantClose(t, ws, 1009, reasonTooBig)
	if ws, status, _ := r.open(importTriples+"?token=lapsed", ""); ws != nil || status != 503 {
		t.Errorf("IAM away: status %d", status)
	}
}

func TestStreamStrangerHasToHurry(t *testing.T) {
	r := newStreamRig(t, Config{SocketAuthWait: 20 * time.Millisecond})
	for _, path := range []string{importTriples, exportTriples} {
		wantClose(t, r.mustOpen(path, ""), 1008, reasonUnauthorised)
	}
}

// lapsing is an identity that has to be asked about again.
func lapsing(name string, source auth.Source, since time.Duration) *auth.Identity {
	id := *people[name]
	id.Source, id.Expires = source, time.Now().Add(-since)
	id.GraceEnd = id.Expires.Add(5 * time.Minute)
	return &id
}

func TestStreamIdentityIsCheckedAgain(t *testing.T) {
	for _, c := range []struct {
		name   string
		before *auth.Identity
		after  *auth.Identity
		err    error
		reason string // empty: the socket stays open
	}{
		{"still good", lapsing("admin", auth.APIKey, 0), people["admin"], nil, ""},
		{"revoked", lapsing("admin", auth.APIKey, 0), nil, nil, reasonRefused},
		{"roles taken away", lapsing("admin", auth.APIKey, 0), people["nobody"], nil, reasonRefused},
		{"user still enabled", lapsing("admin", auth.JWT, 0), people["admin"], nil, ""},
		{"user disabled", lapsing("admin", auth.JWT, 0), nil, nil, reasonRefused},
		{"user demoted", lapsing("admin", auth.JWT, 0), people["nobody"], nil, reasonRefused},
		{"IAM away", lapsing("admin", auth.JWT, time.Minute), nil, auth.ErrUnavailable, ""},
		{"IAM away for long", lapsing("admin", auth.APIKey, 6*time.Minute), nil, auth.ErrUnavailable, reasonUnchecked},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel() // a second has to pass
			r := newStreamRig(t, Config{SocketPing: 40 * time.Millisecond})
			r.tokens.set("key", c.before, nil)
			in := r.mustOpen(importTriples+"?ack=1", "key")
			out := r.mustOpen(exportTriples, "key")
			asked := r.tokens.asked.Load()
			r.tokens.set("key", c.after, c.err)
			if c.reason != "" {
				wantClose(t, in, 1008, c.reason)
				wantClose(t, out, 1008, c.reason)
				return
			}
			eventually(t, "both are asked about", func() bool { return r.tokens.asked.Load() >= asked+2 })
			sayBye(t, in)
			sayBye(t, out)
			wantClose(t, in, 1000, "")
			wantClose(t, out, 1000, "")
		})
	}
}

func TestStreamTokenExpires(t *testing.T) {
	r := newStreamRig(t, Config{SocketPing: 40 * time.Millisecond})
	id := *people["admin"]
	id.Expires = time.Now().Add(50 * time.Millisecond)
	id.Ends = id.Expires
	r.tokens.set("jwt", &id, nil)
	wantClose(t, r.mustOpen(importTriples, "jwt"), 1008, reasonRefused)
	id2 := id
	id2.Expires = time.Now().Add(50 * time.Millisecond)
	id2.Ends = id2.Expires
	r.tokens.set("jwt", &id2, nil)
	wantClose(t, r.mustOpen(exportTriples, "jwt"), 1008, reasonRefused)
}

// TestSocketThatNeverOpens: a connection that dies between the handshake and the
// socket gives back what was reserved and opened for it.
func TestSocketThatNeverOpens(t *testing.T) {
	r := newStreamRig(t, Config{})
	if err := r.server.sockets.reserve(true); err != nil {
		t.Fatal(err)
	}
	f := &flowStream{server: r.server, kind: codec.Triples, flow: "f"}
	f.target.Name = "acme"
	i := newImporter(f, 0)
	if err := i.open(); err != nil {
		t.Fatal(err)
	}
	a := admission{kind: importSocket, stranger: true, failed: i.cutOff}
	server, client := net.Pipe()
	defer client.Close()
	c := newConn(server, newRegistry(), time.Second)
	c.unhijacked = func() { newWSConn(r.server.sockets, c, &a).fail(&a) }
	_ = c.Close()
	select {
	case <-i.over:
	default:
		t.Error("the import is still there")
	}
	if s := r.server.sockets; s.reserved.Load() != 0 || s.strangers.Load() != 0 {
		t.Errorf("%d reserved, %d strangers", s.reserved.Load(), s.strangers.Load())
	}
}

func shuffle[T any](all []T) {
	rand.Shuffle(len(all), func(a, b int) { all[a], all[b] = all[b], all[a] })
}

// gather returns a metric's values by the value of its only label, which is empty
// when there is none.
func gather(t testing.TB, name string) map[string]float64 {
	t.Helper()
	families, err := prometheus.DefaultGatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := make(map[string]float64)
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			label := ""
			for _, l := range m.GetLabel() {
				label = l.GetValue()
			}
			values[label] = m.GetCounter().GetValue()
		}
	}
	return values
}

// gatherGauge returns the value of a gauge without labels.
func gatherGauge(t testing.TB, name string) float64 {
	t.Helper()
	families, err := prometheus.DefaultGatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("there is no %s", name)
	return 0
}
