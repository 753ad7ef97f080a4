package demo

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"sluice/bus"
)

// blueprint is the only one there is.
const blueprint = "demo"

type flowKey struct{ workspace, id string }

// flow is a running flow: its services, guarded by Platform.mu, and the triples
// it holds.
type flow struct {
	subs  []bus.Subscription
	store *tripleStore
}

// flowRecord is a config item of type `flow` (bus.md section 11).
type flowRecord struct {
	Description string                `json:"description"`
	Blueprint   string                `json:"blueprint-name"`
	Interfaces  map[string]recordPair `json:"interfaces"`
	Parameters  map[string]string     `json:"parameters"`
}

type recordPair struct {
	Request  string `json:"request,omitempty"`
	Response string `json:"response,omitempty"`
	Flow     string `json:"flow,omitempty"`
}

// startFlow brings the services of a flow up and writes its record. Starting a
// flow that already runs changes nothing.
func (p *Platform) startFlow(ctx context.Context, key flowKey, description string) error {
	if key.id == "" || strings.ContainsAny(key.workspace+key.id, ":") {
		return faultf("bad-request", "flow-id must be a name without a colon")
	}
	f := &flow{store: newTripleStore()}
	if !p.reserve(key, f) {
		return nil
	}
	record := flowRecord{Description: description, Blueprint: blueprint, Interfaces: map[string]recordPair{}, Parameters: map[string]string{}}
	subs, err := p.startServices(ctx, key, f.store, record.Interfaces)
	if err != nil || !p.adopt(key, f, subs) {
		p.release(key, f)
		return errors.Join(err, closeAll(ctx, subs))
	}
	value, err := json.Marshal(record)
	if err != nil {
		return err
	}
	text := string(value)
	return p.announce(ctx, p.config.put(key.workspace, []configItem{{Type: "flow", Key: key.id, Value: &text}}))
}

// reserve takes the key before the services start: two sets of them would
// compete for the same queues.
func (p *Platform) reserve(key flowKey, f *flow) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.running[key] != nil {
		return false
	}
	p.running[key] = f
	return true
}

// adopt hands the subscriptions to the flow. It refuses when the flow has been
// stopped, or the platform closed, while they were made.
func (p *Platform) adopt(key flowKey, f *flow, subs []bus.Subscription) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.running[key] != f {
		return false
	}
	f.subs = subs
	return true
}

func (p *Platform) release(key flowKey, f *flow) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running[key] == f {
		delete(p.running, key)
	}
}

// startServices subscribes a flow's services and lists them in interfaces. The
// subscriptions made so far come with an error, too.
func (p *Platform) startServices(ctx context.Context, key flowKey, store *tripleStore, interfaces map[string]recordPair) ([]bus.Subscription, error) {
	var subs []bus.Subscription
	tail := func(name string) string { return ":" + p.topicspace + ":" + key.workspace + ":" + name + ":" + key.id }
	for name, a := range map[string]answer{
		"text-completion": answerCompletion,
		"prompt":          answerPrompt,
		"embeddings":      answerEmbeddings,
		"triples":         store.answer,
	} {
		at := pair{"request" + tail(name), "response" + tail(name)}
		sub, err := p.serve(ctx, at, a)
		if err != nil {
			return subs, err
		}
		subs = append(subs, sub)
		interfaces[name] = recordPair{Request: at.request, Response: at.response}
	}
	load := &loader{p: p, to: "flow" + tail("triples-store")}
	for name, take := range map[string]func(context.Context, []byte) error{
		"triples-store": store.take,
		"text-load":     load.text,
		"document-load": load.document,
	} {
		topic := "flow" + tail(name)
		sub, err := p.consume(ctx, topic, take)
		if err != nil {
			return subs, err
		}
		subs = append(subs, sub)
		interfaces[name] = recordPair{Flow: topic}
	}
	return subs, nil
}

func (p *Platform) stopFlow(ctx context.Context, key flowKey) error {
	p.mu.Lock()
	f := p.running[key]
	delete(p.running, key)
	var subs []bus.Subscription
	if f != nil {
		subs = f.subs
	}
	p.mu.Unlock()
	if f == nil {
		return faultf("flow-error", "No such flow: %s", key.id)
	}
	if err := p.announce(ctx, p.config.remove(key.workspace, []configItem{{Type: "flow", Key: key.id}})); err != nil {
		return err
	}
	return closeAll(ctx, subs)
}

type flowRequest struct {
	Operation   string `json:"operation"`
	Workspace   string `json:"workspace"`
	Blueprint   string `json:"blueprint_name"`
	Description string `json:"description"`
	ID          string `json:"flow_id"`
}

type flowReply struct {
	Blueprints []string          `json:"blueprint_names"`
	Flows      []string          `json:"flow_ids"`
	Definition string            `json:"blueprint_definition"`
	Flow       string            `json:"flow"`
	Text       string            `json:"description"`
	Parameters map[string]string `json:"parameters"`
	Error      *fault            `json:"error"`
}

// answerFlow is the flow service.
func (p *Platform) answerFlow(ctx context.Context, body []byte, send func(any)) error {
	var q flowRequest
	if err := decode(body, &q); err != nil {
		return err
	}
	if q.Workspace == "" {
		return faultf("bad-request", "Workspace is required")
	}
	reply := flowReply{Blueprints: []string{}, Flows: []string{}, Parameters: map[string]string{}}
	err := p.flowOperation(ctx, &q, &reply)
	if err == nil {
		send(reply)
	}
	return err
}

func (p *Platform) flowOperation(ctx context.Context, q *flowRequest, reply *flowReply) error {
	key := flowKey{q.Workspace, q.ID}
	switch q.Operation {
	case "list-blueprints":
		reply.Blueprints = []string{blueprint}
	case "get-blueprint":
		if q.Blueprint != blueprint {
			return faultf("flow-error", "No such blueprint: %s", q.Blueprint)
		}
		reply.Text, reply.Definition = "Echo, hash embeddings and a triple store", `{"class":{},"flow":{},"interfaces":{}}`
	case "list-flows":
		reply.Flows = p.config.keys(q.Workspace, "flow")
	case "get-flow":
		record, ok := p.config.get(q.Workspace, "flow", q.ID)
		if !ok {
			return faultf("flow-error", "No such flow: %s", q.ID)
		}
		reply.Flow = record
	case "start-flow":
		if q.Blueprint != blueprint {
			return faultf("flow-error", "No such blueprint: %s", q.Blueprint)
		}
		return p.startFlow(ctx, key, q.Description)
	case "stop-flow":
		return p.stopFlow(ctx, key)
	default:
		return faultf("bad-operation", "Bad operation")
	}
	return nil
}
