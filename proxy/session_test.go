package proxy

import (
	"net/http"
	"strings"
	"testing"

	"github.com/fasthttp/websocket"
)

const (
	authRequired = `"error":{"message":"auth failure","type":"auth-required"},"complete":true}`
	accessDenied = `"error":{"message":"access denied","type":"access-denied"},"complete":true}`
	badMessage   = `"error":{"message":"Bad message","type":"error"},"complete":true}`
)

func TestSocketHandshake(t *testing.T) {
	r := newSocketRig(t, Config{AllowedOrigins: []string{"https://app.example"}})
	get := func(headers ...string) (int, string) {
		req, _ := http.NewRequest(http.MethodGet, "http://"+r.addr+"/api/v1/socket", nil) //nolint:noctx // a test
		for i := 0; i < len(headers); i += 2 {
			req.Header.Set(headers[i], headers[i+1])
		}
		transport := &http.Transport{DisableKeepAlives: true}
		resp, err := (&http.Client{Transport: transport, Timeout: patience}).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		a := readAnswer(t, resp)
		return a.status, a.header.Get("Content-Type") + "|" + a.body
	}
	upgrade := func(more ...string) []string {
		return append([]string{"Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13",
			"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="}, more...)
	}
	for _, c := range []struct {
		name    string
		headers []string
		status  int
		body    string
	}{
		{"plain GET", nil, 400, "text/plain; charset=utf-8|No WebSocket UPGRADE hdr: None\n Can \"Upgrade\" only to \"WebSocket\"."},
		{"old version", upgrade("Sec-WebSocket-Version", "8"), 400, "text/plain; charset=utf-8|Unsupported version"},
		{"no key", upgrade("Sec-WebSocket-Key", ""), 400, "text/plain; charset=utf-8|Handshake error"},
		{"short key", upgrade("Sec-WebSocket-Key", "abcd"), 400, "text/plain; charset=utf-8|Handshake error"},
		{"foreign origin", upgrade("Origin", "https://evil.example"), 403, "text/plain; charset=utf-8|403: Forbidden"},
	} {
		if status, body := get(c.headers...); status != c.status || body != c.body {
			t.Errorf("%s: %d %s", c.name, status, body)
		}
	}
	for _, origin := range []string{"https://app.example", "HTTPS://APP.example"} {
		c := r.dial("", "Origin", origin)
		c.say(`{"id":1,"request":{}}`)
		c.expect(`{"id":1,` + authRequired)
	}
	c := r.dial("")
	c.say(`{"id":1,"request":{}}`)
	c.expect(`{"id":1,` + authRequired)
}

func TestSocketAnyOrigin(t *testing.T) {
	r := newSocketRig(t, Config{})
	c := r.dial("", "Origin", "https://anybody.example")
	c.say(`{"type":"auth","token":"admin"}`)
	c.expect(`{"type":"auth-ok","workspace":"default"}`)
}

