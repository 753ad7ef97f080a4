package clients

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/bus"
	"sluice/bus/amqp"
	"sluice/bus/amqp/brokertest"
)

// paced is a text-completion service of a flow "paced" that answers when it is
// told to, so that tests need no timing to see what runs at the same time:
//
//	hold NAME     one part "holding ", then nothing until it is released
//	release NAME  ends that one with a part "released", then answers "done"
//	anything else comes back at once, in one part
type paced struct {
	bus bus.Bus
	to  bus.Topic

	mu      sync.Mutex
	holding map[string]string // name → id
}

// startPaced adds the flow to the platform and waits until the gateway knows it.
// The flow also has streams of embeddings that nobody stores.
func (p *platform) startPaced(t *testing.T) *paced {
	t.Helper()
	b, err := amqp.Open(amqp.Config{URLs: []string{brokertest.URL(t)}, Name: "paced", Logger: slog.New(slog.DiscardHandler)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := b.Close(ctx); err != nil {
			t.Errorf("closing the paced service: %v", err)
		}
	})
	eventually(t, "the paced service is connected", b.Ready)
	request, response := "request:"+p.space+":paced", "response:"+p.space+":paced"
	s := &paced{bus: b, to: topic(t, response), holding: make(map[string]string)}
	if _, err := b.Subscribe(t.Context(), bus.Consumer{Topic: topic(t, request), Name: "paced", Handler: s.take}); err != nil {
		t.Fatal(err)
	}
	p.putFlow(t, "paced", fmt.Sprintf(
		`{"interfaces":{"text-completion":{"request":%q,"response":%q},"graph-embeddings-store":{"flow":"flow:%s:paced"}}}`,
		request, response, p.space))
	return s
}

// putFlow writes a flow record through the gateway and waits until it is used.
func (p *platform) putFlow(t *testing.T, flow, record string) {
	t.Helper()
	values, err := json.Marshal([]map[string]string{{"type": "flow", "key": flow, "value": record}})
	if err != nil {
		t.Fatal(err)
	}
	p.post(t, "/api/v1/config", fmt.Sprintf(`{"operation":"put","values":%s}`, values), nil)
	eventually(t, "the gateway knows the flow "+flow, func() error {
		status, body, err := p.call("/api/v1/flow/"+flow+"/service/text-completion", `{"system":"","prompt":"known?"}`)
		if err != nil || status != http.StatusOK || !strings.Contains(string(body), "known?") {
			return fmt.Errorf("%d %s %w", status, body, err)
		}
		return nil
	})
}

func topic(t *testing.T, id string) bus.Topic {
	t.Helper()
	parsed, err := bus.ParseTopic(id)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func (s *paced) take(d *bus.Delivery) {
	defer d.Ack()
	var q struct{ Prompt string }
	if json.Unmarshal(d.Body, &q) != nil {
		return
	}
	id := strings.Clone(d.ID)
	verb, name, _ := strings.Cut(q.Prompt, " ")
	s.mu.Lock()
	defer s.mu.Unlock()
	switch verb {
	case "hold":
		s.holding[name] = id
		s.send(id, "holding ", false)
	case "release":
		s.release(name)
		s.send(id, "done", true)
	default:
		s.send(id, q.Prompt, true)
	}
}

// release needs mu.
func (s *paced) release(name string) {
	s.send(s.holding[name], "released", true)
	delete(s.holding, name)
}

// ServeHTTP releases the name in the URL's path, for who cannot ask through the
// gateway.
func (s *paced) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.release(strings.TrimPrefix(r.URL.Path, "/"))
}

// send answers with one part. A failure shows as an answer that never comes.
func (s *paced) send(id, text string, last bool) {
	if id == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	body := fmt.Appendf(nil, `{"error":null,"response":%q,"in_token":null,"out_token":null,"model":"paced","end_of_stream":%v}`, text, last)
	_, _ = s.bus.Publish(ctx, &bus.Message{To: s.to, ID: id, Body: body})
}
