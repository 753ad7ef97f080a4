package proxy

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"strings"
	"testing"

	"sluice/codec"
	"sluice/pool"
	"sluice/proxy/dispatch"
)

func TestLiveFormOf(t *testing.T) {
	for accept, want := range map[string]liveForm{
		"": notLive, "*/*": notLive, "application/json": notLive, "text/html": notLive,
		"text/event-stream":                                    liveEvents,
		"Text/Event-Stream; charset=utf-8":                     liveEvents,
		"application/x-ndjson":                                 liveLines,
		"text/html, application/x-ndjson":                      liveLines,
		"text/event-stream, application/x-ndjson":              liveEvents,
		"application/x-ndjson,text/event-stream":               liveLines,
		"application/json, text/event-stream":                  notLive,
		"text/event-stream, application/json;q=0.1":            notLive,
		"text/event-stream, */*;q=0.1":                         notLive,
		"text/event-stream, application/*":                     notLive,
		"text/event-stream, application/json;q=0":              liveEvents,
		"text/event-stream, */* ; q=0.000":                     liveEvents,
		"text/event-stream;q=0":                                notLive,
		"text/event-stream;q=0, application/x-ndjson;q=1":      liveLines,
		"text/event-streams":                                   notLive,
		",,text/event-stream,":                                 liveEvents,
		"application/vnd.api+json, text/event-stream;x=y;q=.5": liveEvents,
	} {
		if got := liveFormOf([]byte(accept)); got != want {
			t.Errorf("%q: %d", accept, got)
		}
	}
}

// told is a buffer with a bus message.
func told(text string) *pool.Buffer { return pool.Wrap([]byte(text)) }

func token(text string, last bool) string {
	return fmt.Sprintf(`{"response":%q,"end_of_stream":%v}`, text, last)
}

