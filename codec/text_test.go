package codec

import (
	"fmt"
	"strings"
	"testing"
)

// TestDump pins the spelling down byte for byte: services see it as a string.
func TestDump(t *testing.T) {
	var many []string
	for i := range 40 {
		many = append(many, fmt.Sprintf(`"k%d":%d`, i, i))
	}
	merged := strings.ReplaceAll(strings.ReplaceAll(strings.Join(many, ", "), ":", ": "), `"k3": 3,`, `"k3": "again",`)
	for _, c := range []struct{ in, want string }{
		{`null`, `null`}, {` [ ] `, `[]`}, {`{ }`, `{}`}, {`[1,true , null]`, `[1, true, null]`},
		{`{"b":1,"a":{"c":[]}}`, `{"b": 1, "a": {"c": []}}`},
		{`{"a":1,"b":2,"\u0061":3}`, `{"a": 3, "b": 2}`},
		{`{"\ud83d":1,"\ud83e":2,"\ufffd":3}`, `{"\ud83d": 1, "\ud83e": 2, "\ufffd": 3}`},
		{`{` + strings.Join(many, ",") + `,"\u006b3":"again"}`, `{` + merged + `}`},
		{`-0`, `0`}, {`-0.0`, `-0.0`}, {`0e5`, `0.0`}, {`12345678901234567890123`, `12345678901234567890123`},
		{`1.0`, `1.0`}, {`1e5`, `100000.0`}, {`0.0001`, `0.0001`}, {`0.00001`, `1e-05`}, {`1.5e-5`, `1.5e-05`},
		{`1e15`, `1000000000000000.0`}, {`1e16`, `1e+16`}, {`123456789012345680.0`, `1.2345678901234568e+17`},
		{`5e-324`, `5e-324`}, {`1e-999`, `0.0`}, {`1.7976931348623157e308`, `1.7976931348623157e+308`}, {`1E+100`, `1e+100`},
		{`0.1234567890123456789`, `0.12345678901234568`}, {`-9007199254740993.0`, `-9007199254740992.0`},
		{`"\"\\\/\b\f\n\r\t"`, `"\"\\/\b\f\n\r\t"`}, {`"</a>&'"`, `"</a>&'"`}, {"\"\x7f\"", `"\u007f"`}, {`"\u0000\u001F"`, `"\u0000\u001f"`},
		{`"é€\u20AC"`, `"\u00e9\u20ac\u20ac"`}, {`"😀"`, `"\ud83d\ude00"`}, {`"\ud83d\ude00\ud83d"`, `"\ud83d\ude00\ud83d"`},
	} {
		v, err := ParseValue([]byte(c.in))
		if err != nil {
			t.Fatal(err)
		}
		dump, err := ParseValue(appendDumpText(nil, v.Raw))
		if err != nil {
			t.Fatalf("%s: %v", c.in, err)
		}
		if text, _ := dump.String(); string(text) != c.want {
			t.Errorf("%s dumped as %s, want %s", c.in, text, c.want)
		}
	}
}

func TestInteger(t *testing.T) {
	nines := strings.Repeat("9", maxIntegerDigits)
	for _, c := range []struct{ in, want string }{
		{`5`, `5`}, {`-25`, `-25`}, {`-0`, `-0`}, {`5.0`, `5`}, {`1e3`, `1000`}, {`2E2`, `200`}, {`-0.0`, `-0`}, {`0e5`, `0`},
		{`1e30`, `1000000000000000019884624838656`}, {`9007199254740993.0`, `9007199254740992`},
		{`98765432109876543210`, `98765432109876543210`}, {nines, nines},
		{`"5"`, `5`}, {`" 7\n"`, `7`}, {`"+9"`, `9`}, {`"-3"`, `-3`}, {`"007"`, `7`}, {`"-0"`, `0`}, {`"000"`, `0`}, {`"\u0035"`, `5`},
		{`"\u00a0\u2003\u3000\u0085 5\u2028\u2029\u000b"`, `5`}, {`"` + nines + `"`, nines},
		// Refused like the contract, and then those that it lets through.
		{`null`, ``}, {`[]`, ``}, {`{}`, ``}, {`""`, ``}, {`"5.0"`, ``}, {`"1e3"`, ``}, {`"0x10"`, ``}, {`"- 1"`, ``}, {`"--5"`, ``}, {`"1 2"`, ``},
		{`"+"`, ``}, {`"\u200b5"`, ``}, {`"\ufeff5"`, ``}, {`"\u001c5"`, ``}, {`"\u00b2"`, ``}, {`"` + nines + `9"`, ``},
		{`true`, ``}, {`false`, ``}, {`5.9`, ``}, {`4e-3`, ``}, {`"1_000"`, ``}, {`"٤٢"`, ``}, {`"１２"`, ``},
	} {
		out, err := appendInteger(nil, []byte(c.in))
		switch {
		case (err != nil) != (c.want == ""):
			t.Errorf("%.40s: error %v", c.in, err)
		case err == nil && string(out) != c.want:
			t.Errorf("%.40s: %s, want %s", c.in, out, c.want)
		}
	}
}

