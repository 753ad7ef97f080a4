package proxy

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/tinylib/msgp/msgp"

	"sluice/codec"
	"sluice/proxy/dispatch"
)

// puts answers puts: the nth (from 1) as fail says, when it says so.
func (r *rig) puts(fail map[int]error) {
	n := 0
	r.bus.call = func(dispatch.Key, string, dispatch.Call) (string, codec.Part, error) {
		n++
		err := fail[n]
		if e, refused := err.(*jsonError); refused { //nolint:errorlint // the test's own
			return `{"error":{"type":"x","message":"` + e.text + `"}}`, codec.Part{Final: true, Failed: true}, nil
		}
		return `{}`, codec.Part{Final: true}, err
	}
}

func TestImportCore(t *testing.T) {
	other := msgp.AppendString(msgp.AppendArrayHeader(nil, 2), "x")
	other = msgp.AppendNil(other)
	file := string(coreFile(t, busTriples, busEmbeddings)) + string(other) + string(coreFile(t, busTriples))
	for name, send := range map[string]func(r *rig) answer{
		"with a length": func(r *rig) answer { return r.do("POST", importPath+"&workspace=w", "admin", file) },
		"in chunks": func(r *rig) answer {
			c := r.dial()
			c.say("POST " + importPath + "&workspace=w HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks(file, 3) + "0\r\n\r\n")
			got := c.hear()
			c.say("GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n") // the connection serves on
			if next := c.hear(); next.status != 200 {
				t.Error(next.status)
			}
			return got
		},
		"compressed": func(r *rig) answer {
			return r.do("POST", importPath+"&workspace=w", "admin", zip(t, "gzip", file), "Content-Encoding", "gzip")
		},
		"deflated": func(r *rig) answer {
			return r.do("POST", importPath+"&workspace=w", "admin", zip(t, "raw", file), "Content-Encoding", "deflate")
		},
	} {
		r := newRig(t, Config{MaxBodyBytes: 64, BodyBudgetBytes: 1 << 20}) // the first is not for imports
		r.puts(nil)
		got := send(r)
		if got.status != 200 || got.body != "" || got.header.Get("Content-Type") != bytesType {
			t.Errorf("%s: %d %q %s", name, got.status, got.header.Get("Content-Type"), got.body)
		}
		if len(r.bus.msgs) != 3 {
			t.Fatalf("%s: %d puts", name, len(r.bus.msgs))
		}
		if r.bus.keys[0] != (dispatch.Key{Kind: codec.Knowledge}) {
			t.Errorf("%s: %v", name, r.bus.keys[0])
		}
		for i, want := range []string{
			`"triples":{"metadata":{"id":"x","root":"","collection":"default"},"triples":[{"s":{"type":"i","iri":"s"`,
			`"vector":[0.5,1,-2.25]`,
			`"triples":{"metadata":{"id":"x"`,
		} {
			msg := r.bus.msgs[i]
			if !strings.Contains(msg, want) || !strings.Contains(msg, `"operation":"put-kg-core"`) ||
				!strings.Contains(msg, `"workspace":"w"`) || !strings.Contains(msg, `"id":"x"`) {
				t.Errorf("%s, put %d: %s", name, i, msg)
			}
		}
		if used := r.server.budget.used.Load(); used != 0 {
			t.Errorf("%s: %d bytes are still taken", name, used)
		}
	}
	r := newRig(t, Config{})
	for name, headers := range map[string][]string{"": nil, "an empty gzip label": {"Content-Encoding", "gzip"}} {
		if got := r.do("POST", importPath, "admin", "", headers...); got.status != 200 || r.bus.count() > 0 {
			t.Errorf("nothing to import, %s: %d %s", name, got.status, got.body)
		}
	}
}

// TestImportCoreFails: G18; what is not stored is said, with the count of what is.
func TestImportCoreFails(t *testing.T) {
	one := string(coreFile(t, busTriples))
	noObject := "\x92\xa1t\x81\xa1t\x91\x81\xa1s\xa1x"
	for _, row := range []struct {
		name   string
		body   string
		fail   map[int]error
		status int
		want   string
		retry  bool
	}{
		{"garbage", "\xc1", nil, 400, `{"error": "malformed core: not MessagePack", "stored": 0}`, false},
		{"garbage after two", one + one + "\xc1", nil, 400, `{"error": "malformed core: not MessagePack", "stored": 2}`, false},
		{"JSON", `{"operation":"x"}`, nil, 400, `{"error": "malformed core: a value that is no array", "stored": 0}`, false},
		{"no content", one + "\x92\xa1t\x80", nil, 400, `{"error": "malformed core: \"t\" is missing or no array", "stored": 1}`, false},
		{"a term that the API refuses", one + noObject, nil, 400, `{"error": "\"triples.triples[0].s\" must be an object", "stored": 1}`, false},
		{"truncated", one + one[:20], nil, 400, `{"error": "the core ends inside a value", "stored": 1}`, false},
		{"too large", one + "\xdb\xff\xff\xff\xff", nil, 413, `{"error": "a value of the core is too large", "stored": 1}`, false},
		{"refused", one + one + one, map[int]error{2: &jsonError{text: "no room"}}, 502, `{"error": "no room", "stored": 1}`, false},
		{"time-out", one + one, map[int]error{2: fmt.Errorf("x: %w", dispatch.ErrTimeout)}, 504, `{"error": "Timeout", "stored": 1}`, false},
		{"no service", one, map[int]error{1: dispatch.ErrNoService}, 503, `{"error": "no service is listening", "stored": 0}`, false},
		{"bus away", one, map[int]error{1: dispatch.ErrUnavailable}, 503, `{"error": "message bus unavailable", "stored": 0}`, true},
		{"lost", one + one, map[int]error{2: dispatch.ErrLost}, 502, `{"error": "connection to the message bus lost during the call", "stored": 1}`, false},
		{"message too large", one, map[int]error{1: dispatch.ErrTooLarge}, 413, `{"error": "message too large", "stored": 0}`, false},
		{"odd answer", one, map[int]error{1: &codec.Error{Reason: "must be an object", Response: true}}, 502, `{"error": "malformed answer of the service: must be an object", "stored": 0}`, false},
		{"bug", one, map[int]error{1: fmt.Errorf("secret")}, 500, `{"error": "500 Internal Server Error`, false},
	} {
		r := newRig(t, Config{})
		r.puts(row.fail)
		c := r.dial()
		c.say(post(importPath, "admin", row.body))
		got := c.hear()
		if got.status != row.status || !strings.HasPrefix(got.body, row.want) || got.header.Get("Content-Type") != jsonType {
			t.Errorf("%s: %d %s, expected %s", row.name, got.status, got.body, row.want)
		}
		if (got.header.Get("Retry-After") != "") != row.retry || !got.close {
			t.Errorf("%s: Retry-After %q, close %v", row.name, got.header.Get("Retry-After"), got.close)
		}
		c.hearRest(row.name)
		if used := r.server.budget.used.Load(); used != 0 {
			t.Errorf("%s: %d bytes are still taken", row.name, used)
		}
	}
}

// TestImportCoreBodies: what can be wrong with the body as such.
func TestImportCoreBodies(t *testing.T) {
	one := string(coreFile(t, busTriples))
	const head = "POST " + importPath + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin\r\n"
	for _, row := range []struct {
		name, text string
		half       bool
		status     int
		want       string
	}{
		{"ends early", head + "Content-Length: 100000\r\n\r\n" + strings.Repeat(one, 200), true, 400, `"stored": 200`},
		{"chunks end early", head + "Transfer-Encoding: chunked\r\n\r\n" + chunks(one, 20), true, 400, `"stored": 1`},
		{"broken chunk", head + "Transfer-Encoding: chunked\r\n\r\n" + chunks(one, 20) + "zz\r\n", false, 400, `"stored": `},
		{"unknown coding", head + "Content-Encoding: br\r\nContent-Length: 3\r\n\r\nabc", false, 415, `"stored": 0`},
		{"broken gzip", head + "Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", false, 400, `"stored": 0`},
		{
			"gzip that ends early", head + "Content-Encoding: gzip\r\nContent-Length: " + itoa(len(zip(t, "gzip", one))-9) + "\r\n\r\n" +
				zip(t, "gzip", one)[:len(zip(t, "gzip", one))-9], false, 400, `"stored": `,
		},
		{
			"garbage behind gzip", head + "Content-Encoding: gzip\r\nContent-Length: " + itoa(len(zip(t, "gzip", one))+3) + "\r\n\r\n" +
				zip(t, "gzip", one) + "xyz", false, 400, `"stored": 1`,
		},
	} {
		r := newRig(t, Config{})
		r.puts(nil)
		c := r.dial()
		c.say(row.text)
		if row.half {
			_ = c.CloseWrite()
		}
		if got := c.hear(); got.status != row.status || !strings.Contains(got.body, row.want) {
			t.Errorf("%s: %d %s", row.name, got.status, got.body)
		}
		c.hearRest(row.name)
	}
}

// TestImportCoreValueLimit: the limit is for one value, not for the core.
func TestImportCoreValueLimit(t *testing.T) {
	value := func(n int) string { // one value of n bytes
		v := msgp.AppendArrayHeader(nil, 2)
		v = msgp.AppendString(v, "t")
		v = msgp.AppendMapHeader(v, 2)
		v = msgp.AppendString(v, "t")
		v = msgp.AppendArrayHeader(v, 0)
		v = msgp.AppendString(v, "pad")
		v = append(v, 0xdb, 0, 0, 0, 0)
		pad := n - len(v)
		v[len(v)-2], v[len(v)-3], v[len(v)-1] = byte(pad>>8), byte(pad>>16), byte(pad)
		return string(append(v, bytes.Repeat([]byte{'x'}, pad)...))
	}
	r := newRig(t, Config{MaxCoreValueBytes: 100_000})
	r.puts(nil)
	if got := r.do("POST", importPath, "admin", value(100_000)+value(100_000)+value(64)); got.status != 200 {
		t.Errorf("%d %s", got.status, got.body)
	}
	got := r.do("POST", importPath, "admin", value(100_000)+value(100_001))
	if got.status != 413 || got.body != `{"error": "a value of the core is too large", "stored": 1}` {
		t.Errorf("%d %s", got.status, got.body)
	}
	small := newRig(t, Config{BodyBudgetBytes: 100_000})
	small.puts(nil)
	got = small.do("POST", importPath, "admin", value(90_000)+value(70_000))
	if got.status != 503 || got.header.Get("Retry-After") == "" || !strings.HasSuffix(got.body, `"stored": 0}`) {
		t.Errorf("over the budget: %d %s", got.status, got.body)
	}
}

// TestImportCoreSmuggling: whatever an import did not read is never a request.
func TestImportCoreSmuggling(t *testing.T) {
	one := string(coreFile(t, busTriples))
	long := strings.Repeat("\xc0", 20_000) + smuggled
	for name, row := range map[string]struct {
		head, body string
		status     int
	}{
		"no token":        {"", smuggled, 401},
		"no right":        {"Authorization: Bearer reader\r\n", smuggled, 403},
		"no id":           {"Authorization: Bearer admin\r\n", smuggled, 400},
		"garbage":         {"Authorization: Bearer admin\r\n", "\xc1" + smuggled, 400},
		"garbage, long":   {"Authorization: Bearer admin\r\n", "\xc1" + long, 400},
		"refused":         {"Authorization: Bearer admin\r\n", one + smuggled, 502},
		"refused, long":   {"Authorization: Bearer admin\r\n", one + long, 502},
		"unknown coding":  {"Authorization: Bearer admin\r\nContent-Encoding: br\r\n", smuggled, 415},
		"too large":       {"Authorization: Bearer admin\r\n", "\xdb\xff\xff\xff\xff" + long, 413},
		"other tags only": {"Authorization: Bearer admin\r\n", "\x91\x01", 200},
	} {
		for framing, send := range map[string]func(head, body string) string{
			"length": func(head, body string) string {
				return head + "Content-Length: " + itoa(len(body)) + "\r\n\r\n" + body
			},
			"chunks": func(head, body string) string {
				return head + "Transfer-Encoding: chunked\r\n\r\n" + chunks(body, 1000) + "0\r\n\r\n"
			},
		} {
			path := importPath
			if name == "no id" {
				path = "/api/v1/import-core"
			}
			r := newRig(t, Config{})
			r.puts(map[int]error{1: &jsonError{text: "no"}})
			c := r.dial()
			_, _ = io.WriteString(c.TCPConn, send("POST "+path+" HTTP/1.1\r\nHost: x\r\n"+row.head, row.body)+smuggled)
			got := c.hear()
			if got.status != row.status {
				t.Errorf("%s, %s: %d %s", name, framing, got.status, got.body)
			}
			if row.status != 200 {
				c.hearRest(name + "/" + framing)
			} else if next := c.hear(); next.status != 200 { // the one that is a request
				t.Errorf("%s, %s, next: %d", name, framing, next.status)
			}
			for _, msg := range r.bus.msgs {
				if row.status != 200 && !strings.Contains(msg, "put-kg-core") {
					t.Errorf("%s, %s: smuggled in: %s", name, framing, msg)
				}
			}
		}
	}
}

// TestImportCoreIsSequential: a value is sent when the one before is stored.
func TestImportCoreIsSequential(t *testing.T) {
	r := newRig(t, Config{})
	calls := r.waitInCalls()
	one := string(coreFile(t, busTriples))
	c := r.dial()
	c.say(post(importPath, "admin", one+one+one))
	for i := range 3 {
		await(t, "the put starts", calls.started)
		if n := r.bus.count(); n != i+1 {
			t.Errorf("%d puts at once", n-i)
		}
		calls.release <- struct{}{}
	}
	if got := c.hear(); got.status != 200 {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// TestImportCoreClientLeaves: in the middle of a put.
func TestImportCoreClientLeaves(t *testing.T) {
	r := newRig(t, Config{})
	calls := r.waitInCalls()
	c := r.dial()
	c.say("POST " + importPath + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks(string(coreFile(t, busTriples)), 1000))
	await(t, "the put starts", calls.started)
	_ = c.SetLinger(0)
	_ = c.Close()
	eventually(t, "the put ends", func() bool {
		r.scanNow()
		return len(calls.gone) > 0
	})
	eventually(t, "the connection ends", func() bool { return r.server.conns.size() == 0 })
}

// TestImportCoreEarlyAnswerArrives: a client in the middle of a long core hears
// that it was refused, instead of a reset.
func TestImportCoreEarlyAnswerArrives(t *testing.T) {
	r := newRig(t, Config{})
	r.puts(nil)
	text := make([]byte, 1<<20)
	text[0] = 0xc1
	for range 10 {
		// The client that only writes: its kernel would drop the answer on a reset.
		c := r.dial()
		c.say("POST " + importPath + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin\r\nContent-Length: " + itoa(32*len(text)) + "\r\n\r\n")
		for range 32 {
			if _, err := c.Write(text); err != nil {
				t.Fatal(err)
			}
		}
		if got := c.hear(); got.status != 400 || !strings.HasSuffix(got.body, `"stored": 0}`) {
			t.Errorf("%d %s", got.status, got.body)
		}
	}
}
