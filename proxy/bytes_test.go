package proxy

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"sluice/codec"
	"sluice/proxy/core"
	"sluice/proxy/dispatch"
)

const (
	exportPath   = "/api/v1/export-core?id=x"
	importPath   = "/api/v1/import-core?id=x"
	documentPath = "/api/v1/document-stream?document-id=d"

	busTriples = `{"ids":null,"eos":false,"triples":{"metadata":{"id":"x","root":"","collection":"c"},"triples":[` +
		`{"s":{"type":"i","iri":"s"},"p":{"type":"i","iri":"p"},"o":{"type":"l","value":"v"}}]}}`
	busEmbeddings = `{"ids":null,"eos":false,"graph_embeddings":{"metadata":{"id":"x","root":"","collection":"c"},"entities":[` +
		`{"entity":{"type":"i","iri":"e"},"vector":[0.5,1,-2.25],"chunk_id":""}]}}`
	busEnd  = `{"ids":null,"eos":true}`
	busFail = `{"error":{"type":%q,"message":"no such thing"}}`
)

// script is a download of these parts, the last of which is final; an error ends it.
func script(err error, parts ...string) func(dispatch.Key, string, dispatch.Call, func([]byte, bool) error) error {
	return func(k dispatch.Key, _ string, _ dispatch.Call, fn func([]byte, bool) error) error {
		for i, part := range parts {
			// The part is only borrowed.
			loan := []byte(part)
			if err := fn(loan, err == nil && i == len(parts)-1); err != nil {
				return err
			}
			clear(loan)
		}
		return err
	}
}

// coreFile is what the parts of a core become.
func coreFile(t testing.TB, parts ...string) []byte {
	t.Helper()
	var file []byte
	for _, part := range parts {
		body, _, err := codec.AppendResponse(nil, codec.Knowledge, []byte(part))
		if err != nil {
			t.Fatal(err)
		}
		file = core.AppendValues(file, body)
	}
	return file
}

func chunkPart(text string, final bool) string {
	return fmt.Sprintf(`{"content":%q,"is_final":%v}`, base64.StdEncoding.EncodeToString([]byte(text)), final)
}

func TestExportCore(t *testing.T) {
	r := newRig(t, Config{})
	r.bus.download = script(nil, busTriples, busEmbeddings, busEnd)
	got := r.do("GET", exportPath, "admin", "")
	want := string(coreFile(t, busTriples, busEmbeddings))
	if got.status != 200 || got.body != want || got.header.Get("Content-Type") != bytesType {
		t.Errorf("%d %q %x", got.status, got.header.Get("Content-Type"), got.body)
	}
	key, msg := r.bus.last(t)
	if key != (dispatch.Key{Kind: codec.Knowledge}) || !strings.Contains(msg, `"operation":"get-kg-core"`) ||
		!strings.Contains(msg, `"id":"x"`) || !strings.Contains(msg, `"workspace":"default"`) {
		t.Errorf("asked %v for %s", key, msg)
	}
	// The connection serves on.
	if got := r.do("GET", "/readyz", "", ""); got.status != 200 {
		t.Error(got.status)
	}
	eventually(t, "nothing is in flight", func() bool { return r.server.gate.n.Load() == 0 })
}

// TestFinalPartWithContent: nothing that a service sent is dropped.
func TestFinalPartWithContent(t *testing.T) {
	r := newRig(t, Config{})
	r.bus.download = script(nil, strings.Replace(busTriples, `"eos":false`, `"eos":true`, 1))
	if got := r.do("GET", exportPath, "admin", ""); got.status != 200 || got.body != string(coreFile(t, busTriples)) {
		t.Errorf("%d %x", got.status, got.body)
	}
}

func TestDocumentStream(t *testing.T) {
	r := newRig(t, Config{})
	big := strings.Repeat("0123456789", 300_000)
	r.bus.download = script(nil, chunkPart("one, ", false), chunkPart("", false), chunkPart(big, false), chunkPart("two", true))
	got := r.do("GET", documentPath, "reader", "")
	if got.status != 200 || got.body != "one, "+big+"two" || got.header.Get("Content-Type") != bytesType {
		t.Errorf("%d, %d bytes", got.status, len(got.body))
	}
	_, msg := r.bus.last(t)
	for _, member := range []string{`"operation":"stream-document"`, `"document_id":"d"`, `"chunk_size":1048576`, `"workspace":"acme"`} {
		if !strings.Contains(msg, member) {
			t.Errorf("asked for %s", msg)
		}
	}
	r.bus.download = script(nil, chunkPart("", true))
	if got := r.do("GET", documentPath, "reader", ""); got.status != 200 || got.body != "" {
		t.Errorf("an empty document: %d %q", got.status, got.body)
	}
}

