package flows

import (
	"maps"
	"strings"
	"testing"

	"sluice/codec"
)

func TestParseFileReadsEveryForm(t *testing.T) {
	want := map[string]codec.Interface{
		"text-completion": {Request: "request:tg:llm", Response: "response:tg:llm"},
		"text-load":       {Flow: "flow:tg:load"},
	}
	for name, text := range map[string]string{
		"YAML": oneFlow,
		"YAML without the level of interfaces": `
default:
  demo:
    text-completion:
      request: request:tg:llm
      response: response:tg:llm
    text-load:
      flow: flow:tg:load
`,
		"whole record": oneFlow + "    description: d\n    blueprint-name: b\n    parameters: {a: 1, b: [2]}\n",
		"JSON": "{\n\t\"default\": {\"demo\": {\"interfaces\": {\n\t\t\"text-completion\": {\"request\": \"request:tg:llm\", \"response\": \"response:tg:llm\"}," +
			"\n\t\t\"text-load\": {\"flow\": \"flow:tg:load\"}}}}\n}\n",
		"JSON on one line": `{"default":{"demo":{"text-completion":{"request":"request:tg:\u006clm","response":"response:tg:llm"},"text-load":{"flow":"flow:tg:load"}}}}`,
		"anchors": `
default:
  demo:
    interfaces:
      <<: [*base, {text-load: {flow: wrong}}]
      text-completion: &llm {request: "request:tg:llm", response: "response:tg:llm"}
acme:
  base: &base
    text-load: {flow: "flow:tg:load"}
`,
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseFile([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			if r := got["default"]["demo"]; !maps.Equal(r.Interfaces, want) {
				t.Errorf("interfaces are %v", r.Interfaces)
			}
		})
	}
}

func TestParseFileReadsEmptyThings(t *testing.T) {
	for text, flows := range map[string]int{"{}": 0, "default:\n": 0, "default: {}": 0, "default:\n  a:\n  b: {interfaces: }\n  c: {interfaces: {}}\n": 3} {
		got, err := parseFile([]byte(text))
		if err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if n := len(got["default"]); n != flows {
			t.Errorf("%q: %d flows, want %d", text, n, flows)
		}
	}
}

func TestParseFileKeepsStatus(t *testing.T) {
	got, err := parseFile([]byte("w: {f: {interfaces: {}, status: stopping}}"))
	if err != nil || got["w"]["f"].Status != statusStopping {
		t.Errorf("%v, %v", got, err)
	}
}

func TestParseFileErrorsNameTheLine(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", "empty"},
		{"# nothing\n", "empty"},
		{"a: [", "line 1"},
		{"\n\na: {b: c: d}", "line 3"},
		{"a: {}\na: {}\n", "line 2"},
		{"- a\n", "line 1: the file must be a mapping"},
		{"a: {}\n---\nb: {}\n", "line 3: a second document"},
		{"a:\n  - b\n", `line 2: workspace "a" must be a mapping`},
		{"a: 5", `workspace "a" must be a mapping`},
		{"'': {}", "a workspace needs a name"},
		{"a: {'': {}}", "needs a name"},
		{"a:\n  b: text\n", "line 2: a flow must be a mapping (flow \"b\" of workspace \"a\")"},
		{"a:\n  b:\n    interfaces: [x]\n", `line 3: "interfaces" must be a mapping`},
		{"a:\n  b:\n    interfaces: {}\n    extra: 1\n", `line 4: unknown member "extra"`},
		{"a:\n  b:\n    interfaces:\n      x: y\n", `line 4: interface "x" must be a mapping`},
		{"a:\n  b:\n    interfaces:\n      x: {}\n", `line 4: interface "x" needs "request" and "response", or "flow"`},
		{"a:\n  b:\n    x:\n      request: request:tg:x\n", `line 3: interface "x" has a "request" but no "response"`},
		{"a:\n  b:\n    x:\n      response: response:tg:x\n", `has a "response" but no "request"`},
		{"a:\n  b:\n    x: {request: request:tg:x, response: response:tg:x, flow: flow:tg:x}\n", `has both`},
		{"a:\n  b:\n    x:\n      reqest: request:tg:x\n", `line 4: unknown member "reqest" of interface "x"`},
		{"a:\n  b:\n    x:\n      flow: request:tg:x\n", `line 4: a flow topic begins with "flow:", not "request:"`},
		{"a:\n  b:\n    x:\n      flow: flow:tg\n", "line 4: Invalid topic format"},
		{"a:\n  b:\n    x:\n      flow: topic:tg:x\n", "line 4: Invalid topic class"},
		{"a:\n  b:\n    x:\n      flow: [flow:tg:x]\n", "line 4: a flow topic must be a text"},
		{"a:\n  b:\n    x:\n      flow: flow:tg:" + strings.Repeat("x", 300), "line 4: topic name is"},
		{"a:\n  b: *c\n", "line 2: alias of an unknown anchor"},
		{"a: &a\n  b:\n    <<: *a\n", "line"},
		{"a: {b: {status: [x], interfaces: {}}}", `"status" must be a text`},
	} {
		_, err := parseFile([]byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: error is %v, want %q in it", c.text, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: the error has several lines: %v", c.text, err)
		}
	}
}

