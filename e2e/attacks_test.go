package e2e

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"sluice/bus"
	"sluice/bus/amqp/brokertest"
)

// Frames that the reference lets pass, by who sends them (G1, G2, G26).
var attacks = map[string][]string{
	readerKey: {
		`{"id":1,"service":"iam","request":{"operation":"create-user","user":{"username":"m","password":"p","roles":["admin"]}}}`,
		`{"id":1,"service":"iam","request":{"operation":"create-api-key","key":{"user_id":"e2e-admin","name":"n"}}}`,
		`{"id":1,"service":"iam","request":{"operation":"list-users"}}`,
		`{"id":1,"service":"config","request":{"operation":"put","values":[{"type":"flow","key":"x","value":"{}"}]}}`,
		`{"id":1,"service":"config","request":{"operation":"getvalues-all-ws","type":"flow"}}`,
		`{"id":1,"service":"flow","request":{"operation":"stop-flow","flow-id":"demo"}}`,
		`{"id":1,"service":"knowledge","request":{"operation":"delete-kg-core","id":"x"}}`,
		`{"id":1,"service":"librarian","request":{"operation":"remove-document","document-id":"x"}}`,
		`{"id":1,"service":"collection-management","request":{"operation":"delete-collection","collection":"x"}}`,
		`{"id":1,"service":"text-load","flow":"demo","request":{"text":"eA=="}}`,
		`{"id":1,"service":"document-load","flow":"demo","request":{"data":"eA=="}}`,
		`{"id":1,"service":"config","service":"iam","request":{"operation":"list-users"}}`,
		`{"id":1,"serv\u0069ce":"iam","request":{"operation":"list-users"}}`,
		`{"id":1,"service":"config","request":{"operation":"list"},"request":{"operation":"put","values":[]}}`,
		`{"id":1,"service":"config","request":{"operation":"list","operation":"put","values":[]}}`,
		`{"id":1,"service":"config","request":{"operation":"list","oper\u0061tion":"put","values":[]}}`,
		`{"id":1,"service":"config","workspace":"acme","request":{"operation":"list"}}`,
		`{"id":1,"service":"config","workspace":"default","workspace":"acme","request":{"operation":"list"}}`,
		`{"id":1,"service":"config","request":{"operation":"list","workspace":"acme"}}`,
		`{"id":1,"service":"config","workspace":"default","request":{"operation":"list","workspace":"default","workspac\u0065":"acme"}}`,
	},
	strangerKey: {
		ask("1", "demo", "x")[:len(ask("1", "demo", "x"))-1] + `,"workspace":"default"}`,
		`{"id":1,"service":"text-load","flow":"demo","workspace":"default","request":{"text":"eA=="}}`,
		`{"id":1,"service":"knowledge","request":{"operation":"list-kg-cores","workspace":"default"}}`,
		`{"id":1,"service":"librarian","workspace":"default","request":{"operation":"list-documents"}}`,
	},
}

// handshakes are upgrades that must be refused, with the status.
var handshakes = []struct {
	key, path string
	status    int
}{
	{readerKey, "/api/v1/flow/demo/import/triples", http.StatusForbidden},
	{readerKey, "/api/v1/flow/demo/import/triples?workspace=acme", http.StatusForbidden},
	{readerKey, "/api/v1/flow/demo/export/triples?workspace=acme", http.StatusForbidden},
	{strangerKey, "/api/v1/flow/demo/import/triples?workspace=default", http.StatusForbidden},
	{strangerKey, "/api/v1/flow/demo/export/triples?workspace=default", http.StatusForbidden},
	// Without ?workspace= it is their own, which has no such flow.
	{strangerKey, "/api/v1/flow/demo/import/triples", http.StatusNotFound},
	{strangerKey, "/api/v1/flow/demo/export/triples", http.StatusNotFound},
	{"tg_nobody", "/api/v1/flow/demo/export/triples", http.StatusUnauthorized},
}

// queries are byte streams that must be refused with 403.
var queries = []struct{ key, method, path string }{
	{strangerKey, http.MethodGet, "/api/v1/document-stream?document-id=d&workspace=default"},
	{readerKey, http.MethodGet, "/api/v1/document-stream?document-id=d&workspace=acme"},
	{readerKey, http.MethodGet, "/api/v1/export-core?id=c"},
	{strangerKey, http.MethodGet, "/api/v1/export-core?id=c&workspace=default"},
	{strangerKey, http.MethodPost, "/api/v1/import-core?id=c&workspace=default"},
}

// witness keeps what reaches services that nobody may reach here.
type witness struct {
	mu   sync.Mutex
	seen []string
}

func (w *witness) note(what string, body []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = append(w.seen, what+": "+string(body))
}

func (w *witness) serve(t *testing.T, p *platform) {
	t.Helper()
	note := func(what string) responder {
		return func(id string, body []byte) ([]message, bool) {
			w.note(what, body)
			return one(id, []byte(`{"error":null}`))
		}
	}
	iam := note("iam")
	p.scripted[scriptIAM].Store(&iam)
	var config responder = func(id string, body []byte) ([]message, bool) {
		// The gateway's own questions begin like this.
		if !bytes.Contains(body, []byte(`"getvalues-all-ws"`)) && !bytes.Contains(body, []byte(`"config"`)) {
			w.note("config", body)
		}
		return p.answerStored(id, body)
	}
	p.scripted[scriptConfig].Store(&config)
	for _, kind := range []string{"flow", "librarian", "knowledge", "collection-management"} {
		p.serve(t, p.topic("request", globalKinds[kind]), p.topic("response", globalKinds[kind]), note(kind))
	}
	p.serve(t, p.topic("request", "text-completion", "demo"), p.topic("response", "text-completion", "demo"), note("text-completion"))
	for _, name := range slices.Concat(sendKinds, streamInterfaces) {
		p.consume(t, p.topic("flow", name, "demo"), func(d *bus.Delivery) {
			w.note(name, d.Body)
			d.Ack()
		})
	}
}

// Each attack is refused, and no service hears of it.
func TestAttacksOnSockets(t *testing.T) {
	p := startPlatform(t, brokertest.URL(t))
	p.define(adminWorkspace, "demo", p.record("demo"))
	g := startGateway(t, brokertest.URL(t), p.space)
	g.awaitReady(t)
	var w witness
	w.serve(t, p)
	for key, frames := range attacks {
		ws := g.mustDial(t, "/api/v1/socket", key)
		for _, text := range frames {
			if err := send(ws, text); err != nil {
				t.Fatal(err)
			}
			f, err := receive(ws)
			if err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			if f.errorType() != "access-denied" || !f.Complete || string(f.ID) != "1" {
				t.Errorf("%s: answered %s %s", text, f.Error, f.Response)
			}
		}
	}
	for _, h := range handshakes {
		for _, inHeader := range []bool{false, true} {
			ws, err := g.dial(h.path, h.key, inHeader)
			if err == nil {
				ws.Close()
			}
			if err == nil || !strings.HasSuffix(err.Error(), fmt.Sprint(h.status)) {
				t.Errorf("%s, want %d: %v", h.path, h.status, err)
			}
		}
	}
	for _, q := range queries {
		req, err := http.NewRequestWithContext(t.Context(), q.method, g.url+q.path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+q.key)
		res, err := g.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %d", q.path, res.StatusCode)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, seen := range w.seen {
		t.Errorf("a service was reached: %s", seen)
	}
}
