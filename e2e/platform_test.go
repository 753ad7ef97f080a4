package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/bus"
	"sluice/bus/amqp"
	"sluice/codec"
)

var flowKinds = []string{
	"text-completion", "agent", "prompt", "mcp-tool", "graph-rag", "document-rag", "embeddings", "graph-embeddings",
	"document-embeddings", "row-embeddings", "triples", "sparql", "rows", "nlp-query", "structured-query", "structured-diag",
}

var sendKinds = []string{"text-load", "document-load"}

// streamInterfaces are what import and export go through.
var streamInterfaces = []string{
	"triples-store", "graph-embeddings-store", "document-embeddings-store", "entity-contexts-load", "rows-store",
}

// globalKinds maps the global kinds to the name in their topics.
var globalKinds = map[string]string{
	"config": "config", "flow": "flow", "iam": "iam", "librarian": "librarian", "knowledge": "knowledge",
	"collection-management": "collection",
}

// The identity behind apiKey.
const (
	adminID        = "e2e-admin"
	adminWorkspace = "default"
)

// Credentials of a reader in the administrator's workspace, and of a writer in
// workspace acme.
const (
	readerKey   = "tg_e2e-reader-key-012345678"
	strangerKey = "tg_e2e-stranger-key-0123456"
)

// platform plays the services behind a gateway.
type platform struct {
	bus   bus.Bus
	space string

	mu      sync.Mutex
	version int64
	flows   map[string]map[string]string

	// scripted, when set, answers config requests instead of the store, and IAM
	// requests that the gateway does not make for itself.
	scripted [2]atomic.Pointer[responder]
}

const (
	scriptConfig = iota
	scriptIAM
)

// responder answers a bus message with any number of others. ok false gives
// the message back to the queue.
type responder func(id string, body []byte) (replies []message, ok bool)

// message is a reply with an id that may be another than the request's.
type message struct {
	id   string
	body []byte
}

var spaces atomic.Int64

// startPlatform connects to a broker and plays config and IAM, in a topicspace of
// the test's own unless one is given.
func startPlatform(t *testing.T, broker string, space ...string) *platform {
	t.Helper()
	space = append(space, fmt.Sprintf("e2e%d-%d", time.Now().UnixNano(), spaces.Add(1)))
	b, err := amqp.Open(amqp.Config{URLs: []string{broker}, Name: "e2e", Logger: slog.New(slog.DiscardHandler)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	p := &platform{
		bus: b, space: space[0], flows: make(map[string]map[string]string),
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := b.Close(ctx); err != nil {
			t.Errorf("closing the services' bus: %v", err)
		}
	})
	eventually(t, "the services are connected", b.Ready)
	p.serve(t, p.topic("request", "config"), p.topic("response", "config"), p.answerConfig)
	p.serve(t, p.topic("request", "iam"), p.topic("response", "iam"), p.answerIAM)
	return p
}

// topic is the id of a topic in the platform's space.
func (p *platform) topic(class string, name ...string) string {
	return class + ":" + p.space + ":" + strings.Join(name, ":")
}

// serve runs a service until the test ends. prefetch, if given, is how many
// requests it takes at a time.
func (p *platform) serve(t *testing.T, request, response string, answer responder, prefetch ...int) {
	t.Helper()
	to := mustTopic(t, response)
	p.consume(t, request, func(d *bus.Delivery) {
		replies, ok := answer(strings.Clone(d.ID), d.Body)
		for _, m := range replies {
			ok = ok && p.publish(&bus.Message{To: to, ID: m.id, Body: m.body}) == nil
		}
		if !ok {
			d.Requeue()
			return
		}
		d.Ack()
	}, prefetch...)
}

func (p *platform) publish(m *bus.Message) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, err := p.bus.Publish(ctx, m)
	return err
}

// consume subscribes to a topic, under the name that the services here have, until
// the test ends.
func (p *platform) consume(t *testing.T, topic string, h bus.Handler, prefetch ...int) {
	t.Helper()
	prefetch = append(prefetch, 256)
	c := bus.Consumer{Topic: mustTopic(t, topic), Name: "e2e", Prefetch: prefetch[0], Handler: h}
	eventually(t, "subscribed to "+topic, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_, err := p.bus.Subscribe(ctx, c) // ends with the bus
		return err
	})
}

func mustTopic(t *testing.T, id string) bus.Topic {
	t.Helper()
	topic, err := bus.ParseTopic(id)
	if err != nil {
		t.Fatal(err)
	}
	return topic
}

