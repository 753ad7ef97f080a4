package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/bus"
	"sluice/bus/amqp/brokertest"
)

const completionPath = "/api/v1/flow/demo/service/text-completion"

// question is a text-completion body that asks for the marker back.
func question(marker string) []byte {
	return fmt.Appendf(nil, `{"system":"echo","prompt":%q}`, marker)
}

// completion is a bus message that answers with a text.
func completion(text string, last bool) []byte {
	return fmt.Appendf(nil, `{"error":null,"response":%q,"in_token":null,"out_token":null,"model":null,"end_of_stream":%v}`, text, last)
}

// prompt is what a text-completion message asks.
func prompt(body []byte) string {
	var q struct{ Prompt string }
	_ = json.Unmarshal(body, &q)
	return q.Prompt
}

// echo answers with the prompt.
func echo(id string, body []byte) ([]message, bool) { return one(id, completion(prompt(body), true)) }

// answerOf is the text of a text-completion reply, or an error.
func answerOf(r reply) (string, error) {
	var a struct{ Response *string }
	if err := json.Unmarshal(r.body, &a); err != nil || r.failed() || a.Response == nil {
		return "", fmt.Errorf("no answer: %v", r)
	}
	return *a.Response, nil
}

// mustAnswer makes a call that has to succeed at once.
func mustAnswer(t *testing.T, g *gateway, marker string) {
	t.Helper()
	r, err := g.post(t.Context(), completionPath, question(marker))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := answerOf(r); err != nil || got != marker {
		t.Fatalf("asked for %q: %v (%q)", marker, err, got)
	}
}

// demoGateway is a gateway with one flow whose text-completion is played by the
// given responder.
func demoGateway(t *testing.T, broker string, answer responder, args ...string) (*platform, *gateway) {
	t.Helper()
	p := startPlatform(t, broker)
	p.define(adminWorkspace, "demo", p.record("demo"))
	if answer != nil {
		p.serve(t, p.topic("request", "text-completion", "demo"), p.topic("response", "text-completion", "demo"), answer)
	}
	g := startGateway(t, broker, p.space, args...)
	g.awaitReady(t)
	return p, g
}

// garbage is what comes back from services instead of an answer, by a name for it.
var garbage = map[string]string{
	"no JSON": "no json", "list": "[]", "number": "5", "empty text": `""`, "null": "null", "unfinished": "{",
	"not UTF-8": "{\"response\":\"\xff\xfe\"}", "blank": " ", "no value": `{"response":}`, "two values": "{}{}",
}

// What services do that they should not. After each of them the next call works.
func TestOddServices(t *testing.T) {
	var mu sync.Mutex
	var late []message
	odd := func(id string, body []byte) ([]message, bool) {
		what := prompt(body)
		good := message{id, completion(what, true)}
		switch {
		case garbage[what] != "":
			return one(id, []byte(garbage[what]))
		case what == "twice":
			return []message{good, good, good}, true
		case what == "streams":
			return []message{{id, completion("a", false)}, {id, completion("b", false)}, good}, true
		case what == "foreign":
			return []message{
				{"", good.body}, {"x", completion("wrong", true)}, {strings.Repeat("x", 255), good.body},
				{"00000000-0000-4000-8000-000000000000", completion("wrong", true)},
				{flipLast(id), completion("wrong", true)}, {strings.ToUpper(id), []byte("garbage")}, good,
			}, true
		case what == "late":
			mu.Lock()
			defer mu.Unlock()
			late = append(late, good)
			return nil, true
		case what == "never":
			return nil, true
		}
		return one(id, good.body)
	}
	p, g := demoGateway(t, brokertest.URL(t), odd, "--part-timeout", "3s", "--strict-status")
	expectError := func(marker string, status int, text string) {
		t.Helper()
		r, err := g.post(t.Context(), completionPath, question(marker))
		if err != nil {
			t.Fatal(err)
		}
		if r.status != status || !bytes.Contains(r.body, []byte(`"gateway-error"`)) || !bytes.Contains(r.body, []byte(text)) {
			t.Errorf("%q: the reply is %v, want %d and a gateway-error with %q", marker, r, status, text)
		}
		mustAnswer(t, g, "after "+marker)
	}
	for marker := range garbage {
		expectError(marker, http.StatusBadGateway, "")
	}
	for _, marker := range []string{"twice", "foreign", "streams"} {
		mustAnswer(t, g, marker)
		mustAnswer(t, g, "after "+marker)
	}
	expectError("never", http.StatusGatewayTimeout, "Timeout")
	expectError("late", http.StatusGatewayTimeout, "Timeout")
	mu.Lock()
	for _, m := range late {
		to := mustTopic(t, p.topic("response", "text-completion", "demo"))
		if err := p.publish(&bus.Message{To: to, ID: m.id, Body: m.body}); err != nil {
			t.Error(err)
		}
	}
	mu.Unlock()
	for i := range 10 {
		mustAnswer(t, g, fmt.Sprintf("after late %d", i))
	}
	eventually(t, "no call is left over", func() error { return g.idle(t) })
}

