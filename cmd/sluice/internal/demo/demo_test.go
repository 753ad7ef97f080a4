package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"reflect"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/bus"
	"sluice/bus/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// client talks to a platform the way a gateway does.
type client struct {
	t    *testing.T
	bus  bus.Bus
	p    *Platform
	last atomic.Int64
}

func start(t *testing.T) *client {
	t.Helper()
	b := memory.New(nil)
	p, err := Start(t.Context(), b, "dev", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.Background()
		if err := p.Close(ctx); err != nil {
			t.Error(err)
		}
		if err := p.Close(ctx); err != nil {
			t.Errorf("second Close: %v", err)
		}
		if err := b.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return &client{t: t, bus: b, p: p}
}

func mustTopic(t *testing.T, id string) bus.Topic {
	t.Helper()
	topic, err := bus.ParseTopic(id)
	if err != nil {
		t.Fatal(err)
	}
	return topic
}

// call publishes a request and returns the parts up to the one that last tells.
func (c *client) call(name, body string, last func(part map[string]any) bool) []map[string]any {
	c.t.Helper()
	id := strconv.FormatInt(c.last.Add(1), 10)
	parts := make(chan map[string]any, 64)
	sub, err := c.bus.Subscribe(c.t.Context(), bus.Consumer{Topic: mustTopic(c.t, "response:dev:"+name), Handler: func(d *bus.Delivery) {
		defer d.Ack()
		var part map[string]any
		if err := json.Unmarshal(d.Body, &part); err != nil {
			c.t.Errorf("reply of %s: %v", name, err)
		}
		if d.ID == id {
			parts <- part
		}
	}})
	if err != nil {
		c.t.Fatal(err)
	}
	defer sub.Close(context.Background())
	if _, err := c.bus.Publish(c.t.Context(), &bus.Message{To: mustTopic(c.t, "request:dev:"+name), ID: id, Body: []byte(body)}); err != nil {
		c.t.Fatal(err)
	}
	var got []map[string]any
	for {
		select {
		case part := <-parts:
			if got = append(got, part); part["error"] != nil || last(part) {
				return got
			}
		case <-time.After(10 * time.Second):
			c.t.Fatalf("%s: no last part after %d parts", name, len(got))
		}
	}
}

func (c *client) once(name, body string) map[string]any {
	c.t.Helper()
	return c.call(name, body, func(map[string]any) bool { return true })[0]
}

func flag(name string) func(map[string]any) bool {
	return func(part map[string]any) bool { return part[name] == true }
}

func TestCompletionEchoes(t *testing.T) {
	c := start(t)
	for _, prompt := range []string{"", "one", "to be or not to be", "tab\tand\nline"} {
		for _, streaming := range []bool{false, true} {
			q, _ := json.Marshal(map[string]any{"system": "s", "prompt": prompt, "streaming": streaming})
			parts := c.call("default:text-completion:default", string(q), flag("end_of_stream"))
			text := ""
			for _, p := range parts {
				text += p["response"].(string)
			}
			if text != prompt {
				t.Errorf("streaming %t: %q came back as %q", streaming, prompt, text)
			}
			if streaming && len(parts) < 3 || !streaming && len(parts) != 1 {
				t.Errorf("streaming %t: %d parts", streaming, len(parts))
			}
		}
	}
}

func TestPromptShowsIDAndTerms(t *testing.T) {
	c := start(t)
	part := c.once("default:prompt:default", `{"id":"hello","terms":{"name":"\"Bob\"","age":3},"streaming":false}`)
	if want := "hello\nage = 3\nname = \"Bob\""; part["text"] != want || part["end_of_stream"] != true {
		t.Errorf("got %v, want text %q", part, want)
	}
}

func TestEmbeddingsAreUnitVectorsOfTheText(t *testing.T) {
	c := start(t)
	reply := c.once("default:embeddings:default", `{"texts":["a cat","a dog","cat a","a cat",""]}`)
	vectors := reply["vectors"].([]any)
	for i, v := range vectors {
		var square float64
		for _, x := range v.([]any) {
			square += x.(float64) * x.(float64)
		}
		if math.Abs(square-1) > 1e-9 {
			t.Errorf("vector %d has length² %g", i, square)
		}
		for j := range i {
			if same := reflect.DeepEqual(v, vectors[j]); same != (i == 3 && j == 0) {
				t.Errorf("vectors %d and %d: equal is %t", i, j, same)
			}
		}
	}
}

// Shared words bring texts together.
func TestEmbeddingsOfRelatedTextsAreCloser(t *testing.T) {
	cosine := func(a, b string) (sum float64) {
		v, w := embed(a), embed(b)
		for i := range v {
			sum += v[i] * w[i]
		}
		return sum
	}
	if near, far := cosine("the quick brown fox", "the quick brown dog"), cosine("the quick brown fox", "invoice for march"); near <= far {
		t.Errorf("related %g, unrelated %g", near, far)
	}
}

func TestLoadedTextComesBackAsTriples(t *testing.T) {
	c := start(t)
	text := strings.Join([]string{
		"# people",
		"alice knows bob .",
		"alice knows bob .",
		`<http://x/alice> <http://x/name> "Al \"ice\""@en .`,
		`alice age "42"^^<http://x/int>`,
		"_:b knows alice.",
		"two words",
		`alice says "open`,
		"a b c d .",
		"",
	}, "\n")
	body, _ := json.Marshal(map[string]any{"metadata": metadata{ID: "d", Collection: "people"}, "text": text})
	if _, err := c.bus.Publish(t.Context(), &bus.Message{To: mustTopic(t, "flow:dev:default:text-load:default"), Body: body}); err != nil {
		t.Fatal(err)
	}
	// The store is fed behind our back: ask until it has everything.
	var all []any
	for deadline := time.Now().Add(10 * time.Second); len(all) != 4 && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		all = c.once("default:triples:default", `{"collection":"people","limit":100}`)["triples"].([]any)
	}
	if len(all) != 4 {
		t.Fatalf("%d triples, want 4: %v", len(all), all)
	}
	for _, row := range []struct {
		query string
		want  int
	}{
		{`{"collection":"people"}`, 4},
		{`{"collection":"people","limit":2}`, 2},
		{`{"collection":"people","limit":0}`, 0},
		{`{"collection":"other"}`, 0},
		{`{"collection":"people","s":{"type":"i","iri":"alice"}}`, 2},
		{`{"collection":"people","p":{"type":"i","iri":"knows"},"o":{"type":"i","iri":"bob"}}`, 1},
		{`{"collection":"people","o":{"type":"l","value":"Al \"ice\"","language":"en"}}`, 1},
		{`{"collection":"people","o":{"type":"l","value":"Al \"ice\""}}`, 0},
		{`{"collection":"people","o":{"type":"l","value":"42","datatype":"http://x/int"}}`, 1},
		{`{"collection":"people","s":{"type":"b","id":"b"},"o":{"type":"i","iri":"alice"}}`, 1},
		{`{"collection":"people","g":"*"}`, 4},
		{`{"collection":"people","g":"other"}`, 0},
	} {
		parts := c.call("default:triples:default", row.query, flag("is_final"))
		if n := len(parts[0]["triples"].([]any)); n != row.want || len(parts) != 1 {
			t.Errorf("%s: %d triples in %d parts, want %d", row.query, n, len(parts), row.want)
		}
	}
	parts := c.call("default:triples:default", `{"collection":"people","streaming":true,"batch_size":3}`, flag("is_final"))
	if len(parts) != 2 || len(parts[0]["triples"].([]any)) != 3 || len(parts[1]["triples"].([]any)) != 1 {
		t.Errorf("streamed: %v", parts)
	}
}

