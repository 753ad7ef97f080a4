package dispatch

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"sluice/bus"
	"sluice/bus/bustest"
	"sluice/bus/memory"
	"sluice/codec"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fixture is a table over an in-process bus.
type fixture struct {
	*testing.T
	bus     *memory.Bus
	pending *Pending
	table   *Table
}

func newFixture(t *testing.T, c Config) *fixture {
	t.Helper()
	pending := NewPending(0)
	f := &fixture{T: t, bus: memory.New(pending), pending: pending}
	f.table = New(f.bus, pending, c)
	t.Cleanup(f.close)
	return f
}

// close ends everything and insists that nothing is left. It may be called
// early, as synctest needs it.
func (f *fixture) close() {
	f.Helper()
	ctx := context.Background()
	if err := f.table.Close(ctx); err != nil {
		f.Errorf("close table: %v", err)
	}
	if err := f.bus.Close(ctx); err != nil {
		f.Errorf("close bus: %v", err)
	}
	if n := f.pending.Waiting(); n != 0 {
		f.Errorf("%d slots are still in use", n)
	}
}

func topic(t testing.TB, id string) bus.Topic {
	t.Helper()
	topic, err := bus.ParseTopic(id)
	if err != nil {
		t.Fatal(err)
	}
	return topic
}

// serve runs a service: handle gets each request's id and sends parts with
// reply.
func (f *fixture) serve(request, response string, handle func(body string, reply func(msg string))) bus.Subscription {
	f.Helper()
	to := topic(f, response)
	s, err := f.bus.Subscribe(context.Background(), bus.Consumer{
		Topic: topic(f, request), Name: "svc",
		Handler: func(d *bus.Delivery) {
			id := strings.Clone(d.ID) // handle may answer when d is settled
			handle(string(d.Body), func(msg string) {
				m := bus.Message{To: to, ID: id, Body: []byte(msg)}
				if _, err := f.bus.Publish(context.Background(), &m); err != nil {
					f.Logf("reply: %v", err)
				}
			})
			d.Ack()
		},
	})
	if err != nil {
		f.Fatal(err)
	}
	return s
}

// record is a flow with text-completion and text-load of its own.
func record(name string) codec.FlowRecord {
	return codec.FlowRecord{Interfaces: map[string]codec.Interface{
		"text-completion": {Request: "request:tg:tc:" + name, Response: "response:tg:tc:" + name},
		"prompt":          {Request: "request:tg:prompt:" + name, Response: "response:tg:prompt:" + name},
		"text-load":       {Flow: "flow:tg:text-load:" + name},
		"triples-store":   {Flow: "flow:tg:triples-store:" + name},
	}}
}

var completion = Key{"acme", "main", codec.TextCompletion}

// parsed returns a request of kind k.
func parsed(t testing.TB, k codec.Kind, body string) *codec.Request {
	t.Helper()
	r := new(codec.Request)
	if err := r.Parse(k, []byte(body)); err != nil {
		t.Fatal(err)
	}
	return r
}

func ask(t testing.TB, prompt string) *codec.Request {
	t.Helper()
	return parsed(t, codec.TextCompletion, fmt.Sprintf(`{"system":"s","prompt":%q}`, prompt))
}

// part is a text-completion message from a service.
func part(text string, final bool) string {
	return fmt.Sprintf(`{"error":null,"response":%q,"in_token":0,"out_token":0,"model":"","end_of_stream":%v}`, text, final)
}

// promptOf takes the prompt out of a text-completion request on the bus.
func promptOf(body string) string {
	_, rest, _ := strings.Cut(body, `"prompt":`)
	_, rest, _ = strings.Cut(rest, `"`)
	text, _, _ := strings.Cut(rest, `"`)
	return text
}

// echo answers with the prompt.
func echo(body string, reply func(string)) { reply(part(promptOf(body), true)) }

// dropped returns the value of sluice_replies_dropped_total.
func dropped(t testing.TB, reason string) int {
	t.Helper()
	families, err := prometheus.DefaultGatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != "sluice_replies_dropped_total" {
			continue
		}
		for _, m := range family.GetMetric() {
			if m.GetLabel()[0].GetValue() == reason {
				return int(m.GetCounter().GetValue())
			}
		}
	}
	t.Fatalf("no counter for %s", reason)
	return 0
}

func waitUntil(t testing.TB, what string, done func() bool) {
	t.Helper()
	bustest.Wait(t, what, done)
}