// flipLast is another id of the same shape.
func flipLast(id string) string {
	b := []byte(id)
	if b[len(b)-1] == '0' {
		b[len(b)-1] = '1'
	} else {
		b[len(b)-1] = '0'
	}
	return string(b)
}

func (g *gateway) idle(t *testing.T) error {
	if n := g.metric(t, "sluice_calls_waiting"); n != 0 {
		return fmt.Errorf("%v calls hold a slot", n)
	}
	return nil
}

// A request that no queue takes fails at once, not after the part time-out.
func TestNoServiceIsListening(t *testing.T) {
	p, g := demoGateway(t, brokertest.URL(t), nil)
	for _, path := range []string{completionPath, "/api/v1/flow/demo/service/text-load", "/api/v1/librarian"} {
		r, err := g.post(t.Context(), path, []byte(`{"system":"s","prompt":"p","text":"eA==","operation":"list-documents"}`))
		if err != nil {
			t.Fatal(err)
		}
		if !r.failed() || !bytes.Contains(r.body, []byte("no service is listening")) {
			t.Errorf("%s: %v", path, r)
		}
	}
	// Somebody starts the service: nothing has to be restarted for it.
	p.serve(t, p.topic("request", "text-completion", "demo"), p.topic("response", "text-completion", "demo"), echo)
	mustAnswer(t, g, "now")
}

// Every gateway receives every reply of a service; each keeps its own.
func TestGatewaysShareServices(t *testing.T) {
	broker := brokertest.URL(t)
	p, first := demoGateway(t, broker, echo)
	second := startGateway(t, broker, p.space)
	second.awaitReady(t)
	var callers sync.WaitGroup
	for name, g := range map[string]*gateway{"first": first, "second": second} {
		if err := g.try("bound", time.Minute); err != nil {
			t.Fatal(err)
		}
		for i := range 64 {
			callers.Go(func() {
				if err := g.try(fmt.Sprintf("%s %d", name, i), time.Minute); err != nil {
					t.Errorf("%s gateway: %v", name, err)
				}
			})
		}
	}
	callers.Wait()
	for _, g := range []*gateway{first, second} {
		if n := g.metric(t, `sluice_replies_dropped_total{reason="foreign"}`); n == 0 {
			t.Error("no reply to the other gateway was noticed")
		}
	}
}

// Parallel calls get their own answers and nobody else's.
func TestAnswersReachTheirCallers(t *testing.T) {
	var mu sync.Mutex
	var held []message
	// Answers come in bunches of eight, backwards.
	backwards := func(id string, body []byte) ([]message, bool) {
		mu.Lock()
		defer mu.Unlock()
		held = append(held, message{id, completion(prompt(body), true)})
		if len(held) < 8 {
			return nil, true
		}
		out := held
		held = nil
		slices.Reverse(out)
		return out, true
	}
	_, g := demoGateway(t, brokertest.URL(t), backwards)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var callers sync.WaitGroup
	for i := range 256 {
		callers.Go(func() {
			marker := fmt.Sprintf("marker %d", i)
			r, err := g.post(ctx, completionPath, question(marker))
			if err != nil {
				t.Error(err)
				return
			}
			if got, err := answerOf(r); err != nil || got != marker {
				t.Errorf("asked for %q: %v (%q)", marker, err, got)
			}
		})
	}
	callers.Wait()
}
