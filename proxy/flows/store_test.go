package flows

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"sluice/bus"
	"sluice/bus/memory"
	"sluice/codec"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// store is a scripted config service. It is the Asker of the tests.
type store struct {
	bus bus.Bus

	mu      sync.Mutex
	version int64
	flows   map[string]map[string]string
	// broken workspaces answer with an error; "" breaks the list.
	broken map[string]bool
	// garbage is the reply to anything, when set.
	garbage []byte
	// asked counts requests by workspace; "" is the list.
	asked map[string]int
	// latency is how long a request takes.
	latency time.Duration
	// listLate is how long the answer of a list is on its way.
	listLate time.Duration
	// busy counts the requests under way, busiest their highest number.
	busy, busiest int
	// before runs when a request has come in, outside the lock.
	before func(operation, workspace string)
}

func newStore(b bus.Bus) *store {
	return &store{bus: b, flows: make(map[string]map[string]string), broken: make(map[string]bool), asked: make(map[string]int)}
}

type configRequest struct {
	Operation string            `json:"operation"`
	Workspace string            `json:"workspace"`
	Keys      []json.RawMessage `json:"keys"`
	Type      string            `json:"type"`
	Values    []json.RawMessage `json:"values"`
}

func (s *store) Ask(kind codec.Kind, msg, dst []byte, _ time.Duration) ([]byte, error) {
	var q configRequest
	if err := json.Unmarshal(msg, &q); err != nil {
		return dst, fmt.Errorf("the request is not what the contract says: %w", err)
	}
	if kind != codec.Config {
		return dst, fmt.Errorf("asked %v", kind)
	}
	s.mu.Lock()
	before := s.before
	s.asked[q.Workspace]++
	s.busy++
	s.busiest = max(s.busiest, s.busy)
	latency := s.latency
	s.mu.Unlock()
	if before != nil {
		before(q.Operation, q.Workspace)
	}
	time.Sleep(latency)
	s.mu.Lock()
	body, err := s.answer(q, dst)
	late := s.listLate
	s.mu.Unlock()
	if q.Operation == "getvalues-all-ws" {
		time.Sleep(late)
	}
	s.mu.Lock()
	s.busy--
	s.mu.Unlock()
	return body, err
}

func (s *store) answer(q configRequest, dst []byte) ([]byte, error) {
	if s.garbage != nil {
		return append(dst, s.garbage...), nil
	}
	if s.broken[q.Workspace] {
		return append(dst, `{"version":0,"values":[],"directory":[],"config":{},"error":{"type":"config-error","message":"no"}}`...), nil
	}
	reply := map[string]any{"version": s.version, "values": []any{}, "directory": []any{}, "config": map[string]any{}, "error": nil}
	switch q.Operation {
	case "getvalues-all-ws":
		if q.Type != "flow" {
			return dst, errors.New("list of another type")
		}
		values := []any{}
		for ws, flows := range s.flows {
			for flow, text := range flows {
				values = append(values, map[string]any{"type": "flow", "key": flow, "value": text, "workspace": ws})
			}
		}
		reply["values"] = values
	case "config":
		reply["config"] = map[string]any{"flow": s.flows[q.Workspace], "prompt": map[string]any{"system": "\"x\""}}
	default:
		return dst, errors.New("unexpected operation")
	}
	body, err := json.Marshal(reply)
	return append(dst, body...), err
}

// put changes a flow without telling anybody; an empty text deletes it.
func (s *store) put(ws, flow, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version++
	if s.flows[ws] == nil {
		s.flows[ws] = make(map[string]string)
	}
	s.flows[ws][flow] = text
	if text == "" {
		delete(s.flows[ws], flow)
	}
	if len(s.flows[ws]) == 0 {
		delete(s.flows, ws)
	}
}

// edit changes the script.
func (s *store) edit(f func(s *store)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s)
}

// announce publishes a notification with the version of the store.
func (s *store) announce(t *testing.T, changes string) {
	t.Helper()
	s.mu.Lock()
	v := s.version
	s.mu.Unlock()
	s.publish(t, fmt.Sprintf(`{"version": %d, "changes": %s}`, v, changes))
}

func (s *store) publish(t *testing.T, body string) {
	t.Helper()
	to, err := bus.ParseTopic("notify:tg:config")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.bus.Publish(t.Context(), &bus.Message{To: to, Body: []byte(body)}); err != nil {
		t.Fatal(err)
	}
}

func (s *store) asks(ws string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[ws]
}

// recorder is a Table that remembers.
type recorder struct {
	mu        sync.Mutex
	flows     map[string]codec.FlowRecord // "workspace/flow"
	log       []string                    // what happened, in order
	refreshed map[string]int
}

func newRecorder() *recorder {
	return &recorder{flows: make(map[string]codec.FlowRecord), refreshed: make(map[string]int)}
}

func (r *recorder) StartFlow(ws, flow string, rec codec.FlowRecord) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.flows[ws+"/"+flow] = rec
	r.log = append(r.log, "start "+ws+"/"+flow)
}

func (r *recorder) StopFlow(ws, flow string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.flows, ws+"/"+flow)
	r.log = append(r.log, "stop "+ws+"/"+flow)
}

func (r *recorder) Refresh(ws string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refreshed[ws]++
	r.log = append(r.log, "refresh "+ws)
}

func (r *recorder) running() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(maps.Keys(r.flows))
}

func (r *recorder) refreshes(ws string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.refreshed[ws]
}

func (r *recorder) history() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.log)
}

func (r *recorder) topic(flow, iface string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.flows[flow].Interfaces[iface].Request
}

// unsteady is a bus that can be said to be down.
type unsteady struct {
	bus.Bus
	down atomic.Bool
	subs atomic.Int64
}

var errDown = errors.New("down")

func (u *unsteady) Ready() error {
	if u.down.Load() {
		return errDown
	}
	return u.Bus.Ready()
}

func (u *unsteady) Subscribe(ctx context.Context, c bus.Consumer) (bus.Subscription, error) {
	if u.down.Load() {
		return nil, errDown
	}
	u.subs.Add(1)
	return u.Bus.Subscribe(ctx, c)
}

// scene is a Receiver with everything around it, in a bubble of its own time.
type scene struct {
	store *store
	table *recorder
	bus   *unsteady
	r     *Receiver
}

// play runs a story in a bubble. script prepares the scene before the Receiver
// starts.
func play(t *testing.T, script, story func(t *testing.T, s *scene)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &unsteady{Bus: memory.New(nil)}
		s := &scene{store: newStore(b), table: newRecorder(), bus: b}
		if script != nil {
			script(t, s)
		}
		r, err := NewReceiver(ReceiverConfig{Bus: b, Asker: s.store, Table: s.table, Log: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		s.r = r
		story(t, s)
		if err := r.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if err := b.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// settled waits until what was announced is done. The clock moves on by the
// least time between two fetches of a workspace.
func (s *scene) settled() {
	time.Sleep(fetchGap)
	synctest.Wait()
}

func (s *scene) expect(t *testing.T, want ...string) {
	t.Helper()
	s.settled()
	if got := s.table.running(); !slices.Equal(got, want) {
		t.Errorf("running flows are %v, want %v", got, want)
	}
}

// record is the text of a flow record with one service.
func record(topic string) string {
	return `{"description":"x","interfaces":{"text-completion":{"request":"request:tg:` + topic + `","response":"response:tg:` + topic + `"}}}`
}