// refresh declares topics again and binds the services' queues to them.
func (p *platform) refresh(t *testing.T, ids ...string) {
	t.Helper()
	topics := make([]bus.Topic, len(ids))
	for i, id := range ids {
		topics[i] = mustTopic(t, id)
	}
	eventually(t, "refreshed", func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		return p.bus.Refresh(ctx, topics...)
	})
}

// one answers every request with the same message.
func one(id string, body []byte) ([]message, bool) { return []message{{id, body}}, true }

// answerConfig plays config-svc.
func (p *platform) answerConfig(id string, body []byte) ([]message, bool) {
	if f := p.scripted[scriptConfig].Load(); f != nil {
		return (*f)(id, body)
	}
	return p.answerStored(id, body)
}

// answerStored answers what a gateway asks for itself.
func (p *platform) answerStored(id string, body []byte) ([]message, bool) {
	var q struct{ Operation, Workspace string }
	if err := json.Unmarshal(body, &q); err != nil {
		return nil, true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	reply := map[string]any{"version": p.version, "values": []any{}, "directory": []any{}, "config": map[string]any{}, "error": nil}
	switch q.Operation {
	case "getvalues-all-ws":
		values := []any{}
		for ws, flows := range p.flows {
			for flow, text := range flows {
				values = append(values, map[string]any{"type": "flow", "key": flow, "value": text, "workspace": ws})
			}
		}
		reply["values"] = values
	case "config":
		reply["config"] = map[string]any{"flow": p.flows[q.Workspace]}
	default:
		reply["error"] = map[string]any{"type": "bad-operation", "message": "Bad operation"}
	}
	text, err := json.Marshal(reply)
	if err != nil {
		return nil, true
	}
	return one(id, text)
}

// answerIAM plays iam-svc. What the gateway asks for itself has no actor.
func (p *platform) answerIAM(id string, body []byte) ([]message, bool) {
	q, err := codec.ParseIAMRequest(body)
	f := p.scripted[scriptIAM].Load()
	if f != nil && (err != nil || q.Actor != "") {
		return (*f)(id, body)
	}
	if err != nil {
		return nil, true
	}
	var r codec.IAMReply
	switch {
	case q.Operation == "resolve-api-key" && q.APIKey == apiKey:
		r.ResolvedUserID, r.ResolvedWorkspace, r.ResolvedRoles = adminID, adminWorkspace, []string{"admin"}
	case q.Operation == "resolve-api-key" && q.APIKey == readerKey:
		r.ResolvedUserID, r.ResolvedWorkspace, r.ResolvedRoles = "e2e-reader", adminWorkspace, []string{"reader"}
	case q.Operation == "resolve-api-key" && q.APIKey == strangerKey:
		r.ResolvedUserID, r.ResolvedWorkspace, r.ResolvedRoles = "e2e-stranger", "acme", []string{"writer"}
	default:
		r.Error = &codec.ServiceError{Type: "auth-failed", Message: "no"}
	}
	text, err := codec.MarshalIAMReply(&r)
	if err != nil {
		return nil, true
	}
	return one(id, text)
}

// define stores a flow record without a word to anybody; an empty text deletes
// it. It returns the version of the store.
func (p *platform) define(workspace, flow, record string) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.version++
	if p.flows[workspace] == nil {
		p.flows[workspace] = make(map[string]string)
	}
	p.flows[workspace][flow] = record
	if record == "" {
		delete(p.flows[workspace], flow)
	}
	return p.version
}

// putFlow defines a flow and tells the gateway.
func (p *platform) putFlow(t *testing.T, workspace, flow, record string) {
	t.Helper()
	version := p.define(workspace, flow, record)
	p.notify(t, fmt.Sprintf(`{"version":%d,"changes":{"flow":[%q]}}`, version, workspace))
}

func (p *platform) notify(t *testing.T, body string) {
	t.Helper()
	m := &bus.Message{To: mustTopic(t, p.topic("notify", "config")), Body: []byte(body)}
	eventually(t, "notified", func() error { return p.publish(m) })
}

// record is a flow record with every interface. Its topics contain the name.
func (p *platform) record(name string) string {
	interfaces := make(map[string]any)
	for _, kind := range flowKinds {
		interfaces[kind] = map[string]string{"request": p.topic("request", kind, name), "response": p.topic("response", kind, name)}
	}
	for _, kind := range slices.Concat(sendKinds, streamInterfaces) {
		interfaces[kind] = map[string]string{"flow": p.topic("flow", kind, name)}
	}
	text, err := json.Marshal(map[string]any{"description": "end to end", "interfaces": interfaces})
	if err != nil {
		panic(err) // strings always marshal
	}
	return string(text)
}