func TestTextLoad(t *testing.T) {
	const raw = "as it is"
	for _, c := range []struct{ text, charset, want string }{
		{`"plain words"`, ``, raw}, {`"é"`, `"nonsense"`, raw}, {`"Zm9v\n"`, ``, raw}, {`"Zm9v IA=="`, ``, raw},
		{`"Zm9v"`, ``, `foo`}, {`"Zm9\u0076"`, ``, `foo`}, {`"OK=="`, ``, `8`}, {`"OK="`, ``, raw}, {`"test"`, ``, raw}, {`"aGVs===="`, ``, `hel`},
		{`"="`, ``, raw}, {`"===="`, ``, raw}, {`"YQ==YQ=="`, ``, raw}, {`"YQ==="`, ``, raw}, {`"a"`, ``, raw}, {`"aGl="`, ``, `hi`},
		{`""`, ``, ``}, {`""`, `"no such thing"`, ``}, {`""`, `null`, `error`},
		{`"test"`, `"latin-1"`, "\u00b5\u00eb-"}, {`"test"`, `"ISO_8859-1"`, "\u00b5\u00eb-"}, {`"test"`, `" Latin 1 "`, "\u00b5\u00eb-"},
		{`"test"`, `"us-ascii"`, raw}, {`"gJk="`, `"windows-1252"`, "\u20ac\u2122"}, {`"gYI="`, `"cp1252"`, raw},
		{`"77u/YQ=="`, `"utf-8"`, "\ufeffa"}, {`"77u/YQ=="`, `"utf-8-sig"`, "a"}, {`"YQ=="`, `"UTF-8-SIG"`, "a"},
		{`"//5hAA=="`, `"utf-16"`, "a"}, {`"/v8AYQ=="`, `"U16"`, "a"}, {`"YQBiAA=="`, `"utf16"`, "ab"}, {`"//5hAA=="`, `"utf-16-le"`, "\ufeffa"},
		{`"AGE="`, `"utf_16_be"`, "a"}, {`"PdgA3g=="`, `"utf-16le"`, "\U0001f600"}, {`"PdgA"`, `"utf-16le"`, raw}, {`"Pdg9"`, `"utf-16le"`, raw},
		{`"PdhhAA=="`, `"utf-16le"`, raw}, {`"ANw="`, `"utf-16le"`, raw}, {`"//4="`, `"utf-16"`, ""},
		{`"7aCA"`, `"utf8"`, raw}, {`"wIA="`, `"u8"`, raw}, {`"AA=="`, `"utf-8"`, "\x00"}, {`"IiJc"`, `"cp65001"`, `""\`},
		{`"Zm9v"`, `"hex"`, `error`}, {`"Zm9v"`, `"utf-9"`, `error`}, {`"Zm9v"`, `""`, `error`}, {`"Zm9v"`, `7`, `error`}, {`"Zm9v"`, `null`, `error`},
		{`"Zm9v!"`, `null`, raw}, {`7`, ``, `error`}, {`null`, ``, `error`}, {`"\ud83d"`, ``, `error`},
	} {
		body := `{"text":` + c.text
		if c.charset != "" {
			body += `,"charset":` + c.charset
		}
		want := c.want
		if want == raw {
			v, _ := ParseValue([]byte(c.text))
			text, _ := v.String()
			want = string(text)
		}
		out, err := AppendRequest(nil, TextLoad, []byte(body+`}`))
		if err != nil {
			if want != "error" {
				t.Errorf("%s: %v", body, err)
			}
			continue
		}
		msg, _ := ParseValue(out)
		if got, _ := msg.Get("text").String(); string(got) != want {
			t.Errorf("%s: %q, want %q", body, got, want)
		}
	}
}

func TestEmbeddedLimits(t *testing.T) {
	deep := nested("[", "", "]", maxNesting+1)
	for _, text := range []string{deep, strings.Repeat("9", maxIntegerDigits+1), "1e999", "NaN", "[1,]", "1 2", `"` + "\n" + `"`} {
		quoted := string(AppendQuoted(nil, text))
		if out, _, err := AppendResponse(nil, MCPTool, []byte(`{"object":`+quoted+`}`)); err == nil {
			t.Errorf("mcp-tool: %.30q gives %.60s", text, out)
		}
		for _, member := range []string{`"data"`, `"descriptor"`} {
			kind := map[string]Kind{`"data"`: Rows, `"descriptor"`: StructuredDiag}[member]
			out, _, err := AppendResponse(nil, kind, []byte(`{`+member+`:`+quoted+`}`))
			if err != nil || !strings.Contains(string(out), member+`:`+quoted) {
				t.Errorf("%v: %.30q gives %.60s, %v", kind, text, out, err)
			}
		}
	}
}

// TestMovedValuesStayShallow: what is put one level deeper must not nest deeper than
// the services can read.
func TestMovedValuesStayShallow(t *testing.T) {
	fits, deep := nested("[", "", "]", maxNesting-2), nested(`{"a":`, "[]", "}", maxNesting-2)
	for _, c := range []struct{ dir, kind, body string }{
		{"send", "text-load", `{"text":"t","id":%s}`},
		{"send", "document-load", `{"data":"","root":%s}`},
		{"import", "rows", `{"metadata":{"id":1,"collection":2},"schema_name":"s","values":%s}`},
	} {
		k, _ := ParseKind(c.kind)
		if out, _, err := translate(c.dir, k, fmt.Appendf(nil, c.body, fits)); err != nil || !isSafe(out) {
			t.Errorf("%s: %v", c.kind, err)
		}
		if _, _, err := translate(c.dir, k, fmt.Appendf(nil, c.body, deep)); err == nil {
			t.Errorf("%s: accepted too deep a value", c.kind)
		}
	}
}

func TestTruth(t *testing.T) {
	for text, want := range map[string]bool{
		`null`: false, `false`: false, `0`: false, `-0`: false, `0.0`: false, `-0.0e7`: false, `0e5`: false, `""`: false, `[]`: false, `{ }`: false,
		"[ \n]": false, `1e-999`: false, `0.` + strings.Repeat("0", 400) + `1`: false,
		`true`: true, `1`: true, `-0.1`: true, `1e-300`: true, `5e-324`: true, `"0"`: true, `"false"`: true, `[null]`: true, `{"a":null}`: true, `" "`: true,
		`1` + strings.Repeat("0", 400): true,
	} {
		v, err := ParseValue([]byte(text))
		if err != nil || v.Truthy() != want {
			t.Errorf("%.30s is %v (%v)", text, v.Truthy(), err)
		}
	}
	if (Value{}).Truthy() || (Value{}).Present() {
		t.Error("nothing is something")
	}
}

func TestValueGet(t *testing.T) {
	v, err := ParseValue([]byte(` { "a" : 1 , "b":{"c":[1,{"a":2}]},"\u0061":"l\u0061st","":"e" , "long":"` + strings.Repeat("x", 99) + `"} `))
	if err != nil {
		t.Fatal(err)
	}
	if text, ok := v.Get("a").String(); !ok || string(text) != "last" {
		t.Errorf("a: %q", text)
	}
	if raw := string(v.Get("b").Get("c").Raw); raw != `[1,{"a":2}]` {
		t.Errorf("b.c: %s", raw)
	}
	if text, _ := v.Get("").String(); string(text) != "e" {
		t.Errorf("empty name: %q", text)
	}
	if text, _ := v.Get("long").String(); len(text) != 99 {
		t.Errorf("long: %q", text)
	}
	if v.Get("c").Present() || v.Get("A").Present() || v.Get("a").Get("a").Present() || !v.Get("b").IsObject() || v.Get("b").IsNull() {
		t.Error("members that are not there")
	}
}

func TestAppendQuoted(t *testing.T) {
	for _, text := range []string{"", "plain", "\"\\/\n\r\t\x00\x1f\x7f", "é€😀", "\u2028</script>", strings.Repeat("long ", 100)} {
		raw := AppendQuoted(nil, text)
		if !isSafe(raw) || !isText(raw, text) {
			t.Errorf("%q quoted as %s", text, raw)
		}
	}
	if raw := string(AppendQuoted([]byte("x"), "a\xffb\xe4\xbd")); raw != "x\"a\ufffdb\ufffd\ufffd\"" {
		t.Errorf("invalid UTF-8 quoted as %q", raw)
	}
}
