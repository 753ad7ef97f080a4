package proxy

import (
	"strings"
	"testing"
)

const smuggled = "POST /api/v1/config HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin\r\nContent-Length: 19\r\n\r\n{\"operation\":\"get\"}"

// TestSmuggling: nothing inside a body is ever taken for a request.
func TestSmuggling(t *testing.T) {
	const head = "POST " + completionPath + " HTTP/1.1\r\nHost: x\r\n"
	const admin = "Authorization: Bearer admin\r\n"
	big := strings.Repeat("x", 100<<10) + smuggled
	for _, row := range []struct {
		name, text string
		status     int // of the one answer
		// closes tells that the connection must end after it
		closes bool
	}{
		{"a request in a body", head + admin + "Content-Length: " + itoa(len(smuggled)) + "\r\n\r\n" + smuggled, 200, false},
		{"after an early 401", head + "Content-Length: " + itoa(len(smuggled)) + "\r\n\r\n" + smuggled, 401, false},
		{"after an early 401, large", head + "Content-Length: " + itoa(len(big)) + "\r\n\r\n" + big, 401, true},
		{"after an early 401, chunked", head + "Transfer-Encoding: chunked\r\n\r\n" + chunks(smuggled, 50) + "0\r\n\r\n", 401, true},
		{"after an early 404", "POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: " + itoa(len(smuggled)) + "\r\n\r\n" + smuggled, 404, false},
		{"after an early 404, large", "POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: " + itoa(len(big)) + "\r\n\r\n" + big, 404, true},
		{"after a 405", "PUT /api/v1/config HTTP/1.1\r\nHost: x\r\nContent-Length: " + itoa(len(smuggled)) + "\r\n\r\n" + smuggled, 405, false},
		{"after a 413", head + admin + "Content-Length: 1000000\r\n\r\n" + big, 413, true},
		{"after a 413, chunked", head + admin + "Transfer-Encoding: chunked\r\n\r\n" + chunks(strings.Repeat(" ", 300_000), 9000) + smuggled, 413, true},
		{"after a 415", head + admin + "Content-Encoding: br\r\nContent-Length: " + itoa(len(smuggled)) + "\r\n\r\n" + smuggled, 415, false},
		{"after broken gzip", head + admin + "Content-Encoding: gzip\r\nContent-Length: " + itoa(len(smuggled)) + "\r\n\r\n" + smuggled, 400, false},
		{"body of a GET", "GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: " + itoa(len(smuggled)) + "\r\n\r\n" + smuggled, 200, false},
		{"large body of a GET", "GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: " + itoa(len(big)) + "\r\n\r\n" + big, 200, true},
		{"unread body of bootstrap", "POST /api/v1/auth/bootstrap HTTP/1.1\r\nHost: x\r\nContent-Length: " + itoa(len(smuggled)) + "\r\n\r\n" + smuggled, 401, false},

		{"length and chunks", head + admin + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled, 400, true},
		{"chunks and length", head + admin + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + smuggled, 400, true},
		{"two lengths", head + admin + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello" + smuggled, 400, true},
		{"two equal lengths", head + admin + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello" + smuggled, 400, true},
		{"list of lengths", head + admin + "Content-Length: 5, 5\r\n\r\nhello" + smuggled, 400, true},
		{"signed length", head + admin + "Content-Length: +5\r\n\r\nhello" + smuggled, 400, true},
		{"negative length", head + admin + "Content-Length: -5\r\n\r\nhello" + smuggled, 400, true},
		{"huge length", head + admin + "Content-Length: 99999999999999999999\r\n\r\nhello" + smuggled, 400, true},
		{"hexadecimal length", head + admin + "Content-Length: 0x5\r\n\r\nhello" + smuggled, 400, true},
		{"blank before the colon", head + admin + "Content-Length : 5\r\n\r\nhello" + smuggled, 400, true},
		{"identity coding", head + admin + "Transfer-Encoding: identity\r\n\r\n" + smuggled, 400, true},
		{"identity coding and length", head + admin + "Content-Length: 5\r\nTransfer-Encoding: identity\r\n\r\nhello" + smuggled, 400, true},
		{"gzip coding", head + admin + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + smuggled, 400, true},
		{"unknown coding", head + admin + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + smuggled, 400, true},
		{"two codings", head + admin + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled, 400, true},
		{"coding with a tab", head + admin + "Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n" + smuggled, 400, true},
		{"folded coding", head + admin + "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" + smuggled, 400, true},
		{"folded header", head + admin + "X-A: b\r\n c\r\nContent-Length: 0\r\n\r\n" + smuggled, 400, true},
		{"bare LF lines", head + admin + "X-A: b\nContent-Length: 0\r\n\r\n" + smuggled, 400, true},
		{"chunks on HTTP/1.0", "POST " + completionPath + " HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled, 400, true},
		{"another version", "POST " + completionPath + " HTTP/9.9\r\nHost: x\r\nContent-Length: 0\r\n\r\n" + smuggled, 505, true},
		{"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + smuggled, 400, true},
		{"bad chunk size", head + admin + "Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n" + smuggled, 400, true},
		{"negative chunk size", head + admin + "Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n" + smuggled, 400, true},
		{"huge chunk size", head + admin + "Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n" + smuggled, 400, true},
		{"chunk without its end", head + admin + "Transfer-Encoding: chunked\r\n\r\n5\r\nhelloX0\r\n\r\n" + smuggled, 400, true},
		{"LF in a chunk extension", head + admin + "Transfer-Encoding: chunked\r\n\r\n5;a\nb\r\nhello\r\n0\r\n\r\n" + smuggled, 400, true},
	} {
		r := newRig(t, Config{MaxBodyBytes: 200_000, LoginRate: 0.001, LoginBurst: 1})
		r.server.logins.allow(addressOf(r.dial().LocalAddr())) // use up the burst: bootstrap answers at once
		c := r.dial()
		c.say(row.text)
		if got := c.hear(); got.status != row.status {
			t.Errorf("%s: %d %s, expected %d", row.name, got.status, got.body, row.status)
		}
		if !row.closes {
			// What follows on the connection is the next request, and the only one.
			c.say("GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
			if got := c.hear(); got.status != 200 || !strings.Contains(got.body, "ready") {
				t.Errorf("%s, next request: %d %s", row.name, got.status, got.body)
			}
		}
		c.hearRest(row.name)
		if n := r.bus.count(); n > 0 {
			if key, msg := r.bus.last(t); key.Flow == "" {
				t.Errorf("%s: smuggled in: %s", row.name, msg)
			}
		}
	}
}

// hearRest expects the end of the connection, without further answers.
func (c *wireConn) hearRest(name string) {
	c.t.Helper()
	c.t.Run(name, func(t *testing.T) {
		end := *c
		end.t = t
		end.hearEnd()
	})
}

func TestChunkedLeniency(t *testing.T) {
	r := newRig(t, Config{})
	const head = "POST " + completionPath + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin\r\nTransfer-Encoding: Chunked\r\n\r\n"
	for _, text := range []string{
		chunks(completion, 5) + "0\r\n\r\n",
		"1a;name=value;other=\"x\"\r\n" + completion[:26] + "\r\n" + chunks(completion[26:], 100) + "0\r\n\r\n",
		chunks(completion, 1) + "0\r\nX-Trailer: ignored\r\n\r\n",
		chunks(completion, 100) + "000;last\r\n\r\n",
	} {
		c := r.dial()
		c.say(head + text + post(completionPath, "admin", completion))
		for i := range 2 {
			if got := c.hear(); got.status != 200 || got.body != `{"ok":true}` {
				t.Errorf("%q, answer %d: %d %s", text, i, got.status, got.body)
			}
		}
	}
}

func TestPipelining(t *testing.T) {
	r := newRig(t, Config{})
	c := r.dial()
	const n = 20
	c.say(strings.Repeat(post(completionPath, "admin", completion)+"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", n))
	for i := range n {
		if got := c.hear(); got.body != `{"ok":true}` {
			t.Fatalf("answer %d: %d %s", i, got.status, got.body)
		}
		if got := c.hear(); got.body != `{"status": "ok"}` {
			t.Fatalf("answer %d: %d %s", i, got.status, got.body)
		}
	}
	if r.bus.count() != n {
		t.Errorf("%d calls", r.bus.count())
	}
}

// TestShortBody: a client that ends early gets no call made.
func TestShortBody(t *testing.T) {
	r := newRig(t, Config{})
	for _, text := range []string{
		"POST " + completionPath + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin\r\nContent-Length: 100\r\n\r\n" + completion,
		"POST " + completionPath + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin\r\nContent-Length: 20000\r\n\r\n" + completion + strings.Repeat(" ", 10000),
		"POST " + completionPath + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks(completion, 100),
	} {
		c := r.dial()
		c.say(text)
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if got := c.hear(); got.status != 400 {
			t.Errorf("%q: %d %s", text[:60], got.status, got.body)
		}
		c.hearEnd()
	}
	if r.bus.count() != 0 {
		t.Error("half a body was dispatched")
	}
}
