package codec

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// vector is a line of the golden files (testdata/*.jsonl).
type vector struct {
	Name  string          `json:"name"`
	Kind  string          `json:"kind"`
	Dir   string          `json:"dir"`
	In    json.RawMessage `json:"in"`
	Out   json.RawMessage `json:"out"`
	Final *bool           `json:"final"`
	Error *string         `json:"error"`
}

const vectorCount = 3133

// loadVectors reads every golden file.
func loadVectors(tb testing.TB) []vector {
	tb.Helper()
	files, err := filepath.Glob("testdata/*.jsonl")
	if err != nil || len(files) == 0 {
		tb.Fatalf("no vectors: %v", err)
	}
	var all []vector
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			tb.Fatal(err)
		}
		for line := range bytes.Lines(text) {
			var v vector
			if err := json.Unmarshal(line, &v); err != nil {
				tb.Fatalf("%s: %v", file, err)
			}
			all = append(all, v)
		}
	}
	return all
}

// translate runs the function that a direction names.
func translate(dir string, k Kind, in []byte) (out []byte, part Part, err error) {
	switch dir {
	case "request", "send":
		out, err = AppendRequest(nil, k, in)
	case "response":
		return AppendResponse(nil, k, in)
	case "import":
		out, err = AppendImport(nil, k, in)
	case "export":
		out, err = AppendExport(nil, k, in)
	default:
		err = errors.New("no such direction")
	}
	return out, Part{}, err
}

// loadStricter reads the vectors that are refused on purpose: name and category.
func loadStricter(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("testdata/stricter.txt")
	if err != nil {
		t.Fatal(err)
	}
	categories := []string{"list", "pairs", "fraction", "boolean", "underscores", "digits"}
	list := map[string]string{}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		category, name, ok := strings.Cut(line, " ")
		if !ok || !slices.Contains(categories, category) || list[name] != "" {
			t.Errorf("stricter.txt: bad or double line %q", line)
		}
		list[name] = category
	}
	return list
}

func TestVectors(t *testing.T) {
	stricter := loadStricter(t)
	vectors := loadVectors(t)
	if len(vectors) != vectorCount {
		t.Errorf("%d vectors, want %d", len(vectors), vectorCount)
	}
	if share := float64(len(stricter)) / float64(len(vectors)); share > 0.03 {
		t.Errorf("stricter than the contract on %.1f %% of the vectors", 100*share)
	}
	for _, v := range vectors {
		k, ok := ParseKind(v.Kind)
		if !ok {
			t.Fatalf("unknown kind %q", v.Kind)
		}
		out, part, err := translate(v.Dir, k, v.In)
		_, listed := stricter[v.Name]
		delete(stricter, v.Name)
		switch {
		case v.Error != nil:
			checkRefused(t, v, err)
		case listed && err == nil:
			t.Errorf("%s: in stricter.txt but not refused", v.Name)
		case listed:
			checkRefused(t, v, err)
		case err != nil:
			t.Errorf("%s: refused: %v\n in  %s\n want %s", v.Name, err, v.In, v.Out)
		case !sameJSON(out, v.Out):
			t.Errorf("%s:\n in   %s\n out  %s\n want %s", v.Name, v.In, out, v.Out)
		case v.Dir == "response" && part.Final != *v.Final:
			t.Errorf("%s: final %v, want %v", v.Name, part.Final, *v.Final)
		}
		if v.Dir == "response" {
			if want := err != nil || part.Final; Final(k, v.In) != want {
				t.Errorf("%s: Final() is not %v", v.Name, want)
			}
		}
	}
	for name := range stricter {
		t.Errorf("stricter.txt: no vector %s", name)
	}
}

// checkRefused wants an error of ours: one that names a member whenever a member
// is at fault, and that never carries the input along.
func checkRefused(t *testing.T, v vector, err error) {
	t.Helper()
	var problem *Error
	if !errors.As(err, &problem) {
		t.Errorf("%s: error %v (%T), want an *Error", v.Name, err, err)
		return
	}
	if v.In[0] == '{' && problem.Member == "" {
		t.Errorf("%s: %q names no member", v.Name, err)
	}
}

// TestVectorsAreCurrent compares the golden files with the ones they are copies of,
// where those exist.
func TestVectorsAreCurrent(t *testing.T) {
	const origin = "../../shared/vectors"
	theirs, err := filepath.Glob(origin + "/*.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(origin); errors.Is(err, fs.ErrNotExist) {
		return // a clone without the contract beside it
	}
	ours, err := filepath.Glob("testdata/*.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	if len(ours) != len(theirs) {
		t.Errorf("%d golden files here, %d in %s", len(ours), len(theirs), origin)
	}
	for _, file := range theirs {
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join("testdata", filepath.Base(file)))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s differs from its origin (%v)", filepath.Base(file), err)
		}
	}
}

// sameJSON is the contract's comparison rule (codec.md 3.5).
func sameJSON(a, b []byte) bool {
	x, errX := parseAny(a)
	y, errY := parseAny(b)
	return errX == nil && errY == nil && sameValue(x, y)
}

func parseAny(text []byte) (v any, err error) {
	d := json.NewDecoder(bufio.NewReader(bytes.NewReader(text)))
	d.UseNumber()
	if err = d.Decode(&v); err == nil && d.More() {
		err = errors.New("text after the value")
	}
	return v, err
}

func sameValue(a, b any) bool {
	switch x := a.(type) {
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for name, value := range x {
			if other, ok := y[name]; !ok || !sameValue(value, other) {
				return false
			}
		}
		return true
	case []any:
		y, ok := b.([]any)
		return ok && slices.EqualFunc(x, y, sameValue)
	case json.Number:
		y, ok := b.(json.Number)
		return ok && sameNumber(string(x), string(y))
	}
	return a == b
}

func sameNumber(a, b string) bool {
	x, okX := new(big.Int).SetString(a, 10)
	y, okY := new(big.Int).SetString(b, 10)
	if okX && okY {
		return x.Cmp(y) == 0
	}
	f, errX := json.Number(a).Float64()
	g, errY := json.Number(b).Float64()
	return errX == nil && errY == nil && f == g
}

func TestSameJSON(t *testing.T) {
	same := [][2]string{
		{`{"a":1,"b":null}`, `{"b":null,"a":1.0}`}, {`1e0`, `1`}, {`-0`, `0`}, {`"\u00e9"`, `"é"`},
		{`0.1234567890123456789`, `0.12345678901234568`},
	}
	for _, pair := range same {
		if !sameJSON([]byte(pair[0]), []byte(pair[1])) {
			t.Errorf("%s and %s should be the same", pair[0], pair[1])
		}
	}
	different := [][2]string{
		{`{"a":null}`, `{}`}, {`1`, `true`}, {`[1,2]`, `[2,1]`}, {`9007199254740993`, `9007199254740992`},
		{`1`, `"1"`}, {`{}`, `[]`}, {`1 2`, `1`},
	}
	for _, pair := range different {
		if sameJSON([]byte(pair[0]), []byte(pair[1])) {
			t.Errorf("%s and %s should differ", pair[0], pair[1])
		}
	}
}

// isSafe reports whether an output is what this package promises: valid for
// another parser too, in UTF-8, and within our own limits.
func isSafe(out []byte) bool {
	_, err := ParseValue(out)
	return err == nil && json.Valid(out) && utf8.Valid(out)
}
