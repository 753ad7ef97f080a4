package bench

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"sluice/codec"
)

// coldSamples takes, for every kind and direction, the longest of the contract's
// vectors that translate.
func coldSamples(tb testing.TB) []sample {
	tb.Helper()
	files, err := filepath.Glob(filepath.Join("..", "codec", "testdata", "*.jsonl"))
	if err != nil || len(files) == 0 {
		tb.Fatalf("no vectors: %v", err)
	}
	var out []sample
	for _, f := range files {
		longest := map[string]json.RawMessage{}
		var kind codec.Kind
		for _, v := range readVectors(tb, f) {
			kind, _ = codec.ParseKind(v.Kind)
			if v.Error == "" && len(v.In) > len(longest[v.Dir]) && translates(kind, v.Dir, v.In) {
				longest[v.Dir] = v.In
			}
		}
		for _, dir := range []string{"request", "send", "response", "import", "export"} {
			if in, ok := longest[dir]; ok {
				out = append(out, sample{dir + "/" + kind.String() + "/longest", in, func(dst, text []byte) ([]byte, error) {
					return translate(dst, kind, dir, text)
				}})
			}
		}
	}
	return out
}

type goldenVector struct {
	Kind, Dir, Error string
	In               json.RawMessage
}

func readVectors(tb testing.TB, path string) (all []goldenVector) {
	tb.Helper()
	f, err := os.Open(path)
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var v goldenVector
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			tb.Fatalf("%s: %v", path, err)
		}
		all = append(all, v)
	}
	return all
}

func translates(k codec.Kind, dir string, in []byte) bool {
	_, err := translate(nil, k, dir, in)
	return err == nil
}

func translate(dst []byte, k codec.Kind, dir string, text []byte) ([]byte, error) {
	switch dir {
	case "response":
		out, _, err := codec.AppendResponse(dst, k, text)
		return out, err
	case "import":
		return codec.AppendImport(dst, k, text)
	case "export":
		return codec.AppendExport(dst, k, text)
	}
	return codec.AppendRequest(dst, k, text)
}
