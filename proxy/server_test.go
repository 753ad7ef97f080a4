package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/codec"
	"sluice/proxy/dispatch"
)

func TestPanicIsContained(t *testing.T) {
	r := newRig(t, Config{})
	r.bus.call = func(dispatch.Key, string, dispatch.Call) (string, codec.Part, error) { panic("boom") }
	c := r.dial()
	c.say(post(completionPath, "admin", completion))
	if got := c.hear(); got.status != 500 || got.body != "500 Internal Server Error\n\nServer got itself in trouble" || !got.close {
		t.Errorf("%+v", got)
	}
	c.hearEnd()
	r.bus.call = nil
	if got := r.do("POST", completionPath, "admin", completion); got.status != 200 {
		t.Errorf("afterwards: %d", got.status)
	}
	if n := r.server.gate.n.Load(); n != 0 {
		t.Errorf("%d requests still in flight", n)
	}
}

func TestHead(t *testing.T) {
	r := newRig(t, Config{})
	for _, path := range []string{"/healthz", "/readyz", "/api/v1/i18n/packs/es"} {
		got := r.do("HEAD", path, "", "")
		if got.status != 200 || got.body != "" || got.header.Get("Content-Length") == "0" {
			t.Errorf("%s: %+v", path, got)
		}
	}
}