// TestByteStreamParameters: G3, G4 and G20 of the contract.
func TestByteStreamParameters(t *testing.T) {
	r := newRig(t, Config{})
	r.bus.download = script(nil, chunkPart("x", true))
	for _, row := range []struct {
		method, path, token string
		status              int
		want                string
		asked               string // in the message; empty: nothing is asked
	}{
		{"GET", "/api/v1/export-core", "admin", 400, `{"error": "Missing required parameter: id"}`, ""},
		{"GET", "/api/v1/export-core?id=", "admin", 400, `{"error": "Missing required parameter: id"}`, ""},
		{"GET", "/api/v1/export-core?id=%ff", "admin", 400, `{"error": "Invalid parameter: id"}`, ""},
		{"GET", "/api/v1/export-core?id=x&workspace=%ff", "admin", 400, `{"error": "Invalid parameter: workspace"}`, ""},
		{"POST", "/api/v1/import-core", "admin", 400, `{"error": "Missing required parameter: id"}`, ""},
		{"GET", "/api/v1/document-stream", "reader", 400, `{"error": "Missing required parameter: document-id"}`, ""},
		{"GET", documentPath + "&chunk-size=abc", "reader", 400, `{"error": "Invalid parameter: chunk-size must be a positive integer"}`, ""},
		{"GET", documentPath + "&chunk-size=0", "reader", 400, `{"error": "Invalid parameter: chunk-size must be a positive integer"}`, ""},
		{"GET", documentPath + "&chunk-size=-5", "reader", 400, `{"error": "Invalid parameter: chunk-size must be a positive integer"}`, ""},
		{"GET", documentPath + "&chunk-size=", "reader", 400, `{"error": "Invalid parameter: chunk-size must be a positive integer"}`, ""},
		{"GET", documentPath + "&chunk-size=7", "reader", 200, "x", `"chunk_size":7`},
		{"GET", documentPath + "&chunk-size=999999999999", "reader", 200, "x", `"chunk_size":4194304`},
		{"GET", documentPath + "&workspace=acme", "reader", 200, "x", `"workspace":"acme"`},
		{"GET", documentPath + "&workspace=other", "reader", 403, `{"error": "access denied"}`, ""},
		{"GET", documentPath + "&workspace=default", "reader", 403, `{"error": "access denied"}`, ""},
		{"GET", documentPath + "&workspace=other", "admin", 200, "x", `"workspace":"other"`},
		{"GET", documentPath + "&workspace=", "admin", 200, "x", `"workspace":"default"`},
		{"GET", documentPath, "nobody", 403, `{"error": "access denied"}`, ""},
		{"GET", documentPath, "", 401, `{"error": "auth failure"}`, ""},
		{"GET", documentPath, "away", 503, `{"error": "`, ""},
		{"GET", exportPath, "reader", 403, `{"error": "access denied"}`, ""},
		{"GET", exportPath, "writer", 403, `{"error": "access denied"}`, ""},
		{"GET", exportPath, "", 401, `{"error": "auth failure"}`, ""},
		{"POST", importPath, "writer", 403, `{"error": "access denied"}`, ""},
		{"POST", importPath, "", 401, `{"error": "auth failure"}`, ""},
	} {
		before := r.bus.count()
		got := r.do(row.method, row.path, row.token, "")
		if got.status != row.status || !strings.HasPrefix(got.body, row.want) {
			t.Errorf("%s %s as %q: %d %s, expected %d %s", row.method, row.path, row.token, got.status, got.body, row.status, row.want)
		}
		if asked := r.bus.count() > before; asked != (row.asked != "") {
			t.Errorf("%s as %q: asked: %v", row.path, row.token, asked)
		} else if asked {
			if _, msg := r.bus.last(t); !strings.Contains(msg, row.asked) {
				t.Errorf("%s as %q: asked for %s", row.path, row.token, msg)
			}
		}
	}
}

// TestHeadRunsNothing: the checks of the GET, and no export.
func TestHeadRunsNothing(t *testing.T) {
	r := newRig(t, Config{})
	for path, status := range map[string]int{exportPath: 200, documentPath: 200, "/api/v1/export-core": 400, exportPath + "&workspace=w": 200} {
		if got := r.do("HEAD", path, "admin", ""); got.status != status || got.body != "" {
			t.Errorf("%s: %d", path, got.status)
		}
	}
	if got := r.do("HEAD", exportPath, "reader", ""); got.status != 403 {
		t.Error(got.status)
	}
	if r.bus.count() > 0 {
		t.Error("it was run")
	}
}