// Ten levels of ten aliases each are ten thousand million entries.
func TestParseFileBoundsAliases(t *testing.T) {
	var text strings.Builder
	text.WriteString("w0: &w0 {f: &f0 {x: {flow: 'flow:tg:x'}}}\n")
	for i := range 10 {
		text.WriteString("w" + string(rune('1'+i)) + ": &w" + string(rune('1'+i)) + " {<<: [")
		for range 10 {
			text.WriteString("*w" + string(rune('0'+i)) + ",")
		}
		text.WriteString("]}\n")
	}
	if _, err := parseFile([]byte(text.String())); err == nil {
		t.Error("no error")
	}
}

// What a file accepts must be safe to hand to the table, and stable.
func FuzzFlowsFile(f *testing.F) {
	for _, seed := range []string{oneFlow, "{}", "a: {b: {x: {flow: foo}}}", "a: &a {b: *a}", "a: {<<: *b}", "{\"a\":{\"b\":{\"interfaces\":{}}}}",
		"a:\n  b:\n    <<: {interfaces: {}}\n", "? a\n: b", "a: !!str b", "a: |\n  b", "--- a\n--- b", "\xff", "a: {b: {x: {request: \"request:tg:\\u0000\", response: response:a:b}}}"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := parseFile(text)
		if err != nil {
			if got != nil {
				t.Error("definitions beside an error")
			}
			return
		}
		for ws, flows := range got {
			for flow, r := range flows {
				if ws == "" || flow == "" {
					t.Error("a name is empty")
				}
				for name, i := range r.Interfaces {
					if err := complete(i); err != nil {
						t.Errorf("interface %q: %v", name, err)
					}
				}
			}
		}
	})
}

// Whatever a config service sends as flow records, the receiver survives, keeps
// what it cannot read apart, and comes to rest.
func FuzzFlowRecords(f *testing.F) {
	for _, seed := range []string{record("x"), "{}", "null", "[]", `{"interfaces":null}`, `{"interfaces":{"a":{"request":5}}}`, `{"status":"stopping"}`, "\xff", `{"interfaces":{"a":{}},"interfaces":{}}`} {
		f.Add(seed, record("y"))
	}
	f.Fuzz(func(t *testing.T, first, second string) {
		table := newRecorder()
		w := &workspace{name: "w"}
		for _, records := range []map[string]string{{"f": first, "g": second}, {"f": second, "g": second}, {"f": second, "g": second}} {
			before := len(table.history())
			w.apply(table, quiet(), records)
			if len(w.flows)+len(w.bad) > 2*len(records) {
				t.Fatal("more definitions than records")
			}
			if got := len(table.running()); got != len(w.flows) {
				t.Fatalf("%d flows running, %d known", got, len(w.flows))
			}
			if before > 0 && first == second && len(table.history()) != before {
				t.Error("the same records changed something")
			}
		}
		w.apply(table, quiet(), nil)
		if got := table.running(); len(got) != 0 {
			t.Errorf("left over: %v", got)
		}
	})
}