func TestExpectContinue(t *testing.T) {
	r := newRig(t, Config{})
	c := r.dial()
	for range 2 {
		c.say("POST " + completionPath + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin\r\nExpect: 100-continue\r\nContent-Length: " + itoa(len(completion)) + "\r\n\r\n")
		interim, err := c.hearOne()
		if err != nil || interim.status != http.StatusContinue {
			t.Fatalf("%v %v", interim, err)
		}
		c.say(completion)
		if got := c.hear(); got.status != 200 {
			t.Errorf("%d %s", got.status, got.body)
		}
	}
}

func TestTimeouts(t *testing.T) {
	short := 60 * time.Millisecond
	const head = "POST " + completionPath + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin\r\n"
	for _, row := range []struct {
		name, text string
		cfg        Config
		status     int // 0: closed without a word
	}{
		{"silent", "", Config{HeaderTimeout: short}, 0},
		{"half a header", "GET /healthz HTTP/1.1\r\nHo", Config{HeaderTimeout: time.Second}, 408},
		{"half a small body", head + "Content-Length: 100\r\n\r\n{", Config{BodyTimeout: short}, 408},
		{"half a large body", head + "Content-Length: 100000\r\n\r\n" + strings.Repeat(" ", 20_000), Config{BodyTimeout: short}, 408},
		{"half a chunk", head + "Transfer-Encoding: chunked\r\n\r\n5\r\nab", Config{BodyTimeout: short}, 408},
		{"half a gzip", head + "Content-Encoding: gzip\r\nContent-Length: 100000\r\n\r\n" + zip(t, "gzip", completion), Config{BodyTimeout: short}, 408},
	} {
		r := newRig(t, row.cfg)
		c := r.dial()
		c.say(row.text)
		if row.status != 0 {
			if got := c.hear(); got.status != row.status {
				t.Errorf("%s: %d %s", row.name, got.status, got.body)
			}
		}
		c.hearRest(row.name)
	}
	r := newRig(t, Config{IdleTimeout: short})
	c := r.dial()
	c.say("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
	if got := c.hear(); got.status != 200 {
		t.Errorf("%d", got.status)
	}
	c.hearRest("idle")
}

// TestSlowBodyThatMoves: a body may take longer than the time-out as long as it
// keeps up its rate.
func TestSlowBodyThatMoves(t *testing.T) {
	r := newRig(t, Config{BodyTimeout: 300 * time.Millisecond, BodyBytesPerSecond: 100_000})
	prompt := strings.Repeat("x", 1<<20)
	body := `{"system":"s","prompt":"` + prompt + `"}`
	c := r.dial()
	c.say("POST " + completionPath + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin\r\nContent-Length: " + itoa(len(body)) + "\r\n\r\n" +
		body[:128<<10]) // at once: it buys 1.3 s
	body = body[128<<10:]
	for len(body) > 0 { // half a second and more in all
		n := min(len(body), 128<<10)
		c.say(body[:n])
		body = body[n:]
		time.Sleep(60 * time.Millisecond)
	}
	if got := c.hear(); got.status != 200 {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// TestReaderThatStalls: a client that does not take its answer is let go.
func TestReaderThatStalls(t *testing.T) {
	r := newRig(t, Config{WriteStall: 50 * time.Millisecond})
	r.bus.call = func(dispatch.Key, string, dispatch.Call) (string, codec.Part, error) {
		return `"` + strings.Repeat("x", 64<<20) + `"`, codec.Part{Final: true}, nil
	}
	c := r.dial()
	c.say(post(completionPath, "admin", completion))
	eventually(t, "the call is over", func() bool { return r.bus.count() == 1 })
	eventually(t, "the connection is closed", func() bool { return r.server.conns.size() == 0 })
}

func TestMalformed(t *testing.T) {
	r := newRig(t, Config{})
	for text, status := range map[string]int{
		"nonsense\r\n\r\n": 400,
		"GET /healthz HTTP/1.1\r\nHost: x\r\nBad Header\r\n\r\n":                                              400,
		"GET /healthz HTTP/1.1\r\n\r\n":                                                                       400, // no Host
		"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Big: " + strings.Repeat("b", 20_000) + "\r\n\r\n":              431,
		"GET /" + strings.Repeat("p", 20_000) + " HTTP/1.1\r\nHost: x\r\n\r\n":                                431,
		"GET /healthz?q=" + strings.Repeat("p", 8000) + " HTTP/1.1\r\nHost: x\r\nA: b\r\n\r\n":                200,
		"GET http://x/healthz HTTP/1.1\r\nHost: x\r\n\r\n":                                                    200,
		"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n":                                                               404,
		"\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n":                                                    200,
		"GET /healthz HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + strings.Repeat("t", 8000) + "\r\n\r\n": 200,
	} {
		c := r.dial()
		c.say(text)
		if got := c.hear(); got.status != status {
			t.Errorf("%.40q: %d %s, expected %d", text, got.status, got.body, status)
		}
	}
}

func TestGate(t *testing.T) {
	r := newRig(t, Config{MaxInFlight: 1})
	calls := r.waitInCalls()
	c := r.dial()
	c.say(post(completionPath, "admin", completion))
	await(t, "the call starts", calls.started)
	if got := r.do("POST", completionPath, "admin", completion); got.status != 503 || got.header.Get("Retry-After") == "" {
		t.Errorf("over the limit: %d %s", got.status, got.body)
	}
	if got := r.do("GET", "/healthz", "", ""); got.status != 200 {
		t.Errorf("health does not queue: %d", got.status)
	}
	calls.release <- struct{}{}
	if got := c.hear(); got.status != 200 {
		t.Errorf("the running call: %d", got.status)
	}
	calls.release <- struct{}{}
	eventually(t, "there is room again", func() bool { return r.do("POST", completionPath, "admin", completion).status == 200 })
}

func TestHealth(t *testing.T) {
	reason := errors.New("first fetch of the flows is not done")
	var mu sync.Mutex
	r := newRig(t, Config{Ready: func() error {
		mu.Lock()
		defer mu.Unlock()
		return reason
	}})
	if got := r.do("GET", "/healthz", "", ""); got.status != 200 {
		t.Errorf("/healthz: %d", got.status)
	}
	got := r.do("GET", "/readyz", "", "")
	if got.status != 503 || got.body != `{"error": "first fetch of the flows is not done"}` {
		t.Errorf("/readyz: %d %s", got.status, got.body)
	}
	mu.Lock()
	reason = fmt.Errorf("message bus unavailable: %w", errors.New("dial tcp 10.0.0.7:5672: refused"))
	mu.Unlock()
	if got := r.do("GET", "/readyz", "", ""); got.status != 503 || got.body != `{"error": "message bus unavailable"}` {
		t.Errorf("/readyz: %d %s", got.status, got.body)
	}
	mu.Lock()
	reason = nil
	mu.Unlock()
	if got := r.do("GET", "/readyz", "", ""); got.status != 200 {
		t.Errorf("/readyz: %d %s", got.status, got.body)
	}
}

// TestDrain: running calls finish, idle connections go, no new ones come.
func TestDrain(t *testing.T) {
	r := newRig(t, Config{})
	calls := r.waitInCalls()
	busy, idle, silent := r.dial(), r.dial(), r.dial()
	busy.say(post(completionPath, "admin", completion))
	await(t, "the call starts", calls.started)
	idle.say("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
	if got := idle.hear(); got.status != 200 {
		t.Fatal(got.status)
	}
	eventually(t, "all are known", func() bool { return len(r.server.conns.snapshot(true)) == 2 })
	done := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		done <- r.server.Shutdown(ctx)
	}()
	idle.hearEnd()
	silent.hearEnd()
	if err := r.server.ready(); !errors.Is(err, errDraining) {
		t.Errorf("still ready: %v", err)
	}
	calls.release <- struct{}{}
	if got := busy.hear(); got.status != 200 || !got.close {
		t.Errorf("the running call: %+v", got)
	}
	if err := <-done; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if _, err := http.Get("http://" + r.addr + "/healthz"); err == nil { //nolint:noctx,bodyclose // expected to fail
		t.Error("still accepting")
	}
}

// TestDrainCuts: what is not done in time is ended, and Shutdown returns after it.
func TestDrainCuts(t *testing.T) {
	r := newRig(t, Config{})
	started, gone, proceed := make(chan struct{}, 1), make(chan struct{}, 1), make(chan struct{})
	r.bus.call = func(_ dispatch.Key, _ string, c dispatch.Call) (string, codec.Part, error) {
		started <- struct{}{}
		<-c.Gone
		gone <- struct{}{}
		<-proceed
		return "", codec.Part{}, dispatch.ErrGone
	}
	c := r.dial()
	c.say(post(completionPath, "admin", completion))
	await(t, "the call starts", started)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	done := make(chan error, 1)
	go func() { done <- r.server.Shutdown(ctx) }()
	await(t, "the call ends", gone)
	c.hearEnd()
	time.Sleep(50 * time.Millisecond)
	if len(done) != 0 {
		t.Error("Shutdown did not wait for the handler")
	}
	close(proceed)
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown: %v", err)
	}
	if n := r.server.gate.n.Load(); n != 0 {
		t.Errorf("%d requests left", n)
	}
}

func TestServeAfterShutdown(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := New(Config{Logger: quiet()}, Deps{})
	if err := s.Shutdown(context.Background()); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if err := s.Serve(ln); err != nil {
		t.Errorf("Serve: %v", err)
	}
	if _, err := ln.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the port is still open: %v", err)
	}
}

// TestMetricsAreKept: what happens is counted, under names that never vary with
// what clients send.
func TestMetricsAreKept(t *testing.T) {
	r := newRig(t, Config{})
	r.do("POST", completionPath, "admin", completion)
	r.do("POST", "/api/v1/made-up-by-a-client", "", "")
	families, err := prometheus.DefaultGatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]string)
	for _, f := range families {
		found[f.GetName()] = f.String()
	}
	for _, name := range []string{
		"sluice_http_requests_total", "sluice_http_request_seconds", "sluice_http_in_flight", "sluice_http_body_bytes",
		"sluice_http_shed_total", "sluice_http_connections", "sluice_http_clients_gone_total", "sluice_http_panics_total",
	} {
		if found[name] == "" {
			t.Errorf("%s is missing", name)
		}
		if strings.Contains(found[name], "made-up") {
			t.Errorf("%s has a client's text for a label", name)
		}
	}
}

// TestAccessLog: paths, never queries, tokens or bodies.
func TestAccessLog(t *testing.T) {
	var mu sync.Mutex
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(lockedWriter{&mu, &out}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	r := newRig(t, Config{Logger: log})
	r.do("POST", completionPath+"?token=tg_secret1", "tg_secret2", `{"secret3":1}`)
	r.do("POST", completionPath+"?token=tg_secret1", "admin", `{"secret3":`)
	c := r.dial()
	c.say("GET /?token=tg_secret1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer tg_secret2\r\nbroken\r\n\r\n")
	c.hear()
	mu.Lock()
	defer mu.Unlock()
	if text := out.String(); !strings.Contains(text, completionPath) || strings.Contains(text, "secret") {
		t.Errorf("log: %s", text)
	}
}

type lockedWriter struct {
	mu  *sync.Mutex
	out *bytes.Buffer
}

func (w lockedWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.out.Write(p)
}
