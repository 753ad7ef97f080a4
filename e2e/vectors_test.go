package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// vector is a line of codec/testdata.
type vector struct {
	Name  string          `json:"name"`
	Kind  string          `json:"kind"`
	Dir   string          `json:"dir"`
	In    json.RawMessage `json:"in"`
	Out   json.RawMessage `json:"out"`
	Final bool            `json:"final"`
}

// vectors reads the vectors of a kind and direction that have an output.
func vectors(t *testing.T, kind, dir string) []vector {
	t.Helper()
	file, err := os.Open(filepath.Join("..", "codec", "testdata", kind+".jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var out []vector
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var v vector
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			t.Fatal(err)
		}
		if v.Dir == dir && v.Out != nil && !stricter(t)[v.Name] {
			out = append(out, v)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	if len(out) == 0 {
		t.Fatalf("no %s vectors of kind %s", dir, kind)
	}
	return out
}

// stricter names the vectors that Sluice refuses on purpose.
func stricter(t *testing.T) map[string]bool {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "codec", "testdata", "stricter.txt"))
	if err != nil {
		t.Fatal(err)
	}
	names := make(map[string]bool)
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 2 && f[0] != "#" {
			names[f[1]] = true
		}
	}
	return names
}

// parse reads JSON without losing a digit.
func parse(text []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("%w in %.200q", err, text)
	}
	return v, nil
}

// differ compares two parsed JSON values by the rule of the vectors and says
// where they differ; "" means that they do not.
func differ(at string, got, want any) string {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			return fmt.Sprintf("%s is %v, want an object", at, got)
		}
		return differMembers(at, g, w)
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			return fmt.Sprintf("%s is %v, want %v", at, got, want)
		}
		for i := range w {
			if d := differ(fmt.Sprintf("%s[%d]", at, i), g[i], w[i]); d != "" {
				return d
			}
		}
		return ""
	case json.Number:
		if g, ok := got.(json.Number); ok && sameNumber(string(g), string(w)) {
			return ""
		}
	default:
		if got == want {
			return ""
		}
	}
	return fmt.Sprintf("%s is %v, want %v", at, got, want)
}

func differMembers(at string, got, want map[string]any) string {
	for name := range got {
		if _, ok := want[name]; !ok {
			return fmt.Sprintf("%s has a member %q too many", at, name)
		}
	}
	for name, w := range want {
		g, ok := got[name]
		if !ok {
			return fmt.Sprintf("%s has no member %q", at, name)
		}
		if d := differ(at+"."+name, g, w); d != "" {
			return d
		}
	}
	return ""
}

// sameNumber compares integers exactly and other literals as doubles.
func sameNumber(a, b string) bool {
	if !strings.ContainsAny(a+b, ".eE") {
		x, okX := new(big.Int).SetString(a, 10)
		y, okY := new(big.Int).SetString(b, 10)
		return okX && okY && x.Cmp(y) == 0
	}
	x, errX := json.Number(a).Float64()
	y, errY := json.Number(b).Float64()
	return errX == nil && errY == nil && x == y
}

func TestDifferFollowsTheComparisonRule(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{`{"a":1,"b":2}`, `{"b":2,"a":1.0}`, true},
		{`{"a":null}`, `{}`, false},
		{`[1,2]`, `[2,1]`, false},
		{`100000000000000000000001`, `100000000000000000000002`, false},
		{`100000000000000000000001`, `1e23`, false},
		{`1`, `true`, false},
		{`"\u0041"`, `"A"`, true},
		{`{"a":[{"b":0}]}`, `{"a":[{"b":-0.0}]}`, true},
	} {
		a, errA := parse([]byte(c.a))
		b, errB := parse([]byte(c.b))
		if errA != nil || errB != nil {
			t.Fatal(errA, errB)
		}
		if got := differ("it", a, b); (got == "") != c.same {
			t.Errorf("%s and %s: %q", c.a, c.b, got)
		}
	}
}