func TestQuotedTriplesMatchByContent(t *testing.T) {
	s := newTripleStore()
	quoted := `{"type":"t","triple":{"s":{"type":"i","iri":"a"},"p":{"type":"i","iri":"b"},"o":null,"g":null}}`
	if err := s.take(t.Context(), []byte(`{"metadata":{},"triples":[{"s":`+quoted+`,"p":null,"o":null,"g":"g1"}]}`)); err != nil {
		t.Fatal(err)
	}
	for pattern, want := range map[string]int{
		quoted:                               1,
		strings.Replace(quoted, "a", "z", 1): 0,
		`{"type":"t","triple":null}`:         0,
	} {
		var q triplesQuery
		if err := json.Unmarshal([]byte(`{"limit":10,"g":"g1","s":`+pattern+`}`), &q); err != nil {
			t.Fatal(err)
		}
		if got := len(s.find(&q)); got != want {
			t.Errorf("%s: %d triples, want %d", pattern, got, want)
		}
	}
}

func TestDocumentLoadTakesBase64Text(t *testing.T) {
	c := start(t)
	l := &loader{p: c.p, to: "flow:dev:default:triples-store:default"}
	for body, wantErr := range map[string]bool{
		`{"metadata":{"collection":"default"},"data":"YSBiIGMgLg=="}`: false, // a b c .
		`{"metadata":{},"data":"!"}`:                                  true,
		`{"metadata":{},"data":"/w=="}`:                               true,
		`[]`:                                                          true,
	} {
		if err := l.document(t.Context(), []byte(body)); (err != nil) != wantErr {
			t.Errorf("%s: error %v", body, err)
		}
	}
}

