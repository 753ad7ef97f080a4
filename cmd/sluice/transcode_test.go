package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

type vector struct {
	Name  string          `json:"name"`
	Kind  string          `json:"kind"`
	Dir   string          `json:"dir"`
	In    json.RawMessage `json:"in"`
	Out   json.RawMessage `json:"out"`
	Final *bool           `json:"final"`
	Error *string         `json:"error"`
}

// transcoded is an output line.
type transcoded struct {
	Out   json.RawMessage `json:"out"`
	Final *bool           `json:"final"`
	Error *string         `json:"error"`
}

func readVectors(t *testing.T) map[[2]string][]vector {
	t.Helper()
	files, err := filepath.Glob("../../codec/testdata/*.jsonl")
	if err != nil || len(files) == 0 {
		t.Fatalf("no vectors: %v", err)
	}
	groups := map[[2]string][]vector{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(text) {
			var v vector
			if err := json.Unmarshal(line, &v); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			if v.Name != "" {
				groups[[2]string{v.Kind, v.Dir}] = append(groups[[2]string{v.Kind, v.Dir}], v)
			}
		}
	}
	return groups
}

// Every vector goes through the command, a kind and direction at a time. Which
// refusals are allowed is the codec's own test; here they only have to be few.
func TestTranscodeReproducesTheVectors(t *testing.T) {
	total, refused := 0, 0
	for key, vectors := range readVectors(t) {
		var in, out, errOut bytes.Buffer
		for _, v := range vectors {
			in.Write(v.In)
			in.WriteByte('\n')
		}
		code := execute([]string{"transcode", "--kind", key[0], "--dir", key[1]}, &in, &out, &errOut)
		lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
		if code != exitOK || len(lines) != len(vectors) {
			t.Fatalf("%v: exit %d, %d lines for %d vectors: %s", key, code, len(lines), len(vectors), errOut.String())
		}
		for i, v := range vectors {
			total++
			var got transcoded
			if err := json.Unmarshal([]byte(lines[i]), &got); err != nil {
				t.Fatalf("%s: %v in %s", v.Name, err, lines[i])
			}
			switch {
			case got.Error != nil && *got.Error == "":
				t.Errorf("%s: empty error", v.Name)
			case v.Error != nil && got.Error == nil:
				t.Errorf("%s: not refused: %s", v.Name, lines[i])
			case v.Error != nil:
			case got.Error != nil:
				refused++
			case !sameJSON(t, v.Out, got.Out):
				t.Errorf("%s:\n got %s\nwant %s", v.Name, got.Out, v.Out)
			case (v.Final == nil) != (got.Final == nil) || v.Final != nil && *v.Final != *got.Final:
				t.Errorf("%s: final differs: %s", v.Name, lines[i])
			}
		}
	}
	if refused*100 > total*3 {
		t.Errorf("%d of %d vectors refused, more than 3 %%", refused, total)
	}
}

// sameJSON is the comparison rule of the vectors' README.
func sameJSON(t *testing.T, a, b []byte) bool {
	t.Helper()
	parse := func(raw []byte) any {
		d := json.NewDecoder(bytes.NewReader(raw))
		d.UseNumber()
		var v any
		if err := d.Decode(&v); err != nil {
			t.Fatalf("%v in %s", err, raw)
		}
		return v
	}
	return sameValue(parse(a), parse(b))
}

func sameValue(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for k, v := range a {
			if w, ok := b[k]; !ok || !sameValue(v, w) {
				return false
			}
		}
		return true
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for i := range a {
			if !sameValue(a[i], b[i]) {
				return false
			}
		}
		return true
	case json.Number:
		b, ok := b.(json.Number)
		return ok && sameNumber(string(a), string(b))
	}
	return a == b
}

func sameNumber(a, b string) bool {
	x, okA := new(big.Int).SetString(a, 10)
	y, okB := new(big.Int).SetString(b, 10)
	if okA && okB {
		return x.Cmp(y) == 0
	}
	f, errA := strconv.ParseFloat(a, 64)
	g, errB := strconv.ParseFloat(b, 64)
	return errA == nil && errB == nil && f == g
}

func TestTranscodeLines(t *testing.T) {
	for _, row := range []struct{ name, in, want string }{
		{"nothing", "", ""},
		{"no line end", `{"texts":[1]}`, `{"out":{"texts":[1]}}` + "\n"},
		{"carriage return", "{\"texts\":\r[1]}\r\n", `{"out":{"texts":[1]}}` + "\n"},
		{"separators", "{\"texts\":[\"a\u2028b\u2029c\u0085d\"]}\n", `{"out":{"texts":["a\u2028b\u2029c\u0085d"]}}` + "\n"},
		{"blank between", "{\"texts\":[]}\n\n{\"texts\":[2]}\n", `{"out":{"texts":[]}}` + "\n" + `{"error":` + "*\n" + `{"out":{"texts":[2]}}` + "\n"},
	} {
		t.Run(row.name, func(t *testing.T) {
			var out bytes.Buffer
			if code := execute([]string{"transcode", "--kind=embeddings", "--dir=request"}, strings.NewReader(row.in), &out, io.Discard); code != exitOK {
				t.Errorf("exit %d", code)
			}
			got, want := strings.SplitAfter(out.String(), "\n"), strings.SplitAfter(row.want, "\n")
			if len(got) != len(want) {
				t.Fatalf("got %q, want %q", got, want)
			}
			for i := range want {
				prefix, any := strings.CutSuffix(want[i], "*\n")
				if any && !strings.HasPrefix(got[i], prefix) || !any && got[i] != want[i] {
					t.Errorf("line %d: got %q, want %q", i+1, got[i], want[i])
				}
			}
		})
	}
}

func TestTranscodeRefusesWhatDoesNotExist(t *testing.T) {
	for _, args := range [][]string{
		{"--kind=nothing", "--dir=request"},
		{"--dir=request"},
		{"--kind=embeddings"},
		{"--kind=embeddings", "--dir=sideways"},
		{"--kind=embeddings", "--dir=import"},
		{"--kind=rows", "--dir=export"},
		{"--kind=entity-contexts", "--dir=request"},
		{"--kind=text-load", "--dir=response"},
		{"--kind=config", "--dir=send"},
		{"--kind=config", "--dir=request", "extra"},
	} {
		var out, errOut bytes.Buffer
		if code := execute(append([]string{"transcode"}, args...), strings.NewReader("{}\n"), &out, &errOut); code != exitUsage || out.Len() > 0 || errOut.Len() == 0 {
			t.Errorf("%v: exit %d, output %q, error %q", args, code, out.String(), errOut.String())
		}
	}
}

// A line that is too long is refused, and the next one is read from its start.
func TestReadLineSkipsWhatIsTooLong(t *testing.T) {
	const limit = 100
	in := strings.Repeat("a", limit) + "\n" + strings.Repeat("b", limit+1) + "\n\n" + strings.Repeat("c", 3*limit) + "\nlast"
	r := bufio.NewReaderSize(strings.NewReader(in), 16)
	for i, want := range []struct {
		line string
		err  error
	}{{strings.Repeat("a", limit), nil}, {"", errLineTooLong}, {"", nil}, {"", errLineTooLong}, {"last", nil}, {"", io.EOF}, {"", io.EOF}} {
		line, err := readLine(r, nil, limit)
		if !errors.Is(err, want.err) || err == nil && string(line) != want.line {
			t.Errorf("line %d: got %q, %v", i+1, line, err)
		}
	}
}
