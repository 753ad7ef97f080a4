package codec

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/bytedance/sonic"
)

// hostile are seeds for every target: what people send who mean no good.
var hostile = []string{
	``, ` `, `{`, `{"`, `{"a`, `{"a":`, `{"a":1,`, `[`, `[1,`, `"`, `"\`, `"\u`, `"\ud83d`, `-`, `1e`, `nul`, `{}x`, `NaN`, `1e999`,
	`{"operation":"get","operati\u006fn":"put"}`, `{"\ud83d":1}`, "{\"\xff\":1}", "\"\x01\"", `{"a":[[[[[[{}]]]]]]}`,
	strings.Repeat("[", 300), strings.Repeat(`{"a":`, 300), strings.Repeat("9", 4301), `{"vector":[1e400]}`,
	`{"s":{"t":"t","tr":{"s":{"t":"t","tr":{"s":{}}}}},"s":{"t":"\u0069","i":"x","i":"y"}}`,
	`{"text":"Zm9v","charset":"utf-16"}`, `{"text":"YQ==","charset":null}`, `{"data":"a==b=c=d"}`, `{"content":"\ud83d\ude00aGk"}`,
	`{"variables":{"a":1,"\u0061":2,"b":1e22,"c":"\u2028<>&\""}}`, `{"parameters":{"x":-0.0,"y":[],"z":{"z":null}}}`,
	`{"object":"{\"a\":NaN}"}`, `{"data":"[1,]"}`, `{"descriptor":7}`, `{"limit":"\u00a0+007\u2003"}`, `{"limit":9007199254740993.0}`,
}

// seed adds the golden inputs of some directions, and the hostile ones for every kind.
func seed(f *testing.F, dirs ...string) {
	for _, v := range loadVectors(f) {
		for _, dir := range dirs {
			if k, _ := ParseKind(v.Kind); v.Dir == dir {
				f.Add(uint8(k), []byte(v.In))
			}
		}
	}
	for i, text := range hostile {
		f.Add(uint8(i%kindCount), []byte(text))
	}
}

// expected reports whether an error is one of the two that this package returns.
func expected(err error) bool {
	var syntax *SyntaxError
	var problem *Error
	return err == nil || errors.As(err, &syntax) || errors.As(err, &problem)
}

func FuzzScan(f *testing.F) {
	for _, text := range hostile {
		f.Add([]byte(text))
	}
	for _, v := range loadVectors(f) {
		f.Add([]byte(v.In))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if !agrees(text) {
			_, _, fault := scanText(text)
			t.Fatalf("fault %q, encoding/json says %v", reasons[fault], json.Valid(text))
		}
		v, err := ParseValue(text)
		if err != nil {
			return
		}
		if !sonic.Valid(text) {
			t.Fatal("sonic refuses what we accept")
		}
		if end := endOfValue(append(bytes.Clone(v.Raw), ','), 0); end != len(v.Raw) {
			t.Fatalf("skipping ends at %d of %d", end, len(v.Raw))
		}
		if ours, ok := v.String(); ok {
			var theirs string
			if err := sonic.Unmarshal(v.Raw, &theirs); err != nil || theirs != string(ours) {
				t.Fatalf("%q here, %q for sonic (%v)", ours, theirs, err)
			}
			if back, err := ParseValue(AppendQuoted(nil, theirs)); err != nil || !isText(back.Raw, theirs) {
				t.Fatalf("quoting %q gives %s", theirs, back.Raw)
			}
		}
		checkDump(t, v.Raw)
	})
}

// checkDump wants a dump to be ASCII, to mean the same as the value, and to stay the
// same when dumped again.
func checkDump(t *testing.T, raw []byte) {
	t.Helper()
	quoted := appendDumpText(nil, raw)
	v, err := ParseValue(quoted)
	if err != nil || !isASCII(quoted) {
		t.Fatalf("dump %s: %v", quoted, err)
	}
	text, _ := v.String()
	if !sameJSON(text, raw) {
		t.Fatalf("%s dumped as %s", raw, text)
	}
	if again := appendDumpText(nil, text); !bytes.Equal(again, quoted) {
		t.Fatalf("dumped twice: %s and %s", quoted, again)
	}
}

func FuzzRequest(f *testing.F) {
	seed(f, "request", "send")
	f.Fuzz(func(t *testing.T, kind uint8, body []byte) {
		var r Request
		err := r.Parse(Kind(kind), body)
		if _, other := ParseValue(body); (err == nil) != (other == nil) {
			t.Fatalf("Parse says %v, ParseValue %v", err, other)
		}
		if err != nil {
			return
		}
		op, isText := r.Operation()
		out, err := r.AppendMessage([]byte("head"))
		if !expected(err) || !bytes.HasPrefix(out, []byte("head")) {
			t.Fatalf("%q, %v", out, err)
		}
		if err != nil {
			if len(out) != len("head") {
				t.Fatalf("output %q beside %v", out, err)
			}
			return
		}
		out = out[len("head"):]
		if !isSafe(out) {
			t.Fatalf("unsafe message %s", out)
		}
		if again, err := r.AppendMessage(nil); err != nil || !bytes.Equal(again, out) {
			t.Fatalf("a second message differs: %s and %s (%v)", out, again, err)
		}
		msg, _ := ParseValue(out)
		if sent := msg.Get("operation"); isText && sent.Present() {
			if text, ok := sent.String(); !ok || !bytes.Equal(text, op) {
				t.Fatalf("decided on %q, sent %q", op, text)
			}
		}
	})
}

func FuzzResponse(f *testing.F) {
	seed(f, "response")
	f.Fuzz(func(t *testing.T, kind uint8, msg []byte) {
		out, part, err := AppendResponse(nil, Kind(kind), msg)
		if !expected(err) {
			t.Fatal(err)
		}
		if Final(Kind(kind), msg) != part.Final {
			t.Fatalf("Final() is not %v", part.Final)
		}
		if err != nil {
			if len(out) != 0 || !part.Final {
				t.Fatalf("%s, %+v beside %v", out, part, err)
			}
			return
		}
		if !json.Valid(out) || out[0] != '{' {
			t.Fatalf("invalid body %s", out)
		}
		if v, err := ParseValue(out); err == nil && v.Get("error").Present() != part.Failed {
			t.Fatalf("%+v with %s", part, out)
		}
	})
}

func FuzzImport(f *testing.F) {
	seed(f, "import")
	f.Fuzz(func(t *testing.T, kind uint8, frame []byte) {
		out, err := AppendImport(nil, Kind(kind), frame)
		if !expected(err) || err == nil && !isSafe(out) || err != nil && len(out) != 0 {
			t.Fatalf("%s, %v", out, err)
		}
	})
}

func FuzzExport(f *testing.F) {
	seed(f, "export")
	f.Fuzz(func(t *testing.T, kind uint8, msg []byte) {
		k := Kind(kind)
		frame, err := AppendExport(nil, k, msg)
		if !expected(err) || err == nil && !isSafe(frame) || err != nil && len(frame) != 0 {
			t.Fatalf("%s, %v", frame, err)
		}
		if err != nil {
			return
		}
		// A frame may lose something on its first way round, never after that.
		once := roundTrip(t, k, frame)
		if twice := roundTrip(t, k, once); !sameJSON(once, twice) {
			t.Fatalf("%s and then %s", once, twice)
		}
	})
}

// roundTrip imports a frame that was exported and exports it again.
func roundTrip(t *testing.T, k Kind, frame []byte) []byte {
	t.Helper()
	msg, err := AppendImport(nil, k, frame)
	if err != nil {
		t.Fatalf("an exported frame cannot be imported: %v: %s", err, frame)
	}
	again, err := AppendExport(nil, k, msg)
	if err != nil {
		t.Fatalf("an imported frame cannot be exported: %v: %s", err, msg)
	}
	return again
}

func FuzzBase64(f *testing.F) {
	for _, text := range []string{"", "=", "aGk=", "aGk=aGk=", "a", "ab", "abc", "abcd=", " aG Vs\nbG8", "a=b==", "ab=c", "ab=c=", "é", "_-"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		data, ok := lenient(text)
		canonical, okHere := appendCanonical(nil, text)
		if ok != okHere {
			t.Fatalf("accepted: %v, step by step: %v", okHere, ok)
		}
		if ok && base64.StdEncoding.EncodeToString(data) != string(canonical) {
			t.Fatalf("%s, step by step %x", canonical, data)
		}
		strict, okStrict := appendStrictBase64(nil, text)
		if okStrict && (!ok || !bytes.Equal(strict, data)) {
			t.Fatalf("strict %x, lenient %x", strict, data)
		}
		if std, err := base64.StdEncoding.DecodeString(string(text)); err == nil && !bytes.ContainsAny(text, "\r\n") {
			if !okStrict || !bytes.Equal(std, strict) {
				t.Fatalf("strict %x (%v), Go's decoder %x", strict, okStrict, std)
			}
		}
	})
}

// lenient is the walk of the contract (codec.md 7.2), written down as it stands there.
func lenient(text []byte) (data []byte, ok bool) {
	quad, pads, bits := 0, 0, uint32(0)
	for _, c := range text {
		six := strings.IndexByte(base64Alphabet, c)
		switch {
		case six >= 0:
			pads, bits = 0, bits<<6|uint32(six)
			quad = (quad + 1) % 4
			if quad == 0 {
				data = append(data, byte(bits>>16), byte(bits>>8), byte(bits))
			}
		case c == '=' && quad >= 2:
			if pads++; quad+pads < 4 {
				continue
			}
			if quad == 2 {
				return append(data, byte(bits>>4)), true
			}
			return append(data, byte(bits>>10), byte(bits>>2)), true
		}
	}
	return data, quad == 0
}