func TestConfigServiceKeepsItems(t *testing.T) {
	c := start(t)
	push := make(chan configPush, 8)
	sub, err := c.bus.Subscribe(t.Context(), bus.Consumer{Topic: mustTopic(t, "notify:dev:config"), Handler: func(d *bus.Delivery) {
		defer d.Ack()
		var m configPush
		if err := json.Unmarshal(d.Body, &m); err != nil {
			t.Error(err)
		}
		push <- m
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close(context.Background())
	for _, row := range []struct{ request, want string }{
		{`{"operation":"put","workspace":"w","values":[{"type":"t","key":"k","value":"v"},{"type":"t","key":"j","value":"u"}]}`, `"version":0`},
		{`{"operation":"get","workspace":"w","keys":[{"type":"t","key":"k"},{"type":"t","key":"x"}]}`, `"values":[{"key":"k","type":"t","value":"v","workspace":""},{"key":"x","type":"t","value":null,"workspace":""}]`},
		{`{"operation":"list","workspace":"w","type":"t"}`, `"directory":["j","k"]`},
		{`{"operation":"getvalues","workspace":"w","type":"t"}`, `"key":"j"`},
		{`{"operation":"getvalues-all-ws","type":"t"}`, `"workspace":"w"`},
		{`{"operation":"config","workspace":"w"}`, `"config":{"t":{"j":"u","k":"v"}}`},
		{`{"operation":"delete","workspace":"w","keys":[{"type":"t","key":"k"}]}`, `"error":null`},
		{`{"operation":"list","workspace":"w","type":"t"}`, `"directory":["j"]`},
		{`{"operation":"list","workspace":"","type":"t"}`, `Workspace is required`},
		{`{"operation":"dance","workspace":"w"}`, `Bad operation`},
		{`[1]`, `bad-request`},
	} {
		got, _ := json.Marshal(c.once("config", row.request))
		if !strings.Contains(string(got), row.want) {
			t.Errorf("%s\n got %s\nwant %s in it", row.request, got, row.want)
		}
	}
	put, deleted := <-push, <-push
	if want := map[string][]string{"t": {"w"}}; !reflect.DeepEqual(put.Changes, want) || deleted.Version != put.Version+1 {
		t.Errorf("pushes %v and %v", put, deleted)
	}
}

func TestFlowsStartAndStop(t *testing.T) {
	c := start(t)
	f := func(request, want string) {
		t.Helper()
		got, _ := json.Marshal(c.once("flow", request))
		if !strings.Contains(string(got), want) {
			t.Errorf("%s\n got %s\nwant %s in it", request, got, want)
		}
	}
	f(`{"operation":"list-flows","workspace":"default"}`, `"flow_ids":["default"]`)
	f(`{"operation":"list-blueprints","workspace":"default"}`, `"blueprint_names":["demo"]`)
	f(`{"operation":"get-blueprint","workspace":"default","blueprint_name":"demo"}`, `"error":null`)
	f(`{"operation":"get-blueprint","workspace":"default","blueprint_name":"x"}`, `flow-error`)
	f(`{"operation":"get-flow","workspace":"default","flow_id":"default"}`, `text-completion`)
	f(`{"operation":"get-flow","workspace":"default","flow_id":"x"}`, `flow-error`)
	f(`{"operation":"start-flow","workspace":"acme","flow_id":"f","blueprint_name":"demo"}`, `"error":null`)
	f(`{"operation":"start-flow","workspace":"acme","flow_id":"f","blueprint_name":"demo"}`, `"error":null`)
	f(`{"operation":"start-flow","workspace":"acme","flow_id":"a:b","blueprint_name":"demo"}`, `bad-request`)
	f(`{"operation":"start-flow","workspace":"acme","flow_id":"f","blueprint_name":"x"}`, `flow-error`)
	if got := c.once("acme:text-completion:f", `{"system":"","prompt":"hi","streaming":false}`); got["response"] != "hi" {
		t.Errorf("the new flow answered %v", got)
	}
	f(`{"operation":"stop-flow","workspace":"acme","flow_id":"f"}`, `"error":null`)
	f(`{"operation":"stop-flow","workspace":"acme","flow_id":"f"}`, `flow-error`)
	f(`{"operation":"list-flows","workspace":"acme"}`, `"flow_ids":[]`)
	f(`{"operation":"start-flow","workspace":"acme","flow_id":"f","blueprint_name":"demo"}`, `"error":null`)
	f(`{"operation":"list-flows","workspace":""}`, `Workspace is required`)
	f(`{"operation":"","workspace":"w"}`, `Bad operation`)
}

func TestCollectionsAreListed(t *testing.T) {
	c := start(t)
	for i, row := range []struct {
		request string
		want    int
	}{
		{`{"operation":"list-collections","workspace":"w"}`, 0},
		{`{"operation":"update-collection","workspace":"w","collection":"a","name":"A","tags":["x"]}`, 1},
		{`{"operation":"update-collection","workspace":"w","collection":"b","name":"B"}`, 1},
		{`{"operation":"list-collections","workspace":"w"}`, 2},
		{`{"operation":"list-collections","workspace":"w","limit":1}`, 1},
		{`{"operation":"list-collections","workspace":"w","tag_filter":["x"]}`, 1},
		{`{"operation":"list-collections","workspace":"v"}`, 0},
		{`{"operation":"delete-collection","workspace":"w","collection":"a"}`, 0},
		{`{"operation":"list-collections","workspace":"w"}`, 1},
	} {
		reply := c.once("collection", row.request)
		list, ok := reply["collections"].([]any)
		if !ok || len(list) != row.want {
			t.Errorf("request %d: %v, want %d collections", i, reply, row.want)
		}
	}
	if got := fmt.Sprint(c.once("collection", `{"operation":"update-collection","workspace":"w"}`)["error"]); !strings.Contains(got, "collection is required") {
		t.Errorf("got %s", got)
	}
}

// A service must survive what it cannot read: the next request is answered.
func TestGarbageIsAnsweredWithAnError(t *testing.T) {
	c := start(t)
	for _, name := range []string{"text-completion", "prompt", "embeddings", "triples"} {
		for _, body := range []string{"", "nonsense", "[]", `{"texts":3,"prompt":3,"id":3,"limit":"x"}`} {
			part := c.once("default:"+name+":default", body)
			if part["error"] == nil {
				t.Errorf("%s: %q was answered with %v", name, body, part)
			}
		}
	}
	for _, topic := range []string{"text-load", "document-load", "triples-store"} {
		to := mustTopic(t, "flow:dev:default:"+topic+":default")
		if _, err := c.bus.Publish(t.Context(), &bus.Message{To: to, Body: []byte("nonsense")}); err != nil {
			t.Fatal(err)
		}
	}
	if got := c.once("default:text-completion:default", `{"prompt":"still there"}`); got["response"] != "still there" {
		t.Errorf("got %v", got)
	}
}

func FuzzParseStatement(f *testing.F) {
	for _, seed := range []string{"a b c .", `<a> _:b "c\"d"@en .`, `a b "1"^^<int>`, "a b c.", ".", `"`, "<", "a b \"\\", "a\tb\tc d"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		st, ok := parseStatement(line)
		if ok && (st.S == nil || st.P == nil || st.O == nil) {
			t.Errorf("%q gave %+v", line, st)
		}
	})
}
