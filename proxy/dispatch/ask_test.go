package dispatch

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sluice/codec"
)

func TestAsk(t *testing.T) {
	f := newFixture(t, Config{
		Topicspace: "dev",
		Global:     map[codec.Kind]codec.Interface{codec.IAM: {Request: "request:x:who"}, codec.Flow: {Response: "response:x:flows"}},
	})
	raw := func(body string, reply func(string)) { reply(`{"raw":` + body + `}`) }
	f.serve("request:dev:config", "response:dev:config", raw)
	f.serve("request:dev:collection", "response:dev:collection", raw)
	f.serve("request:x:who", "response:dev:iam", raw)
	f.serve("request:dev:flow", "response:x:flows", raw)
	f.serve("request:dev:knowledge", "response:dev:knowledge", func(_ string, reply func(string)) {
		reply(`{"error":null,"ids":null,"eos":false,"triples":{"metadata":{"id":"c","root":"","collection":""},"triples":[]}}`)
		reply(`{"error":null,"ids":null,"eos":true}`)
	})
	for _, kind := range []codec.Kind{codec.Config, codec.CollectionManagement, codec.IAM, codec.Flow} {
		out, err := f.table.Ask(kind, []byte(`{"q":1}`), []byte("kept:"), time.Minute)
		if err != nil || string(out) != `kept:{"raw":{"q":1}}` {
			t.Errorf("%s: %s, %v", kind, out, err)
		}
	}
	out, err := f.table.Ask(codec.Knowledge, []byte(`{}`), nil, time.Minute)
	if err != nil || !strings.Contains(string(out), `"eos":true`) {
		t.Errorf("knowledge: %s, %v", out, err)
	}
	if out, err := f.table.Ask(codec.Librarian, []byte(`{}`), []byte("kept:"), time.Minute); !errors.Is(err, ErrNoService) || string(out) != "kept:" {
		t.Errorf("librarian: %s, %v", out, err)
	}
	// A key of a global service may name a workspace; it is the same service.
	got, _, err := f.table.Call(Key{"acme", "main", codec.Config}, parsed(t, codec.Config, `{"operation":"list"}`), nil, Call{})
	if err != nil || !strings.Contains(string(got), `"version":0`) {
		t.Errorf("%s, %v", got, err)
	}
	if n := f.table.services.Size(); n != 6 {
		t.Errorf("%d services are wired, want 6", n)
	}
}

func TestAskTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, p := newFakeBus(), NewPending(0)
		table := New(b, p, Config{})
		start := time.Now()
		if _, err := table.Ask(codec.IAM, []byte(`{}`), nil, 10*time.Second); !errors.Is(err, ErrTimeout) || time.Since(start) != 10*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		if err := table.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

func TestConfigValidate(t *testing.T) {
	for _, c := range []struct {
		config Config
		ok     bool
	}{
		{Config{}, true},
		{Config{Global: map[codec.Kind]codec.Interface{codec.IAM: {Request: "request:a:b", Response: "response:a:b"}}}, true},
		{Config{Global: map[codec.Kind]codec.Interface{codec.IAM: {Request: "response:a:b"}}}, false},
		{Config{Global: map[codec.Kind]codec.Interface{codec.IAM: {Response: "request:a:b"}}}, false},
		{Config{Global: map[codec.Kind]codec.Interface{codec.IAM: {Request: "a:b"}}}, false},
		{Config{Global: map[codec.Kind]codec.Interface{codec.Agent: {Request: "request:a:b", Response: "response:a:b"}}}, false},
		{Config{Topicspace: strings.Repeat("x", 250)}, false},
	} {
		if err := c.config.Validate(); (err == nil) != c.ok {
			t.Errorf("%+v: %v", c.config, err)
		}
	}
}
