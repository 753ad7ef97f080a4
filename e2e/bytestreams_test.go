package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sluice/bus"
	"sluice/bus/amqp/brokertest"
)

const (
	bulkChunk = 1 << 20
	// bulkRate is how fast the services publish, in bytes a second.
	bulkRate = 40 << 20
	// bulkBound is how much a byte stream may add to the gateway's memory.
	bulkBound = 64 << 20
)

// bulkMiB is how much each byte stream carries. The 1 GB is 1024.
func bulkMiB(t *testing.T) int {
	text := os.Getenv("SLUICE_BULK_MIB")
	if text == "" {
		return 128
	}
	n, err := strconv.Atoi(text)
	if err != nil || n <= 0 {
		t.Fatalf("SLUICE_BULK_MIB: %q", text)
	}
	return n
}

// resident is the gateway's memory now, and its most since forgetPeak.
func (g *gateway) resident(t *testing.T) (now, peak int64) {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", g.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(raw)) {
		name, rest, _ := strings.Cut(line, ":")
		kib, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
		switch name {
		case "VmRSS":
			now = kib << 10
		case "VmHWM":
			peak = kib << 10
		}
	}
	return now, peak
}

func (g *gateway) forgetPeak(t *testing.T) {
	t.Helper()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", g.cmd.Process.Pid), []byte("5"), 0); err != nil {
		t.Fatal(err)
	}
}

// inBounds runs do and looks at what it cost the gateway.
func (g *gateway) inBounds(t *testing.T, what string, do func()) {
	t.Helper()
	g.forgetPeak(t)
	before, _ := g.resident(t)
	start := time.Now()
	do()
	_, peak := g.resident(t)
	t.Logf("%s: %.1f MiB more at most, %v", what, float64(peak-before)/(1<<20), time.Since(start).Round(time.Millisecond))
	bound := int64(bulkBound)
	if raceFlag == "-race" {
		bound *= 8 // the detector keeps a shadow of all memory
	}
	if peak-before > bound {
		t.Errorf("%s: %d bytes more", what, peak-before)
	}
}

// request asks as the admin and does not read the body.
func (g *gateway) request(t *testing.T, method, path string, body io.Reader) *http.Response {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, method, g.url+path, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+apiKey)
	client := &http.Client{Transport: g.client.Transport} // no limit of its own
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// drink reads a response to its end, with a pause after every MiB.
func drink(t *testing.T, res *http.Response, pause time.Duration) (sum string, size int64) {
	t.Helper()
	defer res.Body.Close()
	h := sha256.New()
	for {
		n, err := io.CopyN(h, res.Body, 1<<20)
		size += n
		if err == io.EOF { //nolint:errorlint // CopyN's own
			return digest(h), size
		}
		if err != nil {
			t.Fatalf("after %d bytes: %v", size, err)
		}
		time.Sleep(pause)
	}
}

func digest(h hash.Hash) string { return fmt.Sprintf("%x", h.Sum(nil)) }

// TestByteStreamsInConstantMemory moves large cores and documents through the
// built binary, both ways, to fast readers and to one that is slow.
func TestByteStreamsInConstantMemory(t *testing.T) {
	broker := brokertest.URL(t)
	chunks := bulkMiB(t)
	chunk := bytes.Repeat([]byte("0123456789abcdef"), bulkChunk/16)
	p := startPlatform(t, broker)
	p.define(adminWorkspace, "demo", p.record("demo"))
	p.serve(t, p.topic("request", "librarian"), p.topic("response", "librarian"), p.bulkDocument(t, chunk, chunks))
	parts := chunks * 4
	var stored atomic.Int64
	p.serve(t, p.topic("request", "knowledge"), p.topic("response", "knowledge"), p.bulkCore(t, parts, &stored))
	g := startGateway(t, broker, p.space)
	g.awaitReady(t)
	// Whatever the first use of each route costs once.
	drink(t, g.request(t, http.MethodGet, "/api/v1/document-stream?document-id=small", http.NoBody), 0) //nolint:bodyclose // drink closes it

	whole := sha256.New()
	for range chunks {
		whole.Write(chunk)
	}
	want := digest(whole)
	for name, pause := range map[string]time.Duration{"document": 0, "document, slow reader": 50 * time.Millisecond} {
		g.inBounds(t, name, func() {
			res := g.request(t, http.MethodGet, "/api/v1/document-stream?document-id=d", http.NoBody)
			if sum, size := drink(t, res, pause); res.StatusCode != 200 || sum != want {
				t.Errorf("%s: %d, %d bytes", name, res.StatusCode, size)
			}
		})
	}
	var core int64
	g.inBounds(t, "export", func() {
		res := g.request(t, http.MethodGet, "/api/v1/export-core?id=x", http.NoBody)
		if _, core = drink(t, res, 0); res.StatusCode != 200 || core < int64(chunks)<<19 {
			t.Errorf("export: %d, %d bytes", res.StatusCode, core)
		}
	})
	g.inBounds(t, "export into import", func() {
		out := g.request(t, http.MethodGet, "/api/v1/export-core?id=x", http.NoBody)
		defer out.Body.Close()
		in := g.request(t, http.MethodPost, "/api/v1/import-core?id=y", out.Body)
		defer in.Body.Close()
		if text, err := io.ReadAll(in.Body); err != nil || in.StatusCode != 200 || len(text) > 0 {
			t.Errorf("import: %d %s %v", in.StatusCode, text, err)
		}
		if got := stored.Load(); got != int64(parts) {
			t.Errorf("%d of %d values were stored", got, parts)
		}
	})
}

