package codec

import "testing"

func TestKinds(t *testing.T) {
	count := func(has func(Kind) bool) (n int) {
		for _, k := range Kinds() {
			if has(k) {
				n++
			}
		}
		return n
	}
	for _, c := range []struct {
		what string
		has  func(Kind) bool
		want int
	}{
		{"flow services", Kind.IsFlow, 16}, {"global services", Kind.IsGlobal, 6}, {"senders", Kind.IsSend, 2},
		{"imports", Kind.CanImport, 5}, {"exports", Kind.CanExport, 4}, {"streams", Kind.CanStream, 7},
	} {
		if n := count(c.has); n != c.want {
			t.Errorf("%d %s, want %d", n, c.what, c.want)
		}
	}
	for _, k := range Kinds() {
		parsed, ok := ParseKind(k.String())
		again, okAgain := ParseKind([]byte(k.String()))
		if !ok || !okAgain || parsed != k || again != k {
			t.Errorf("%q parses as %v", k.String(), parsed)
		}
		if k.CanStream() != (k.IsFlow() && requestLayout(k).writes("streaming")) {
			t.Errorf("%v: CanStream %v", k, k.CanStream())
		}
	}
	for _, name := range []string{"", "Triples", "triples ", "triple", "graph_rag", "text-completion\x00"} {
		if k, ok := ParseKind(name); ok {
			t.Errorf("%q parses as %v", name, k)
		}
	}
	for _, k := range []Kind{0, Kind(kindCount), 255} {
		if k.String() != "" || k.IsFlow() || k.IsGlobal() || k.CanStream() {
			t.Errorf("kind %d is something", uint8(k))
		}
	}
}

func (l *layout) writes(name string) bool {
	for _, f := range l.fields {
		if f.out == name {
			return true
		}
	}
	return false
}

// TestKeysets: every name is found, under its own number, and nothing like it is.
func TestKeysets(t *testing.T) {
	check := func(k *keyset) {
		t.Helper()
		for slot, name := range k.names {
			if got := slotOf(k, name); got != slot {
				t.Errorf("%q has slot %d, want %d", name, got, slot)
			}
			if slotOf(k, name+"x") >= 0 && slotOf(k, name+"s") >= 0 {
				t.Errorf("more than %q is found", name)
			}
		}
	}
	check(kindsByName)
	check(apiTermKeys)
	check(busTermKeys)
	check(tripleKeys)
	for k := range kindCount {
		check(requestLayout(Kind(k)).keys)
		for _, l := range []*layout{frames[k], exported[k]} {
			if l != nil {
				check(l.keys)
			}
		}
		if answers[k] != nil {
			check(answers[k].keys)
		}
	}
}

// TestNestedLayoutsFit: layouts of nested objects find their members in an array of
// fixed size.
func TestNestedLayoutsFit(t *testing.T) {
	seen := map[*layout]bool{}
	var walk func(l *layout)
	walk = func(l *layout) {
		if l == nil || seen[l] {
			return
		}
		seen[l] = true
		for _, f := range l.fields {
			if f.sub != nil && len(f.sub.keys.names) > nestedMembers {
				t.Errorf("%q nests %d members", f.name, len(f.sub.keys.names))
			}
			walk(f.sub)
		}
	}
	for k := range kindCount {
		walk(requestLayout(Kind(k)))
		walk(frames[k])
		walk(exported[k])
		if answers[k] != nil {
			walk(answers[k].layout)
		}
	}
	for _, l := range []*layout{promptVariables, loadMetadata, knowledgeTriples, knowledgeEmbeddings, sparqlSelect, schemaSelection} {
		walk(l)
	}
}
