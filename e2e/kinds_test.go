package e2e

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/bus"
	"sluice/bus/amqp/brokertest"
)

// stub is a service that checks nothing itself: it keeps what it was asked and
// answers what it was told.
type stub struct {
	mu     sync.Mutex
	answer []byte
	asked  [][]byte
}

func (s *stub) respond(id string, body []byte) ([]message, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, slices.Clone(body))
	return one(id, s.answer)
}

// expect sets the next answer and forgets what was asked.
func (s *stub) expect(answer []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer, s.asked = answer, nil
}

func (s *stub) questions() [][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// Every vector of every kind, over HTTP and a real broker, through the binary:
// the services see the `out` of requests and answer with the `in` of responses.
func TestEveryKind(t *testing.T) {
	broker := brokertest.URL(t)
	p := startPlatform(t, broker)
	for _, ws := range workspacesOfFlowVectors(t) {
		p.define(ws, "demo", p.record("demo"))
	}
	g := startGateway(t, broker, p.space)
	g.awaitReady(t)
	t.Run("services", func(t *testing.T) {
		for _, kind := range flowKinds {
			t.Run(kind, func(t *testing.T) {
				t.Parallel()
				s := &stub{}
				p.serve(t, p.topic("request", kind, "demo"), p.topic("response", kind, "demo"), s.respond)
				exchangeAll(t, g, s, kind, "/api/v1/flow/demo/service/"+kind)
			})
		}
		for kind, name := range globalKinds {
			t.Run("global "+kind, func(t *testing.T) {
				t.Parallel()
				exchangeAll(t, g, p.globalStub(t, kind, name), kind, "/api/v1/"+kind)
			})
		}
		for _, kind := range sendKinds {
			t.Run(kind, func(t *testing.T) {
				t.Parallel()
				sendAll(t, g, p, kind)
			})
		}
	})
}

// globalStub plays a global service. Two of them are played already.
func (p *platform) globalStub(t *testing.T, kind, name string) *stub {
	s := &stub{}
	respond := responder(s.respond)
	switch kind {
	case "config":
		p.scripted[scriptConfig].Store(&respond)
	case "iam":
		p.scripted[scriptIAM].Store(&respond)
	default:
		p.serve(t, p.topic("request", name), p.topic("response", name), respond)
	}
	return s
}

// workspacesOfFlowVectors are those that bodies of flow kinds name: there the
// gateway looks for the flow.
func workspacesOfFlowVectors(t *testing.T) []string {
	out := []string{adminWorkspace}
	for _, kind := range slices.Concat(flowKinds, sendKinds) {
		dir := "request"
		if slices.Contains(sendKinds, kind) {
			dir = "send"
		}
		for _, v := range vectors(t, kind, dir) {
			if ws, ok := workspaceOf(t, v).(string); ok && ws != "" && !slices.Contains(out, ws) {
				out = append(out, ws)
			}
		}
	}
	return out
}

func workspaceOf(t *testing.T, v vector) any {
	t.Helper()
	in, err := parse(v.In)
	if err != nil {
		t.Fatalf("%s: %v", v.Name, err)
	}
	body, _ := in.(map[string]any)
	return body["workspace"]
}

// truthy is what the workspace rule of iam.md section 9.2 calls a given workspace.
func truthy(v any) bool {
	switch v := v.(type) {
	case nil:
		return false
	case bool:
		return v
	case string:
		return v != ""
	case json.Number:
		f, err := v.Float64()
		return err != nil || f != 0
	case []any:
		return len(v) > 0
	case map[string]any:
		return len(v) > 0
	}
	return true
}

// expectedMessage is the `out` of a request vector with what the front door
// decides: over HTTP nothing is streamed, the workspace is always set, and the
// actor of an IAM request is whoever calls.
func expectedMessage(t *testing.T, v vector) any {
	t.Helper()
	want, err := parse(v.Out)
	if err != nil {
		t.Fatalf("%s: %v", v.Name, err)
	}
	members := want.(map[string]any)
	if _, ok := members["streaming"]; ok {
		members["streaming"] = false
	}
	if _, ok := members["workspace"]; ok && !truthy(workspaceOf(t, v)) {
		members["workspace"] = adminWorkspace
	}
	if v.Kind == "iam" {
		members["actor"] = adminID
		nullAbsentFlags(t, v, members)
	}
	return want
}

// nullAbsentFlags: an update forwards null for the flags that it does not name, so
// that the service keeps them (D12).
func nullAbsentFlags(t *testing.T, v vector, want map[string]any) {
	t.Helper()
	given, err := parse(v.In)
	if err != nil {
		t.Fatalf("%s: %v", v.Name, err)
	}
	body, _ := given.(map[string]any)
	for operation, flags := range map[string]struct {
		record string
		names  []string
	}{
		"update-user":      {"user", []string{"enabled", "must_change_password"}},
		"update-workspace": {"workspace_record", []string{"enabled"}},
	} {
		record, _ := want[flags.record].(map[string]any)
		if body["operation"] != operation || record == nil {
			continue
		}
		named, _ := body[flags.record].(map[string]any)
		for _, name := range flags.names {
			if _, ok := named[name]; !ok {
				record[name] = nil
			}
		}
	}
}

// exchangeAll sends every request vector and lets every final response vector
// come back, pairing them as they come.
func exchangeAll(t *testing.T, g *gateway, s *stub, kind, path string) {
	requests := vectors(t, kind, "request")
	var responses []vector
	for _, v := range vectors(t, kind, "response") {
		if v.Final {
			responses = append(responses, v)
		}
	}
	for i := range max(len(requests), len(responses)) {
		exchange(t, g, s, path, requests[i%len(requests)], responses[i%len(responses)])
		if t.Failed() {
			return
		}
	}
}

func exchange(t *testing.T, g *gateway, s *stub, path string, request, response vector) {
	t.Helper()
	if ws := workspaceOf(t, request); truthy(ws) && strings.HasPrefix(path, "/api/v1/flow/") {
		if _, ok := ws.(string); !ok {
			return // no flow can be in a workspace that is not a text
		}
	}
	s.expect(response.In)
	r, err := g.post(t.Context(), path, request.In)
	if err != nil {
		t.Fatalf("%s: %v", request.Name, err)
	}
	asked := s.questions()
	if len(asked) != 1 {
		t.Fatalf("%s: the service was asked %d times; the reply is %v", request.Name, len(asked), r)
	}
	compare(t, request.Name+" on the bus", asked[0], expectedMessage(t, request))
	want, err := parse(response.Out)
	if err != nil {
		t.Fatal(err)
	}
	if r.status != http.StatusOK {
		t.Errorf("%s: status %d", response.Name, r.status)
	}
	compare(t, response.Name+" over HTTP", r.body, want)
}

func compare(t *testing.T, what string, text []byte, want any) {
	t.Helper()
	got, err := parse(text)
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	if d := differ("it", got, want); d != "" {
		t.Errorf("%s: %s\n got %.2000s", what, d, text)
	}
}

// sendAll sends every vector of a sender kind, one after the other, and reads
// the queue.
func sendAll(t *testing.T, g *gateway, p *platform, kind string) {
	queue := make(chan []byte, 16)
	p.consume(t, p.topic("flow", kind, "demo"), func(d *bus.Delivery) {
		if d.ID != "" {
			t.Errorf("a message of class flow has the id header %q", d.ID)
		}
		queue <- slices.Clone(d.Body)
		d.Ack()
	})
	for _, v := range vectors(t, kind, "send") {
		if _, ok := workspaceOf(t, v).(string); !ok && truthy(workspaceOf(t, v)) {
			continue
		}
		r, err := g.post(t.Context(), "/api/v1/flow/demo/service/"+kind, v.In)
		if err != nil {
			t.Fatalf("%s: %v", v.Name, err)
		}
		if r.status != http.StatusOK || string(r.body) != "{}" {
			t.Fatalf("%s: %v", v.Name, r)
		}
		select {
		case got := <-queue:
			compare(t, v.Name+" on the bus", got, expectedMessage(t, v))
		case <-time.After(time.Minute):
			t.Fatalf("%s: confirmed, but not in the queue", v.Name)
		}
	}
}