// TestTokensAppear: a client of the streaming media types has each part before the
// service has made the next one.
func TestTokensAppear(t *testing.T) {
	asked := make(chan string, 1)
	p, g := demoGateway(t, brokertest.URL(t), func(id string, body []byte) ([]message, bool) {
		if !bytes.Contains(body, []byte(`"streaming":true`)) {
			return one(id, completion("not asked to stream", true))
		}
		asked <- id
		return nil, true
	})
	to := mustTopic(t, p.topic("response", "text-completion", "demo"))
	for accept, form := range map[string]string{"text/event-stream": "data: %s\n\n", "application/x-ndjson": "%s\n"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.url+completionPath, bytes.NewReader(question("x")))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+apiKey)
		req.Header.Set("Accept", accept)
		var id string
		say := func(text string, last bool) {
			if err := p.publish(&bus.Message{To: to, ID: id, Body: completion(text, last)}); err != nil {
				t.Error(err)
			}
		}
		first := make(chan struct{})
		go func() {
			defer close(first)
			id = <-asked
			say("token 0", false)
		}()
		res, err := g.client.Do(req) // which comes back when the first part is there
		if err != nil {
			t.Fatal(err)
		}
		<-first
		for i := range 20 {
			var part struct{ Response string }
			hearPart(t, res.Body, form, &part)
			if want := fmt.Sprint("token ", i); part.Response != want {
				t.Fatalf("%s: %q, expected %q", accept, part.Response, want)
			}
			say(fmt.Sprint("token ", i+1), i == 19)
		}
		rest, err := io.ReadAll(res.Body)
		if err != nil || !strings.Contains(string(rest), "token 20") || (accept == "text/event-stream") != strings.HasSuffix(string(rest), "\n\nevent: end\ndata: {}\n\n") {
			t.Errorf("%s: ends with %q, %v", accept, rest, err)
		}
		_ = res.Body.Close()
	}
}

// hearPart reads one part, no byte more, and takes its JSON apart.
func hearPart(t *testing.T, from io.Reader, form string, v any) {
	t.Helper()
	open, end, _ := strings.Cut(form, "%s")
	var text []byte
	for one := make([]byte, 1); !bytes.HasSuffix(text, []byte(end)); text = append(text, one...) {
		if _, err := io.ReadFull(from, one); err != nil {
			t.Fatalf("after %q: %v", text, err)
		}
	}
	if err := json.Unmarshal(text[len(open):], v); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
}

// pour publishes a long answer at the pace of a fast store: n times the part, then
// the last one.
func (p *platform) pour(t *testing.T, topic, id string, part []byte, n int, last []byte) {
	to := mustTopic(t, topic)
	go func() {
		pace := time.NewTicker(time.Duration(len(part)) * time.Second / bulkRate)
		defer pace.Stop()
		for i := range n + 1 {
			if i == n {
				part = last
			}
			if p.publish(&bus.Message{To: to, ID: id, Body: part}) != nil {
				return // the client will miss it
			}
			<-pace.C
		}
	}()
}

func (p *platform) bulkDocument(t *testing.T, chunk []byte, n int) responder {
	part := fmt.Appendf(nil, `{"error":null,"content":%q,"is_final":false}`, base64.StdEncoding.EncodeToString(chunk))
	return func(id string, body []byte) ([]message, bool) {
		if bytes.Contains(body, []byte(`"small"`)) {
			return one(id, []byte(`{"error":null,"content":"eA==","is_final":true}`))
		}
		p.pour(t, p.topic("response", "librarian"), id, part, n, []byte(`{"error":null,"content":"","is_final":true}`))
		return nil, true
	}
}

// bulkCore answers get-kg-core with n parts of about 256 KiB, and counts puts.
func (p *platform) bulkCore(t *testing.T, n int, stored *atomic.Int64) responder {
	triple := `{"s":{"type":"i","iri":"http://example.org/subject"},"p":{"type":"i","iri":"http://example.org/p"},"o":{"type":"l","value":"some words"}}`
	part := []byte(`{"error":null,"ids":null,"eos":false,"graph_embeddings":null,"triples":{"metadata":{"id":"x","root":"","collection":"c"},"triples":[` +
		strings.TrimSuffix(strings.Repeat(triple+",", 2000), ",") + `]}}`)
	return func(id string, body []byte) ([]message, bool) {
		var req struct{ Operation string }
		if json.Unmarshal(body, &req) != nil {
			return nil, true
		}
		if req.Operation == "put-kg-core" {
			stored.Add(1)
			return one(id, []byte(`{"error":null,"ids":null,"eos":false}`))
		}
		p.pour(t, p.topic("response", "knowledge"), id, part, n, []byte(`{"error":null,"ids":null,"eos":true}`))
		return nil, true
	}
}