// api is what a text-completion part becomes.
func api(t *testing.T, msg string) string {
	t.Helper()
	out, _, err := codec.AppendResponse(nil, codec.TextCompletion, []byte(msg))
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// sinks hands the sinks of streamed calls to the test.
func (r *rig) sinks() chan dispatch.Sink {
	c := make(chan dispatch.Sink, 16)
	r.bus.stream = func(_ dispatch.Key, _ string, sink dispatch.Sink) error {
		c <- sink
		return nil
	}
	return c
}

func livePost(path, token, accept, body string) string {
	return "POST " + path + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + token + "\r\nAccept: " + accept +
		"\r\nContent-Length: " + itoa(len(body)) + "\r\n\r\n" + body
}

// hearChunk reads one chunk as it was sent.
func (c *wireConn) hearChunk() string {
	c.t.Helper()
	var size int
	if _, err := fmt.Fscanf(c.in, "%x\r\n", &size); err != nil {
		c.t.Fatalf("no chunk: %v", err)
	}
	text := make([]byte, size+2)
	if _, err := io.ReadFull(c.in, text); err != nil {
		c.t.Fatal(err)
	}
	return string(text[:size])
}

func (c *wireConn) hearHead() (head string) {
	c.t.Helper()
	for !strings.HasSuffix(head, "\r\n\r\n") {
		line, err := c.in.ReadString('\n')
		if err != nil {
			c.t.Fatalf("no header: %v", err)
		}
		head += line
	}
	return head
}

// TestTokensAppearOneByOne: each part is on the wire before the next one exists.
func TestTokensAppearOneByOne(t *testing.T) {
	for accept, row := range map[string]struct{ typ, open, end, last string }{
		"text/event-stream":    {eventsType, "data: ", "\n\n", "event: end\ndata: {}\n\n"},
		"application/x-ndjson": {linesType, "", "\n", ""},
	} {
		r := newRig(t, Config{})
		sinks := r.sinks()
		c := r.dial()
		c.say(livePost(completionPath, "admin", accept, completion))
		sink := <-sinks
		if _, msg := r.bus.last(t); !strings.Contains(msg, `"streaming":true`) {
			t.Errorf("%s: asked for %s", accept, msg)
		}
		sink.Part(told(token("one", false)), false)
		if head := c.hearHead(); !strings.HasPrefix(head, "HTTP/1.1 200 ") || !strings.Contains(head, "Content-Type: "+row.typ) ||
			!strings.Contains(head, "Transfer-Encoding: chunked") {
			t.Errorf("%s: %s", accept, head)
		}
		if got := c.hearChunk(); got != row.open+api(t, token("one", false))+row.end {
			t.Errorf("%s: %q", accept, got)
		}
		for _, text := range []string{"two", "three"} {
			sink.Part(told(token(text, false)), false)
			if got := c.hearChunk(); got != row.open+api(t, token(text, false))+row.end {
				t.Errorf("%s: %q", accept, got)
			}
		}
		sink.Part(told(token("", true)), true)
		if got := c.hearChunk(); got != row.open+api(t, token("", true))+row.end+row.last {
			t.Errorf("%s: %q", accept, got)
		}
		if got := c.hearChunk(); got != "" {
			t.Errorf("%s: %q after the end", accept, got)
		}
		c.say("GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n") // the connection serves on
		if got := c.hear(); got.status != 200 {
			t.Error(got.status)
		}
		eventually(t, "nothing is in flight", func() bool {
			return r.server.gate.n.Load() == 0 && r.server.budget.used.Load() == 0
		})
	}
}

// hearLive reads a whole live answer.
func (r *rig) hearLive(accept, path, body string) answer {
	return r.do("POST", path, "admin", body, "Accept", accept)
}

// TestLiveNeedsToBeAskedFor: the answer of the contract for everybody else.
func TestLiveNeedsToBeAskedFor(t *testing.T) {
	r := newRig(t, Config{})
	for _, accept := range []string{"", "*/*", "application/json", "text/event-stream, application/json"} {
		got := r.do("POST", completionPath, "admin", completion, "Accept", accept)
		if got.status != 200 || got.body != `{"ok":true}` {
			t.Errorf("%q: %d %s", accept, got.status, got.body)
		}
		if _, msg := r.bus.last(t); !strings.Contains(msg, `"streaming":false`) {
			t.Errorf("%q: asked for %s", accept, msg)
		}
	}
}

// TestLiveFailsFirst: a status as long as that is possible.
func TestLiveFailsFirst(t *testing.T) {
	for _, row := range []struct {
		name   string
		run    func(sink dispatch.Sink) error
		status int
		want   string
	}{
		{"unknown flow", func(dispatch.Sink) error { return &dispatch.UnknownFlowError{Workspace: "default", Flow: "f"} }, 404, `{"error": "Invalid flow default/f"}`},
		{"broker away", func(dispatch.Sink) error { return dispatch.ErrUnavailable }, 503, `{"error": "message bus unavailable"}`},
		{"no service", func(s dispatch.Sink) error { s.Fail(dispatch.ErrNoService); return nil }, 503, fmt.Sprintf(gateway, "no service is listening")},
		{"time-out", func(s dispatch.Sink) error { s.Fail(fmt.Errorf("x: %w", dispatch.ErrTimeout)); return nil }, 504, fmt.Sprintf(gateway, "Timeout")},
		{"service error", func(s dispatch.Sink) error {
			s.Part(told(`{"error":{"type":"llm","message":"boom"}}`), true)
			return nil
		}, 502, `{"error":{"type":"llm","message":"boom"}}`},
		{"garbage", func(s dispatch.Sink) error { s.Part(told(`{`), true); return nil }, 502, `{"error": {"type": "gateway-error", "message": "malformed answer`},
		{"bug", func(dispatch.Sink) error { return errors.New("secret") }, 500, "500 Internal"},
	} {
		for _, accept := range []string{"text/event-stream", "application/x-ndjson"} {
			r := newRig(t, Config{})
			r.bus.stream = func(_ dispatch.Key, _ string, sink dispatch.Sink) error { return row.run(sink) }
			if got := r.hearLive(accept, completionPath, completion); got.status != row.status || !strings.HasPrefix(got.body, row.want) {
				t.Errorf("%s: %d %s", row.name, got.status, got.body)
			}
		}
	}
	r := newRig(t, Config{})
	for _, row := range []struct {
		token, body string
		status      int
	}{{"nobody", completion, 403}, {"", completion, 401}, {"admin", `{nope`, 200}} {
		if got := r.do("POST", completionPath, row.token, row.body, "Accept", "text/event-stream"); got.status != row.status || got.header.Get("Content-Type") != jsonType {
			t.Errorf("%s as %q: %d %s", row.body, row.token, got.status, got.body)
		}
	}
}

// TestLiveFailsLater: in band, and without the event that says that all is well.
func TestLiveFailsLater(t *testing.T) {
	for name, run := range map[string]func(sink dispatch.Sink) string{
		"service error": func(s dispatch.Sink) string {
			s.Part(told(`{"error":{"type":"llm","message":"boom"}}`), true)
			return `{"error":{"type":"llm","message":"boom"}}`
		},
		"garbage": func(s dispatch.Sink) string {
			s.Part(told(`{`), true)
			return `{"error":{"type":"gateway-error","message":"malformed answer of the service: invalid JSON at byte 1: expected a member name in double quotes"}}`
		},
		"time-out": func(s dispatch.Sink) string {
			s.Fail(fmt.Errorf("x: %w", dispatch.ErrTimeout))
			return `{"error":{"type":"gateway-error","message":"Timeout"}}`
		},
		"flow stopped": func(s dispatch.Sink) string {
			s.Fail(dispatch.ErrFlowStopped)
			return `{"error":{"type":"gateway-error","message":"Flow stopped"}}`
		},
	} {
		for accept, frame := range map[string]string{"text/event-stream": "data: %s\n\n", "application/x-ndjson": "%s\n"} {
			r := newRig(t, Config{})
			var last string
			r.bus.stream = func(_ dispatch.Key, _ string, sink dispatch.Sink) error {
				sink.Part(told(token("one", false)), false)
				last = run(sink)
				return nil
			}
			got := r.hearLive(accept, completionPath, completion)
			if want := fmt.Sprintf(frame, api(t, token("one", false))) + fmt.Sprintf(frame, last); got.status != 200 || got.body != want {
				t.Errorf("%s: %d %q, expected %q", name, got.status, got.body, want)
			}
		}
	}
}

// TestLiveKinds: kinds without a `streaming` member, and those that are sent.
func TestLiveKinds(t *testing.T) {
	r := newRig(t, Config{})
	r.bus.stream = func(k dispatch.Key, _ string, sink dispatch.Sink) error {
		if k.Kind.IsSend() {
			sink.Part(nil, true)
		} else {
			sink.Part(told(`{"version":3}`), true)
		}
		return nil
	}
	if got := r.hearLive("application/x-ndjson", loadPath, loadBody); got.status != 200 || got.body != "{}\n" {
		t.Errorf("%d %q", got.status, got.body)
	}
	if got := r.hearLive("text/event-stream", "/api/v1/config", `{"operation":"config"}`); got.status != 200 ||
		got.body != "data: {\"version\":3,\"values\":[],\"directory\":[],\"config\":{}}\n\nevent: end\ndata: {}\n\n" {
		t.Errorf("%d %q", got.status, got.body)
	}
}

// TestLiveDownloads: answers that can outrun the client are not queued here.
func TestLiveDownloads(t *testing.T) {
	r := newRig(t, Config{})
	const path, body = "/api/v1/librarian", `{"operation":"stream-document","document-id":"d"}`
	r.bus.download = script(nil, chunkPart("one", false), chunkPart("two", true))
	line := func(text string) string {
		return `{"document-metadatas":[],"processing-metadatas":[],"content":"` + text + `"}`
	}
	got := r.hearLive("application/x-ndjson", path, body)
	if members := strings.Count(got.body, "\n"); got.status != 200 || members != 2 || !strings.Contains(got.body, `"content":"b25l"`) || !strings.Contains(got.body, `"content":"dHdv"`) {
		t.Errorf("%d %q, about %s", got.status, got.body, line("b25l"))
	}
	if _, msg := r.bus.last(t); !strings.Contains(msg, `"workspace":"default"`) || !strings.Contains(msg, `"document_id":"d"`) {
		t.Error(msg)
	}
	r.bus.download = script(dispatch.ErrTimeout, chunkPart("one", false))
	got = r.hearLive("text/event-stream", path, body)
	if got.status != 200 || !strings.HasSuffix(got.body, "data: {\"error\":{\"type\":\"gateway-error\",\"message\":\"Timeout\"}}\n\n") {
		t.Errorf("%d %q", got.status, got.body)
	}
	r.bus.download = script(nil, fmt.Sprintf(busFail, "not-found"))
	got = r.hearLive("text/event-stream", path, body)
	if got.status != 502 || got.body != `{"error":{"type":"not-found","message":"no such thing"}}` {
		t.Errorf("%d %q", got.status, got.body)
	}
}

// TestLiveFraming: no line break of a service ends an event or a line too early.
func TestLiveFraming(t *testing.T) {
	r := newRig(t, Config{})
	const msg = "{\"version\":1,\r\n\"config\":{\n\"a\":\r\"b\\n\"\n}}"
	r.bus.stream = func(_ dispatch.Key, _ string, sink dispatch.Sink) error {
		sink.Part(told(msg), true)
		return nil
	}
	for accept, lines := range map[string]int{"text/event-stream": 5, "application/x-ndjson": 1} {
		got := r.hearLive(accept, "/api/v1/config", `{"operation":"config"}`)
		if strings.Count(got.body, "\n") != lines || strings.Contains(got.body, "\r") || !strings.Contains(got.body, `"b\n"`) {
			t.Errorf("%q", got.body)
		}
	}
}

// TestLivePartsGather: what has come meanwhile leaves together.
func TestLivePartsGather(t *testing.T) {
	r := newRig(t, Config{})
	r.bus.stream = func(_ dispatch.Key, _ string, sink dispatch.Sink) error {
		for range 100 {
			sink.Part(told(token("x", false)), false)
		}
		sink.Part(told(token("", true)), true)
		return nil
	}
	c := r.dial()
	c.say(livePost(completionPath, "admin", "application/x-ndjson", completion))
	c.hearHead()
	if got := c.hearChunk(); strings.Count(got, "\n") != 101 {
		t.Errorf("%d parts in the first chunk", strings.Count(got, "\n"))
	}
}

// TestLiveClientTooSlow: it costs no more than the queue may hold, and the client
// is told.
func TestLiveClientTooSlow(t *testing.T) {
	r := newRig(t, Config{})
	sinks := r.sinks()
	c := r.dial()
	_ = c.SetReadBuffer(16 << 10)
	c.say(livePost(completionPath, "admin", "application/x-ndjson", completion))
	sink := <-sinks
	part := token(strings.Repeat("x", 1<<20), false)
	var most int64
	for range 200 {
		sink.Part(told(part), false)
		most = max(most, r.server.budget.used.Load())
	}
	if most > 3*liveQueueBytes {
		t.Errorf("%d bytes were held", most)
	}
	body, err := io.ReadAll(httputil.NewChunkedReader(skipHead(c)))
	if err != nil {
		t.Fatal(err)
	}
	text := string(body)
	if last := text[strings.LastIndex(text[:len(text)-1], "\n")+1:]; last != `{"error":{"type":"gateway-error","message":"the client reads too slowly"}}`+"\n" {
		t.Errorf("%.200q", last)
	}
	eventually(t, "nothing is held", func() bool {
		return r.server.budget.used.Load() == 0 && r.server.gate.n.Load() == 0
	})
}

func skipHead(c *wireConn) io.Reader {
	c.hearHead()
	return c.in
}

// TestLiveBudget: all live answers together are bounded as well.
func TestLiveBudget(t *testing.T) {
	r := newRig(t, Config{BodyBudgetBytes: 1000})
	r.bus.stream = func(_ dispatch.Key, _ string, sink dispatch.Sink) error {
		sink.Part(told(token(strings.Repeat("x", 2000), false)), false)
		sink.Part(told(token("", true)), true)
		return nil
	}
	if got := r.hearLive("text/event-stream", completionPath, completion); got.status != 503 {
		t.Errorf("%d %s", got.status, got.body)
	}
	if used := r.server.budget.used.Load(); used != 0 {
		t.Errorf("%d bytes are still taken", used)
	}
}

// TestLiveClientLeaves: before the first part, and between two.
func TestLiveClientLeaves(t *testing.T) {
	for name, leave := range map[string]func(c *wireConn){
		"reset": func(c *wireConn) { _ = c.SetLinger(0); _ = c.Close() },
		"close": func(c *wireConn) { _ = c.Close() },
	} {
		for _, accept := range []string{"text/event-stream", "application/x-ndjson"} {
			for _, parts := range []int{0, 1} {
				t.Run(fmt.Sprint(name, accept, parts), func(t *testing.T) {
					r := newRig(t, Config{})
					sinks := r.sinks()
					c := r.dial()
					c.say(livePost(completionPath, "admin", accept, completion))
					sink := <-sinks
					if parts > 0 {
						sink.Part(told(token("one", false)), false)
						c.hearHead()
						c.hearChunk()
					}
					leave(c)
					eventually(t, "the stream ends", func() bool {
						r.scanNow()
						return r.server.gate.n.Load() == 0
					})
					body := told(token("late", false))
					sink.Part(body, false) // nobody takes it, nobody minds
					sink.Fail(dispatch.ErrTimeout)
					eventually(t, "the connection ends", func() bool { return r.server.conns.size() == 0 })
				})
			}
		}
	}
}

// TestLiveHalfClosedClient: it sends no more and gets all of its answer.
func TestLiveHalfClosedClient(t *testing.T) {
	r := newRig(t, Config{})
	sinks := r.sinks()
	c := r.dial()
	c.say(livePost(completionPath, "admin", "text/event-stream", completion))
	sink := <-sinks
	sink.Part(told(token("one", false)), false)
	c.hearHead()
	c.hearChunk()
	_ = c.CloseWrite()
	if got := c.hearChunk(); got != ":\n\n" { // which asks whether anybody reads
		t.Errorf("%q", got)
	}
	sink.Part(told(token("", true)), true)
	for {
		if got := c.hearChunk(); strings.HasSuffix(got, "event: end\ndata: {}\n\n") {
			break
		} else if got != ":\n\n" {
			t.Fatalf("%q", got)
		}
	}
}

func TestLiveNeedsHTTP11(t *testing.T) {
	r := newRig(t, Config{})
	c := r.dial()
	c.say(strings.Replace(livePost(completionPath, "admin", "text/event-stream", completion), "HTTP/1.1", "HTTP/1.0", 1))
	if got := c.hear(); got.status != http.StatusHTTPVersionNotSupported {
		t.Error(got.status)
	}
	if r.bus.count() > 0 {
		t.Error("it was run")
	}
}
