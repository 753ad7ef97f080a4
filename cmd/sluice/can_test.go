package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"
)

func TestCanDecidesAsTheVectorsSay(t *testing.T) {
	text, err := os.ReadFile("../../proxy/auth/testdata/capabilities.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Check []json.RawMessage `json:"check"`
	}
	if err := json.Unmarshal(text, &file); err != nil || len(file.Check) == 0 {
		t.Fatalf("%d checks, %v", len(file.Check), err)
	}
	var in, out bytes.Buffer
	var want []string
	for _, raw := range file.Check {
		var v struct {
			Roles                []string
			Assigned, Capability string
			Target               *string
			Allow                bool
		}
		if err := json.Unmarshal(raw, &v); err != nil {
			t.Fatal(err)
		}
		want = append(want, verdict(v.Allow))
		if err := json.Compact(&in, raw); err != nil {
			t.Fatal(err)
		}
		in.WriteByte('\n')
		if v.Target != nil && *v.Target == "" {
			continue // a flag cannot tell "" from absent, nor does the rule
		}
		args := []string{"can", "--roles", strings.Join(v.Roles, ","), "--assigned", v.Assigned, "--capability", v.Capability}
		if v.Target != nil {
			args = append(args, "--workspace", *v.Target)
		}
		checkCan(t, args, v.Allow)
	}
	if code := execute([]string{"can"}, &in, &out, io.Discard); code != exitOK {
		t.Errorf("exit %d", code)
	}
	got := strings.Fields(out.String())
	for i := range want {
		if i >= len(got) || got[i] != want[i] {
			t.Fatalf("line %d of %d differs: want %s for %s", i, len(got), want[i], file.Check[i])
		}
	}
}

func checkCan(t *testing.T, args []string, allow bool) {
	t.Helper()
	var out, errOut bytes.Buffer
	code := execute(args, strings.NewReader(""), &out, &errOut)
	wantCode := exitFailure
	if allow {
		wantCode = exitOK
	}
	if code != wantCode || out.String() != verdict(allow)+"\n" || errOut.Len() != 0 {
		t.Errorf("%v: exit %d, %q, %q", args, code, out.String(), errOut.String())
	}
}

func TestCanLines(t *testing.T) {
	for _, row := range []struct {
		line, want string
		code       int
	}{
		{`{"roles":["reader"],"assigned":"a","capability":"llm","target":null}`, "allow", 0},
		{`{"roles":["reader"],"assigned":"a","capability":"llm"}`, "allow", 0},
		{`{"roles":["reader"],"assigned":"a","capability":"llm","target":"b"}`, "deny", 0},
		{`{"Roles":["reader"],"assigned":"a","capability":"llm"}`, "deny", 0},
		{`{"roles":null,"assigned":"a","capability":"llm"}`, "deny", 0},
		{`{}`, "deny", 0},
		{`{"roles":"reader","assigned":"a","capability":"llm"}`, "error: roles has the wrong type", 2},
		{`{"roles":[],"target":3}`, "error: target has the wrong type", 2},
		{`null`, "error: not a JSON object", 2},
		{`[]`, "error: not a JSON object", 2},
		{``, "error: not a JSON object", 2},
	} {
		var out bytes.Buffer
		code := execute([]string{"can"}, strings.NewReader(row.line+"\n{}\n"), &out, io.Discard)
		lines := strings.Split(out.String(), "\n")
		if code != row.code || !strings.HasPrefix(lines[0], row.want) || lines[1] != "deny" {
			t.Errorf("%s: exit %d, %q", row.line, code, lines)
		}
	}
}

func TestCanNeedsItsFlags(t *testing.T) {
	for _, args := range [][]string{
		{"--roles=admin"}, {"--roles=admin", "--assigned=a"}, {"--assigned=a", "--capability=llm"}, {"--rolls=admin"}, {"word"},
	} {
		var errOut bytes.Buffer
		if code := execute(append([]string{"can"}, args...), strings.NewReader(""), io.Discard, &errOut); code != exitUsage || errOut.Len() == 0 {
			t.Errorf("%v: exit %d, %q", args, code, errOut.String())
		}
	}
}
