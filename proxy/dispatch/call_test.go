package dispatch

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sluice/bus"
	"sluice/codec"
)

func TestCall(t *testing.T) {
	f := newFixture(t, Config{})
	f.table.StartFlow("acme", "main", record("main"))
	f.serve("request:tg:tc:main", "response:tg:tc:main", func(body string, reply func(string)) {
		switch promptOf(body) {
		case "stream":
			reply(part("one", false))
			reply(part("two", false))
			reply(part("three", true))
		case "fail":
			reply(`{"error":{"type":"too-sad","message":"cannot"},"response":null}`)
		case "garbage":
			reply(`}{`)
		case "wrong":
			reply(`[1,2]`)
		case "twice":
			reply(part("first", true))
			reply(part("second", true))
		default:
			echo(body, reply)
		}
	})
	for _, c := range []struct {
		prompt, want string
		part         codec.Part
	}{
		{"hello", `{"response":"hello","in_token":0,"out_token":0,"model":"","end_of_stream":true}`, codec.Part{Final: true}},
		{"stream", `{"response":"three","in_token":0,"out_token":0,"model":"","end_of_stream":true}`, codec.Part{Final: true}},
		{"fail", `{"error":{"type":"too-sad","message":"cannot"}}`, codec.Part{Final: true, Failed: true}},
		{"twice", `{"response":"first","in_token":0,"out_token":0,"model":"","end_of_stream":true}`, codec.Part{Final: true}},
	} {
		out, got, err := f.table.Call(completion, ask(t, c.prompt), []byte("kept:"), Call{})
		if err != nil || got != c.part || string(out) != "kept:"+c.want {
			t.Errorf("%s: %s, %+v, %v", c.prompt, out, got, err)
		}
	}
	for _, prompt := range []string{"garbage", "wrong"} {
		out, _, err := f.table.Call(completion, ask(t, prompt), []byte("kept:"), Call{})
		var syntax *codec.SyntaxError
		var shape *codec.Error
		if !errors.As(err, &syntax) && !errors.As(err, &shape) || string(out) != "kept:" {
			t.Errorf("%s: %s, %v", prompt, out, err)
		}
	}
	if _, _, err := f.table.Call(completion, parsed(t, codec.TextCompletion, `{"system":"s"}`), nil, Call{}); err == nil ||
		!strings.Contains(err.Error(), `"prompt"`) {
		t.Errorf("missing member: %v", err)
	}
	if _, _, err := f.table.Call(completion, parsed(t, codec.TextCompletion, `[]`), nil, Call{}); err == nil {
		t.Error("a list was taken for a request")
	}
}

func TestCallsThatHaveNoTarget(t *testing.T) {
	f := newFixture(t, Config{})
	r := record("main")
	r.Interfaces["agent"] = codec.Interface{Request: "request:tg:x"}
	r.Interfaces["mcp-tool"] = codec.Interface{Request: "nonsense:tg:x", Response: "response:tg:x"}
	r.Interfaces["embeddings"] = codec.Interface{Request: "flow:tg:x", Response: "response:tg:x"}
	r.Interfaces["document-load"] = codec.Interface{Request: "request:tg:x", Response: "response:tg:x"}
	f.table.StartFlow("acme", "main", r)
	for _, c := range []struct {
		key  Key
		want string
	}{
		{Key{"acme", "other", codec.TextCompletion}, "Invalid flow acme/other"},
		{Key{"other", "main", codec.TextCompletion}, "Invalid flow other/main"},
		{Key{"", "", codec.TextCompletion}, "Invalid flow /"},
		{Key{"acme", "main", codec.GraphRAG}, "This kind not supported by flow"},
		{Key{"acme", "main", codec.EntityContexts}, "This kind not supported by flow"},
		{Key{"acme", "main", codec.TextLoad}, "This kind not supported by flow"},
		{Key{"acme", "main", 0}, "This kind not supported by flow"},
		{Key{"acme", "main", codec.Agent}, "This kind not supported by flow: no response topic"},
		{Key{"acme", "main", codec.MCPTool}, "This kind not supported by flow: Invalid topic class: nonsense, expected flow, request, response, or notify"},
		{Key{"acme", "main", codec.Embeddings}, "This kind not supported by flow: topic flow:tg:x is not of class request"},
	} {
		if _, _, err := f.table.Call(c.key, ask(t, "x"), nil, Call{}); err == nil || err.Error() != c.want {
			t.Errorf("%+v: %v, want %s", c.key, err, c.want)
		}
	}
	for _, kind := range []codec.Kind{codec.TextCompletion, codec.DocumentLoad, codec.Config} {
		if err := f.table.Send(Key{"acme", "main", kind}, ask(t, "x"), Call{}); !errors.Is(err, ErrUnsupportedKind) {
			t.Errorf("send to %s: %v", kind, err)
		}
	}
	if _, err := f.table.Ask(codec.TextCompletion, []byte("{}"), nil, 0); !errors.Is(err, ErrUnsupportedKind) {
		t.Errorf("ask a flow kind: %v", err)
	}
}

func TestNobodyListens(t *testing.T) {
	f := newFixture(t, Config{})
	f.table.StartFlow("acme", "main", record("main"))
	if _, _, err := f.table.Call(completion, ask(t, "x"), nil, Call{}); !errors.Is(err, ErrNoService) {
		t.Errorf("call: %v", err)
	}
	load := Key{"acme", "main", codec.TextLoad}
	if err := f.table.Send(load, parsed(t, codec.TextLoad, `{"text":"aGk="}`), Call{}); !errors.Is(err, ErrNoService) {
		t.Errorf("send: %v", err)
	}
}

