package proxy

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"io"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
)

func zip(t testing.TB, coding, text string) string {
	t.Helper()
	var out bytes.Buffer
	var w io.WriteCloser
	var err error
	switch coding {
	case "gzip", "x-gzip", "GZIP":
		w = gzip.NewWriter(&out)
	case "zlib":
		w = zlib.NewWriter(&out)
	case "raw":
		w, err = flate.NewWriter(&out, flate.BestCompression)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestContentEncodings(t *testing.T) {
	r := newRig(t, Config{MaxBodyBytes: 1 << 20})
	big := `{"system":"s","prompt":"` + strings.Repeat("long ", 100_000) + `"}`
	bomb := zip(t, "gzip", strings.Repeat(" ", 64<<20))
	for _, row := range []struct {
		name, header, body string
		status             int
	}{
		{"plain", "identity", completion, 200},
		{"gzip", "gzip", zip(t, "gzip", completion), 200},
		{"x-gzip", "x-gzip", zip(t, "x-gzip", completion), 200},
		{"upper case", "GZIP", zip(t, "gzip", completion), 200},
		{"zlib", "deflate", zip(t, "zlib", completion), 200},
		{"zlib again", "deflate", zip(t, "zlib", completion), 200},
		{"raw deflate", "deflate", zip(t, "raw", completion), 200},
		{"big", "gzip", zip(t, "gzip", big), 200},
		{"bomb", "gzip", bomb, 413},
		{"two members", "gzip", zip(t, "gzip", completion[:5]) + zip(t, "gzip", completion[5:]), 200},
		{"cut", "gzip", zip(t, "gzip", completion)[:20], 400},
		{"trailing garbage", "gzip", zip(t, "gzip", completion) + "xyz", 400},
		{"trailing garbage after zlib", "deflate", zip(t, "zlib", completion) + "xyz", 400},
		{"not gzip", "gzip", completion, 400},
		{"not deflate", "deflate", "\xff\xff" + completion, 400},
		{"brotli", "br", completion, 415},
		{"twice", "gzip, gzip", zip(t, "gzip", completion), 415},
		{"empty", "gzip", "", 200}, // and then not JSON
	} {
		got := r.do("POST", completionPath, "admin", row.body, "Content-Encoding", row.header)
		if got.status != row.status {
			t.Errorf("%s: %d %s, expected %d", row.name, got.status, got.body, row.status)
		}
		if _, msg := r.bus.last(t); row.status == 200 && row.body != "" && !strings.Contains(msg, `"p"`) && !strings.Contains(msg, "long ") {
			t.Errorf("%s: arrived as %.80s", row.name, msg)
		}
	}
	if used := r.server.budget.used.Load(); used != 0 {
		t.Errorf("%d bytes of the budget were never given back", used)
	}
}

func TestCharsets(t *testing.T) {
	r := newRig(t, Config{})
	utf16be := func(s string) string {
		var b strings.Builder
		for _, c := range s {
			b.WriteByte(byte(c >> 8))
			b.WriteByte(byte(c))
		}
		return b.String()
	}
	utf16le := func(s string) string {
		b := []byte(utf16be(s))
		for i := 0; i < len(b); i += 2 {
			b[i], b[i+1] = b[i+1], b[i]
		}
		return string(b)
	}
	const text = `{"system":"s","prompt":"grüße"}`
	for _, row := range []struct {
		name, contentType, body string
		status                  int
	}{
		{"none", "", text, 200},
		{"utf-8", "application/json; charset=utf-8", text, 200},
		{"quoted", `application/json; charset="UTF-8"`, text, 200},
		{"another parameter", `application/json; version=1; charset=utf8`, text, 200},
		{"multipart label", `multipart/form-data; boundary=x`, text, 200},
		{"latin-1", "application/json; charset=ISO-8859-1", strings.NewReplacer("ü", "\xfc", "ß", "\xdf").Replace(text), 200},
		{"utf-16be", "text/plain; charset=utf-16be", utf16be(text), 200},
		{"utf-16le", "text/plain; charset=utf-16LE", utf16le(text), 200},
		{"utf-16 with mark", "text/plain; charset=utf-16", "\xff\xfe" + utf16le(text), 200},
		{"utf-16 with the other mark", "text/plain; charset=utf-16", "\xfe\xff" + utf16be(text), 200},
		{"utf-16 cut", "text/plain; charset=utf-16le", utf16le(text) + "x", 400},
		{"utf-16 half a pair", "text/plain; charset=utf-16be", "\xd8\x00", 400},
		{"utf-16 no pair", "text/plain; charset=utf-16be", "\xd8\x00\x00a", 400},
		{"unknown", "text/plain; charset=ebcdic", text, 415},
		{"long", "text/plain; charset=" + strings.Repeat("x", 100), text, 415},
	} {
		got := r.do("POST", completionPath, "admin", row.body, "Content-Type", row.contentType)
		if got.status != row.status {
			t.Errorf("%s: %d %s", row.name, got.status, got.body)
			continue
		}
		if _, msg := r.bus.last(t); row.status == 200 && !strings.Contains(msg, "grüße") {
			t.Errorf("%s: arrived as %s", row.name, msg)
		}
	}
	if used := r.server.budget.used.Load(); used != 0 {
		t.Errorf("%d bytes of the budget were never given back", used)
	}
}

// TestBodyBudget: all bodies together are bounded, whatever they declare.
func TestBodyBudget(t *testing.T) {
	r := newRig(t, Config{BodyBudgetBytes: 100_000})
	held := r.dial()
	held.say("POST " + completionPath + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin\r\nContent-Length: 95000\r\n\r\n" +
		`{"system":"s","prompt":"` + strings.Repeat("x", 89_000))
	eventually(t, "the first body is counted", func() bool { return r.server.budget.used.Load() > 85_000 })
	// A declared length by itself reserves nothing.
	idle := r.dial()
	idle.say("POST " + completionPath + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin\r\nContent-Length: 200000000\r\n\r\n")
	if got := r.do("POST", completionPath, "admin", completion); got.status != 200 {
		t.Errorf("a small body beside it: %d %s", got.status, got.body)
	}
	got := r.do("POST", completionPath, "admin", `{"system":"s","prompt":"`+strings.Repeat("y", 30_000)+`"}`)
	if got.status != 503 || got.header.Get("Retry-After") == "" {
		t.Errorf("over the budget: %d %s", got.status, got.body)
	}
	held.say(strings.Repeat("x", 95_000-89_000-24-2) + `"}`)
	if got := held.hear(); got.status != 200 {
		t.Errorf("the held body: %d %s", got.status, got.body)
	}
	eventually(t, "the budget is given back", func() bool { return r.server.budget.used.Load() == 0 })
}

// TestLargeBody passes bodies of many sizes, with a length and in chunks.
func TestLargeBody(t *testing.T) {
	r := newRig(t, Config{})
	for _, size := range []int{0, 1, 4000, 4096, 8191, 8192, 8193, 65536, 70_000, 1 << 20, 3<<20 + 7} {
		prompt := strings.Repeat("a", size)
		body := `{"system":"s","prompt":"` + prompt + `"}`
		for _, chunked := range []bool{false, true} {
			c := r.dial()
			head := "POST " + completionPath + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin\r\n"
			if chunked {
				c.say(head + "Transfer-Encoding: chunked\r\n\r\n" + chunks(body, 1<<16) + "0\r\n\r\n")
			} else {
				c.say(head + "Content-Length: " + itoa(len(body)) + "\r\n\r\n" + body)
			}
			if got := c.hear(); got.status != 200 {
				t.Fatalf("%d bytes, chunked %v: %d %s", size, chunked, got.status, got.body)
			}
			if _, msg := r.bus.last(t); !strings.Contains(msg, `"`+prompt+`"`) {
				t.Errorf("%d bytes, chunked %v: arrived with %d bytes", size, chunked, len(msg))
			}
			c.say(post(completionPath, "admin", completion)) // the connection is still good
			if got := c.hear(); got.status != 200 {
				t.Errorf("after %d bytes, chunked %v: %d %s", size, chunked, got.status, got.body)
			}
		}
	}
}

func chunks(body string, size int) string {
	var b strings.Builder
	for len(body) > 0 {
		n := min(size, len(body))
		b.WriteString(hex(n) + "\r\n" + body[:n] + "\r\n")
		body = body[n:]
	}
	return b.String()
}

func hex(n int) string { return strings.ToUpper(string(appendHex(nil, n))) }

func appendHex(dst []byte, n int) []byte {
	if n >= 16 {
		dst = appendHex(dst, n/16)
	}
	return append(dst, "0123456789abcdef"[n%16])
}

// FuzzBody: whatever the coding, a body is read within its limit or refused, and
// the budget comes out even.
func FuzzBody(f *testing.F) {
	for _, coding := range []string{"gzip", "zlib", "raw"} {
		header := coding
		if coding != "gzip" {
			header = "deflate"
		}
		f.Add(header, "", []byte(zip(f, coding, completion)))
		f.Add(header, "application/json", []byte(zip(f, coding, strings.Repeat("x", 5000))))
	}
	f.Add("", "x; charset=utf-16", []byte("\xff\xfea\x00"))
	f.Add("", "x; charset=latin1", []byte("\xff"))
	f.Add("identity", ";;charset", []byte("{}"))
	const limit = 4096
	f.Fuzz(func(t *testing.T, encoding, contentType string, data []byte) {
		bytesLeft := budget{limit: 1 << 20}
		rules := bodyRules{max: limit, budget: &bytesLeft, rate: 1}
		var ctx fasthttp.RequestCtx
		ctx.Request.Header.SetMethod("POST")
		ctx.Request.Header.Set("Content-Encoding", encoding)
		ctx.Request.Header.SetContentType(contentType)
		ctx.Request.SetBodyStream(bytes.NewReader(data), len(data))
		var b body
		err := b.read(&ctx, &rules)
		if len(b.bytes()) > 2*limit || err == nil && len(b.bytes()) > limit {
			t.Fatalf("%d bytes passed", len(b.bytes()))
		}
		if err != nil && outcomeOf(err) == &unexpected {
			t.Fatalf("no status for %v", err)
		}
		b.release(&rules)
		if bytesLeft.used.Load() != 0 {
			t.Fatalf("%d bytes never given back", bytesLeft.used.Load())
		}
	})
}