// TestSocketFramesInOrder is every row of gateway.md 9.4 and what follows in 9.6.
func TestSocketFramesInOrder(t *testing.T) {
	r := newSocketRig(t, Config{})
	r.completions("acme", nil)
	r.completions("default", nil)
	c := r.dial("")
	long := `"` + strings.Repeat("x", maxIDBytes) + `"`
	c.say(
		`{"id":1`, `[1]`, `{}`, `{"id":7}`, `{"id":"","request":{}}`, `{"id":0}`, `{"request":{}}`, `{"id":`+long+`,"request":{}}`,
		`{"id":null,"request":null}`, askFrame(`{"a":[1, 2]}`, "hi"), `{"id":1,"request":{},"workspace":"other"}`,
		`{"type":"auth"}`, `{"type":"auth","token":""}`, `{"type":"auth","token":["admin"]}`, `{"type":"auth","token":"wrong","id":5,"request":{}}`,
	)
	if got := c.hear(); !strings.HasPrefix(got, `{"error":{"message":"invalid JSON at byte`) || !strings.HasSuffix(got, `"type":"error"},"complete":true}`) {
		t.Error(got)
	}
	c.expect(
		`{"error":{"message":"a frame must be a JSON object","type":"error"},"complete":true}`,
		`{`+badMessage, `{"id":7,`+badMessage, `{"id":"",`+authRequired, `{`+badMessage, `{`+badMessage, `{`+badMessage,
		`{"id":null,`+authRequired, `{"id":{"a":[1, 2]},`+authRequired, `{"id":1,`+authRequired,
	)
	for range 4 {
		c.expect(`{"type":"auth-failed","error":"auth failure"}`)
	}
	c.say(`{"type":"auth","token":"writer"}`)
	c.expect(`{"type":"auth-ok","workspace":"acme"}`)
	for _, row := range []struct{ frame, want string }{
		// The workspace comes before the service.
		{`{"id":1,"request":{},"workspace":"other"}`, `{"id":1,` + accessDenied},
		{`{"id":1,"request":{"workspace":"other"}}`, `{"id":1,` + accessDenied},
		{`{"id":1,"request":{}}`, `{"id":1,"error":{"message":"'service'","type":"error"},"complete":true}`},
		{`{"id":0,"request":{}}`, `{"error":{"message":"'service'","type":"error"},"complete":true}`},
		{`{"id":2,"service":"text-completion","request":{}}`, `{"id":2,"error":{"message":"'text-completion'","type":"error"},"complete":true}`},
		{`{"id":2,"service":"nope","request":{}}`, `{"id":2,"error":{"message":"'nope'","type":"error"},"complete":true}`},
		{`{"id":2,"service":["a"],"request":{}}`, `{"id":2,"error":{"message":"'[\"a\"]'","type":"error"},"complete":true}`},
		{`{"id":3,"flow":"f","service":"config","request":{}}`, `{"id":3,"error":{"message":"Invalid kind","type":"error"},"complete":true}`},
		{`{"id":3,"flow":"f","service":"nope","request":{}}`, `{"id":3,"error":{"message":"Invalid kind","type":"error"},"complete":true}`},
		{`{"id":4,"flow":"x","service":"text-completion","request":{"system":"","prompt":""}}`, `{"id":4,"error":{"message":"Invalid flow acme/x","type":"error"},"complete":true}`},
		{`{"id":4,"flow":7,"service":"text-completion","request":{"system":"","prompt":""}}`, `{"id":4,"error":{"message":"Invalid flow acme/7","type":"error"},"complete":true}`},
		{`{"id":5,"flow":"f","service":"agent","request":{"question":"q"}}`, `{"id":5,"error":{"message":"This kind not supported by flow","type":"error"},"complete":true}`},
		{askFrame("6", "sad"), `{"id":6,"response":{"error":{"type":"llm-error","message":"boom"}},"complete":true}`},
		{`{"id":7,"flow":"f","service":"text-completion","request":{"system":"s"}}`, `{"id":7,"response":{"error":{"type":"gateway-error","message":"missing required member \"prompt\""}},"complete":true}`},
		{`{"id":8,"flow":"f","service":"text-completion","request":[]}`, `{"id":8,"response":{"error":{"type":"gateway-error","message":"the body must be a JSON object"}},"complete":true}`},
		{askFrame(`"nine"`, "hello"), answerFrame(`"nine"`, "hello", true)},
		{askFrame(` [ 1 ] `, "hello"), answerFrame(`[ 1 ]`, "hello", true)},
		{`{"id":1.50e1,"flow":"f","service":"text-completion","request":{"system":"s","prompt":"é\n","extra":1},"other":true}`, answerFrame(`1.50e1`, "é\n", true)},
		{`{"id":10,"flow":"f","service":"text-load","request":{"text":1}}`, `{"id":10,"response":{"error":"\"text\" must be a string"},"complete":true}`},
	} {
		c.say(row.frame)
		if got := c.hear(); got != row.want {
			t.Errorf("%s\ngot  %s\nwant %s", row.frame, got, row.want)
		}
	}
	// Binary frames are read like text.
	if err := c.WriteMessage(websocket.BinaryMessage, []byte(askFrame("11", "b"))); err != nil {
		t.Fatal(err)
	}
	c.expect(answerFrame("11", "b", true))
	c.say(askFrame("12", "garbage"))
	if got := c.hear(); !strings.HasPrefix(got, `{"id":12,"response":{"error":{"type":"gateway-error","message":"malformed answer`) ||
		!strings.HasSuffix(got, `"complete":true}`) {
		t.Error(got)
	}
}

func TestSocketStreams(t *testing.T) {
	r := newSocketRig(t, Config{})
	r.completions("acme", nil)
	c := r.dial("?token=writer")
	c.say(askFrame("1", "stream"), askFrame(`"1"`, "stream"))
	got := map[string][]string{}
	for range 6 {
		f := c.hear()
		id, _, _ := strings.Cut(strings.TrimPrefix(f, `{"id":`), `,"response"`)
		got[id] = append(got[id], f)
	}
	for _, id := range []string{"1", `"1"`} {
		want := []string{answerFrame(id, "one", false), answerFrame(id, "two", false), answerFrame(id, "three", true)}
		if strings.Join(got[id], "\n") != strings.Join(want, "\n") {
			t.Errorf("%s: %v", id, got[id])
		}
	}
}

func TestSocketSender(t *testing.T) {
	r := newSocketRig(t, Config{})
	queued := make(chan string, 1)
	r.serve("flow:tg:text-load:acme", "response:tg:unused", func(body string, _ func(string)) { queued <- body })
	c := r.dial("?token=writer")
	c.say(`{"id":1,"flow":"f","service":"text-load","request":{"id":"d","text":"aGk="}}`)
	c.expect(`{"id":1,"response":{},"complete":true}`)
	eventually(t, "the text is in the queue", func() bool { return len(queued) == 1 })
	if body := <-queued; !strings.Contains(body, `"text":"hi"`) {
		t.Error(body)
	}
	d := r.dial("?token=reader")
	d.say(`{"id":1,"flow":"f","service":"text-load","request":{"id":"d","text":"aGk="}}`)
	d.expect(`{"id":1,` + accessDenied)
}