func TestTimeouts(t *testing.T) {
	for _, c := range []struct {
		name   string
		call   Call
		every  time.Duration // between parts of the answer; 0 is silence
		parts  int
		want   time.Duration
		answer bool
	}{
		{"silence ends with the part time-out", Call{}, 0, 0, 120 * time.Second, false},
		{"own part time-out", Call{PartTimeout: 3 * time.Second}, 0, 0, 3 * time.Second, false},
		{"own time-out", Call{Timeout: 2 * time.Second}, 0, 0, 2 * time.Second, false},
		{"each part has its own time", Call{PartTimeout: 3 * time.Second}, 2 * time.Second, 5, 10 * time.Second, true},
		{"silence after parts", Call{PartTimeout: 3 * time.Second}, 4 * time.Second, 5, 3 * time.Second, false},
		{"the whole is bounded", Call{Timeout: 7 * time.Second, PartTimeout: 3 * time.Second}, 2 * time.Second, 5, 7 * time.Second, false},
		{"the whole is bounded by default", Call{}, 110 * time.Second, 9, 600 * time.Second, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, Config{})
				defer f.close()
				f.table.StartFlow("acme", "main", record("main"))
				f.serve("request:tg:tc:main", "response:tg:tc:main", func(_ string, reply func(string)) {
					for i := range c.parts {
						time.Sleep(c.every)
						reply(part("x", i == c.parts-1))
					}
				})
				start := time.Now()
				out, _, err := f.table.Call(completion, ask(t, "x"), nil, c.call)
				if took := time.Since(start); took != c.want {
					t.Errorf("took %v, want %v", took, c.want)
				}
				if c.answer != (err == nil) || err != nil && (!errors.Is(err, ErrTimeout) || len(out) != 0) {
					t.Errorf("%s, %v", out, err)
				}
				time.Sleep(time.Hour) // until the service has finished
			})
		})
	}
}

func TestExpirationIsTheTimeLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, p := newFakeBus(), NewPending(0)
		b.onPublish = func(_ context.Context, m *bus.Message) (bus.Receipt, error) {
			p.Deliver(m.ID, buffer(part("x", true)))
			return bus.Receipt{}, nil
		}
		wiring := time.Duration(0)
		b.onSubscribe = func(context.Context, bus.Consumer) error {
			time.Sleep(wiring)
			return nil
		}
		table := New(b, p, Config{})
		defer table.Close(context.Background())
		table.StartFlow("acme", "main", record("main"))
		for i, c := range []struct {
			call Call
			want time.Duration
		}{
			{Call{}, 120 * time.Second},
			{Call{Timeout: time.Minute}, time.Minute},
			{Call{PartTimeout: 5 * time.Second}, 5 * time.Second},
		} {
			if _, _, err := table.Call(completion, ask(t, "x"), nil, c.call); err != nil {
				t.Fatal(err)
			}
			if got := b.messages()[i].Expiration; got != c.want {
				t.Errorf("%+v: expiration %v, want %v", c.call, got, c.want)
			}
		}
		// Three of five seconds go into wiring.
		wiring = 3 * time.Second
		prompt := Key{"acme", "main", codec.Prompt}
		_, _, _ = table.Call(prompt, parsed(t, codec.Prompt, `{"id":"a"}`), nil, Call{Timeout: 5 * time.Second})
		if m := b.messages(); len(m) != 4 || m[3].Expiration != 2*time.Second {
			t.Errorf("%d messages, the last with expiration %v, want 2 s", len(m), m[len(m)-1].Expiration)
		}
		// And all of it: then nothing is sent.
		table.StopFlow("acme", "main")
		table.StartFlow("acme", "main", record("other"))
		if _, _, err := table.Call(completion, ask(t, "x"), nil, Call{Timeout: 3 * time.Second}); !errors.Is(err, ErrTimeout) {
			t.Errorf("err = %v", err)
		}
		if n := len(b.messages()); n != 4 {
			t.Errorf("a call with nothing left was published")
		}
		time.Sleep(time.Minute)
	})
}

// TestBindsBeforeThePublish also checks that one subscription serves all calls.
func TestBindsBeforeThePublish(t *testing.T) {
	b, p := newFakeBus(), NewPending(0)
	b.onPublish = func(_ context.Context, m *bus.Message) (bus.Receipt, error) {
		if now, _ := b.subscriptions("tg.response.tc:main"); now != 1 {
			t.Errorf("%d subscriptions when publishing", now)
		}
		p.Deliver(m.ID, buffer(part("x", true)))
		return bus.Receipt{}, nil
	}
	table := New(b, p, Config{})
	defer table.Close(t.Context())
	table.StartFlow("acme", "main", record("main"))
	for range 3 {
		if _, _, err := table.Call(completion, ask(t, "x"), nil, Call{}); err != nil {
			t.Error(err)
		}
	}
	if _, ever := b.subscriptions(""); ever != 1 {
		t.Errorf("%d subscriptions for one service", ever)
	}
	for _, m := range b.messages() {
		if m.To.Exchange != "tg.request.tc:main" || m.To.Class != bus.Request || m.ReplyTo.Exchange != "tg.response.tc:main" ||
			string(m.Body) != `{"system":"s","prompt":"x","streaming":false}` {
			t.Errorf("published %+v for %+v: %s", m.To, m.ReplyTo, m.Body)
		}
	}
}
