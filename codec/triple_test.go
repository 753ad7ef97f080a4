package codec

import (
	"fmt"
	"strings"
	"testing"
)

// TestRepeatedTripleMembers: of several terms with one name the last one counts,
// wherever they stand and whatever is wrong with the others.
func TestRepeatedTripleMembers(t *testing.T) {
	iri := func(s string) string { return fmt.Sprintf(`{"t":"i","i":%q}`, s) }
	for _, c := range []struct{ in, want string }{
		{`"s":` + iri("a") + `,"s":` + iri("b"), `"s":` + iri("b")},
		{`"s":` + iri("long one") + `,"p":` + iri("p") + `,"o":` + iri("o") + `,"s":` + iri("b"),
			`"s":` + iri("b") + `,"p":` + iri("p") + `,"o":` + iri("o")},
		{`"s":` + iri("1") + `,"p":` + iri("2") + `,"s":` + iri("3") + `,"p":` + iri("4") + `,"\u0073":` + iri("5"),
			`"s":` + iri("5") + `,"p":` + iri("4")},
		{`"s":` + iri("a") + `,"p":` + iri("p") + `,"s":null`, `"p":` + iri("p")},
		{`"s":7,"p":` + iri("p") + `,"s":` + iri("b"), `"s":` + iri("b") + `,"p":` + iri("p")},
		{`"s":{"t":"t","tr":{"s":7}},"p":` + iri("p") + `,"s":` + iri("b"), `"s":` + iri("b") + `,"p":` + iri("p")},
		{`"s":{"t":"t","tr":{"s":7},"tr":{"p":` + iri("p") + `}}`, `"s":{"t":"t","tr":{"p":` + iri("p") + `}}`},
		{`"s":{"tr":{"s":7},"t":"i","i":"x"}`, `"s":` + iri("x")},
		{`"s":{"tr":{"p":` + iri("p") + `},"t":"i","i":"x","tr":7}`, `"s":` + iri("x")},
		{`"s":{"t":"t","tr":{"p":` + iri("p") + `},"tr":null}`, `"s":{"t":"t"}`},
		{`"g":"a","g":"b"`, `"g":"b"`},
	} {
		const frame = `{"metadata":{"id":"i","root":"","collection":"c"},"triples":[{%s}]}`
		msg, err := AppendImport(nil, Triples, fmt.Appendf(nil, frame, c.in))
		if err != nil {
			t.Errorf("%s: %v", c.in, err)
			continue
		}
		out, err := AppendExport(nil, Triples, msg)
		if want := fmt.Sprintf(frame, c.want); err != nil || !sameJSON(out, []byte(want)) {
			t.Errorf("%s:\n out  %s\n want %s (%v)", c.in, out, want, err)
		}
	}
	for _, in := range []string{`"s":` + iri("b") + `,"s":7`, `"s":{"t":"t","tr":{"p":` + iri("p") + `},"tr":7}`} {
		if _, err := AppendImport(nil, Triples, []byte(`{"metadata":{"id":"i","collection":"c"},"triples":[{`+in+`}]}`)); err == nil {
			t.Errorf("%s: accepted", in)
		}
	}
}

// TestQuotedTriplesNest down to the limit of the scanner, in both directions.
func TestQuotedTriplesNest(t *testing.T) {
	// The list and the body around it are two levels, a triple and its term two more.
	const levels = (maxNesting - 2) / 2
	term := nested(`{"t":"t","tr":{"s":`, `{"t":"b","d":"x"}`, `}}`, levels-1)
	frame := []byte(`{"metadata":{"id":"i","root":"","collection":"c"},"triples":[{"s":` + term + `}]}`)
	msg, err := AppendImport(nil, Triples, frame)
	if err != nil || !isSafe(msg) {
		t.Fatal(err)
	}
	if n := strings.Count(string(msg), `"triple":{`); n != levels-1 {
		t.Errorf("%d quoted triples, want %d", n, levels-1)
	}
	if out, err := AppendExport(nil, Triples, msg); err != nil || !sameJSON(out, frame) {
		t.Errorf("the way back gives %.99s, %v", out, err)
	}
}