// TestByteStreamFailsBeforeItsFirstByte: G19; the statuses do not depend on
// --strict-status.
func TestByteStreamFailsBeforeItsFirstByte(t *testing.T) {
	detail := func(err error) error { return fmt.Errorf("detail: %w", err) }
	for _, row := range []struct {
		name   string
		err    error
		parts  []string
		status int
		want   string
		retry  bool
	}{
		{"time-out", detail(dispatch.ErrTimeout), nil, 504, `{"error": "Timeout"}`, false},
		{"no service", detail(dispatch.ErrNoService), nil, 503, `{"error": "no service is listening"}`, false},
		{"too many", dispatch.ErrExhausted, nil, 503, `{"error": "too many calls in flight"}`, true},
		{"no bus", dispatch.ErrUnavailable, nil, 503, `{"error": "message bus unavailable"}`, true},
		{"lost", dispatch.ErrLost, nil, 502, `{"error": "connection to the message bus lost during the call"}`, false},
		{"unknown", nil, []string{fmt.Sprintf(busFail, "not-found")}, 404, `{"error": "no such thing"}`, false},
		{"unknown, spelled otherwise", nil, []string{fmt.Sprintf(busFail, "Not_Found_Error")}, 404, `{"error": "no such thing"}`, false},
		{"service error", nil, []string{fmt.Sprintf(busFail, "knowledge-error")}, 502, `{"error": "no such thing"}`, false},
		{"without a message", nil, []string{`{"error":{"type":"boom"}}`}, 502, `{"error": "boom"}`, false},
		{"garbage", nil, []string{`{"ids":nope`}, 502, `{"error": "malformed answer of the service: `, false},
		{"bug", fmt.Errorf("secret"), nil, 500, `{"error": "500 Internal Server Error`, false},
	} {
		for _, strict := range []bool{false, true} {
			r := newRig(t, Config{Strict: strict})
			r.bus.download = script(row.err, row.parts...)
			for _, path := range []string{exportPath, documentPath} {
				got := r.do("GET", path, "admin", "")
				if got.status != row.status || !strings.HasPrefix(got.body, row.want) || got.header.Get("Content-Type") != jsonType {
					t.Errorf("%s, %s: %d %s", row.name, path, got.status, got.body)
				}
				if (got.header.Get("Retry-After") != "") != row.retry {
					t.Errorf("%s: Retry-After %q", row.name, got.header.Get("Retry-After"))
				}
			}
		}
	}
	r := newRig(t, Config{})
	for name, parts := range map[string][]string{
		"404 unknown or empty core":    {busEnd},
		"502 it ended without its end": {`{"ids":[],"eos":false}`},
		"502 it ended":                 {`{"ids":null,"eos":false}`},
		"502 it ended without":         {`{}`},
	} {
		r.bus.download = script(nil, parts...)
		got := r.do("GET", exportPath, "admin", "")
		status, text, _ := strings.Cut(name, " ")
		if fmt.Sprint(got.status) != status || !strings.Contains(got.body, text) {
			t.Errorf("%s: %d %s", parts, got.status, got.body)
		}
	}
	r.bus.download = script(nil, `{"content":"%%%","is_final":true}`)
	if got := r.do("GET", documentPath, "admin", ""); got.status != 502 || !strings.Contains(got.body, `\"content\" must be base64`) {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// TestLateFailureBreaksTheConnection: a body that failed midway never ends like a
// whole one (G19; pitfalls F31).
func TestLateFailureBreaksTheConnection(t *testing.T) {
	for name, run := range map[string]func(dispatch.Key, string, dispatch.Call, func([]byte, bool) error) error{
		"time-out":      script(dispatch.ErrTimeout, busTriples, busTriples),
		"lost":          script(dispatch.ErrLost, busTriples),
		"service error": script(nil, busTriples, fmt.Sprintf(busFail, "not-found")),
		"garbage":       script(nil, busTriples, `{`),
		"no end marker": script(nil, busTriples, `{"ids":["x"]}`),
		"no end at all": script(nil, busTriples, `{}`),
		"panic": func(_ dispatch.Key, _ string, _ dispatch.Call, fn func([]byte, bool) error) error {
			_ = fn([]byte(busTriples), false)
			panic("bug")
		},
		"an end that nobody announced": func(_ dispatch.Key, _ string, _ dispatch.Call, fn func([]byte, bool) error) error {
			return fn([]byte(busTriples), false)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, Config{})
			r.bus.download = run
			c := r.dial()
			c.say("GET " + exportPath + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin\r\n\r\n")
			raw, err := io.ReadAll(c.in)
			if err != nil {
				t.Fatal(err)
			}
			text := string(raw)
			if !strings.HasPrefix(text, "HTTP/1.1 200 ") || !strings.Contains(text, string(coreFile(t, busTriples))) {
				t.Errorf("%q", text)
			}
			if strings.HasSuffix(text, "0\r\n\r\n") || strings.Contains(text, "\r\n0\r\n") {
				t.Errorf("it ends like a whole one: %q", text)
			}
			// A client that knows its HTTP sees that.
			resp, err := http.ReadResponse(newReader(text), nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadAll(resp.Body); err == nil {
				t.Error("a client takes it for whole")
			}
			_ = resp.Body.Close()
			eventually(t, "nothing is in flight", func() bool { return r.server.gate.n.Load() == 0 })
		})
	}
}

// TestOldClientsGetNoStreams: HTTP/1.0 has no way to tell a broken body.
func TestOldClientsGetNoStreams(t *testing.T) {
	r := newRig(t, Config{})
	c := r.dial()
	c.say("GET " + exportPath + " HTTP/1.0\r\nAuthorization: Bearer admin\r\n\r\n")
	if got := c.hear(); got.status != 505 {
		t.Error(got.status)
	}
	if r.bus.count() > 0 {
		t.Error("it was run")
	}
}

// TestSlowReaderHoldsTheServiceBack: not one part is taken that the client has no
// room for.
func TestSlowReaderHoldsTheServiceBack(t *testing.T) {
	r := newRig(t, Config{})
	part := []byte(chunkPart(strings.Repeat("x", 1<<20), false))
	taken := make(chan int, 1000)
	ended := make(chan error, 1)
	r.bus.download = func(_ dispatch.Key, _ string, c dispatch.Call, fn func([]byte, bool) error) error {
		err := func() error {
			for n := range 1000 {
				if err := fn(part, false); err != nil {
					return err
				}
				taken <- n
			}
			return nil
		}()
		ended <- err
		return err
	}
	c := r.dial()
	_ = c.SetReadBuffer(64 << 10)
	c.say("GET " + documentPath + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer reader\r\n\r\n")
	if _, err := c.in.Peek(1); err != nil {
		t.Fatal(err)
	}
	last, same := 0, 0
	eventually(t, "the kernel's buffers are full", func() bool {
		if now := len(taken); now != last {
			last, same = now, 0
		}
		same++
		return same > 50
	})
	if n := len(taken); n > 100 {
		t.Errorf("%d MiB were taken ahead", n)
	}
	_ = c.Close()
	if err := <-ended; err == nil {
		t.Error("it ran to its end for nobody")
	}
}

// TestClientLeavesBeforeTheFirstPart: the call ends, though nothing was written yet.
func TestClientLeavesBeforeTheFirstPart(t *testing.T) {
	r := newRig(t, Config{})
	started, ended := make(chan struct{}), make(chan struct{})
	r.bus.download = func(_ dispatch.Key, _ string, c dispatch.Call, _ func([]byte, bool) error) error {
		close(started)
		<-c.Gone
		close(ended)
		return dispatch.ErrGone
	}
	c := r.dial()
	c.say("GET " + exportPath + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin\r\n\r\n")
	await(t, "the call starts", started)
	_ = c.SetLinger(0)
	_ = c.Close()
	eventually(t, "the call ends", func() bool {
		r.scanNow()
		select {
		case <-ended:
			return true
		default:
			return false
		}
	})
}

// TestClientLeavesBetweenParts: the same in the middle, while the service is silent.
func TestClientLeavesBetweenParts(t *testing.T) {
	r := newRig(t, Config{})
	ended := make(chan struct{})
	r.bus.download = func(_ dispatch.Key, _ string, c dispatch.Call, fn func([]byte, bool) error) error {
		_ = fn([]byte(busTriples), false)
		<-c.Gone
		close(ended)
		return dispatch.ErrGone
	}
	c := r.dial()
	c.say("GET " + exportPath + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin\r\n\r\n")
	if _, err := c.in.Peek(1); err != nil {
		t.Fatal(err)
	}
	_ = c.SetLinger(0)
	_ = c.Close()
	eventually(t, "the call ends", func() bool {
		r.scanNow()
		select {
		case <-ended:
			return true
		default:
			return false
		}
	})
	eventually(t, "nothing is in flight", func() bool { return r.server.gate.n.Load() == 0 })
}

// TestBodyOutReads: the way that the server does not take gives the same bytes.
func TestBodyOutReads(t *testing.T) {
	r := newRelay()
	go func() {
		for _, piece := range []string{"one ", "", "two ", "three"} {
			if err := r.put([]byte(piece)); err != nil {
				t.Error(err)
			}
		}
		r.end(nil)
		r.end(io.ErrClosedPipe) // too late
	}()
	b := &bodyOut{from: r}
	if err := b.wait(); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if _, err := io.CopyBuffer(&out, struct{ io.Reader }{b}, make([]byte, 3)); err != nil || out.String() != "one two three" {
		t.Errorf("%q %v", out.String(), err)
	}
	_ = b.Close()
	if err := r.put([]byte("late")); err == nil {
		t.Error("somebody took it")
	}
}
