package dispatch

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"sluice/codec"
)

func TestStreamGivesEachPartInOrder(t *testing.T) {
	f := newFixture(t, Config{})
	f.table.StartFlow("acme", "main", record("main"))
	f.serve("request:tg:tc:main", "response:tg:tc:main", func(_ string, reply func(string)) {
		for _, msg := range words(200) {
			reply(msg)
		}
		reply(part("too late", true))
	})
	for range 3 {
		r := newRecorder(t)
		h, err := f.table.Stream(completion, ask(t, "x"), Call{}, r)
		if err != nil {
			t.Fatal(err)
		}
		got, err := r.wait()
		if err != nil || !slices.Equal(got, words(200)) {
			t.Errorf("%d parts, %v", len(got), err)
		}
		if h.Cancel() {
			t.Error("cancelled what had ended")
		}
		if n := f.pending.Waiting(); n != 0 {
			t.Errorf("%d slots in use", n)
		}
	}
	if n := f.pending.made.Load(); n > 2 {
		t.Errorf("%d slots were made", n)
	}
}

func TestStreamEndsWithWhatCannotGoOn(t *testing.T) {
	f := newFixture(t, Config{})
	f.table.StartFlow("acme", "main", record("main"))
	f.serve("request:tg:tc:main", "response:tg:tc:main", func(body string, reply func(string)) {
		reply(part("one", false))
		reply(promptOf(body))
		reply(part("more", false))
	})
	for _, last := range []string{"garbage", "{'error':{'type':'t','message':'m'}}"} {
		r := newRecorder(t)
		if _, err := f.table.Stream(completion, ask(t, last), Call{}, r); err != nil {
			t.Fatal(err)
		}
		got, err := r.wait()
		if err != nil || len(got) != 2 || got[1] != last {
			t.Errorf("%q, %v", got, err)
		}
	}
}

func TestStreamRefusals(t *testing.T) {
	f := newFixture(t, Config{MaxMessageBytes: 100})
	f.table.StartFlow("acme", "main", record("main"))
	var unknown *UnknownFlowError
	var bad *codec.Error
	for name, c := range map[string]struct {
		key  Key
		req  *codec.Request
		want func(error) bool
	}{
		"unknown flow": {key: Key{"acme", "no", codec.Prompt}, want: func(err error) bool { return errors.As(err, &unknown) }},
		"kind":         {key: Key{"acme", "main", codec.GraphRAG}, want: is(ErrUnsupportedKind)},
		"stream kind":  {key: Key{"acme", "main", codec.EntityContexts}, want: is(ErrUnsupportedKind)},
		"translation": {req: parsed(t, codec.TextCompletion, `{}`),
			want: func(err error) bool { return errors.As(err, &bad) }},
		"too large":  {req: ask(t, strings.Repeat("long", 100)), want: is(ErrTooLarge)},
		"no service": {want: is(ErrNoService)},
	} {
		if c.key.Flow == "" {
			c.key = completion
		}
		if c.req == nil {
			c.req = ask(t, "x")
		}
		r := newRecorder(t)
		_, err := f.table.Stream(c.key, c.req, Call{}, r)
		if !c.want(err) {
			t.Errorf("%s: %v", name, err)
		}
		if got, err := r.told(); len(got) != 0 || err != nil {
			t.Errorf("%s: the sink was told %q, %v", name, got, err)
		}
		if n := f.pending.Waiting(); n != 0 {
			t.Errorf("%s: %d slots in use", name, n)
		}
	}
}

func is(want error) func(error) bool { return func(err error) bool { return errors.Is(err, want) } }

func closeTable(t testing.TB, table *Table) {
	t.Helper()
	if err := table.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if n := table.pending.Waiting(); n != 0 {
		t.Errorf("%d slots in use", n)
	}
	if n := table.pending.streams.n.Load(); n != 0 {
		t.Errorf("%d streams counted", n)
	}
}
