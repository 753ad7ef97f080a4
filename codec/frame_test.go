package codec

import (
	"errors"
	"strings"
	"testing"
)

func parsedFrame(t *testing.T, text string) *Frame {
	t.Helper()
	f := new(Frame)
	if err := f.Parse([]byte(text)); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return f
}

func TestFrameMembers(t *testing.T) {
	f := parsedFrame(t, ` {"id": "a-1" , "service":"config","flow":null,"workspace":"w","request":{"operation":"get"},"type":"x","token":7,"more":[1]} `)
	for name, row := range map[string]struct {
		got  Value
		want string
	}{
		"id": {f.ID(), `"a-1"`}, "service": {f.Service(), `"config"`}, "flow": {f.Flow(), `null`},
		"workspace": {f.Workspace(), `"w"`}, "request": {f.Request(), `{"operation":"get"}`}, "token": {f.Token(), `7`},
	} {
		if string(row.got.Raw) != row.want {
			t.Errorf("%s: %s, expected %s", name, row.got.Raw, row.want)
		}
	}
	if !f.IsObject() || f.IsAuth() || f.Flow().Truthy() {
		t.Error("object, auth or flow misread")
	}
	f.Reset()
	if f.IsObject() || f.ID().Present() || f.Request().Present() {
		t.Error("Reset left something")
	}
}

// TestFrameLastMemberWins: neither a second spelling nor another case of a name
// shows one thing to the check and another to the service.
func TestFrameLastMemberWins(t *testing.T) {
	for _, text := range []string{
		`{"service":"config","service":"iam","request":{},"id":1}`,
		`{"service":"config","servic\u0065":"iam","request":{},"id":1}`,
		`{"\u0073ervice":"config","service":"i\u0061m","request":{},"id":1}`,
		`{"service":"iam","Service":"config","SERVICE":"config","service ":"config","request":{},"id":1}`,
	} {
		if service, ok := parsedFrame(t, text).Service().String(); !ok || string(service) != "iam" {
			t.Errorf("%s: service %q", text, service)
		}
	}
	for _, text := range []string{`{"type":"x","type":"auth"}`, `{"typ\u0065":"\u0061uth"}`} {
		if !parsedFrame(t, text).IsAuth() {
			t.Errorf("%s: no auth frame", text)
		}
	}
	for _, text := range []string{`{"type":"auth","type":"x"}`, `{"Type":"auth"}`, `{"type":"Auth"}`, `{"type":["auth"]}`, `["auth"]`, `{"type":null}`} {
		if parsedFrame(t, text).IsAuth() {
			t.Errorf("%s: taken for an auth frame", text)
		}
	}
}

// TestFrameRequestLastMemberWins: the same inside the request, and between two
// requests.
func TestFrameRequestLastMemberWins(t *testing.T) {
	for _, text := range []string{
		`{"request":{"operation":"get","operation":"put"}}`,
		`{"request":{"operation":"get","operati\u006fn":"put"}}`,
		`{"request":{"operation":"get"},"request":{"operation":"put"}}`,
		`{"request":{"operation":"get"},"\u0072equest":{"operation":"put"}}`,
		`{"request":{"operation":"get","extra":{"operation":"x"}},"request":{"Operation":"get","operation":"put"}}`,
	} {
		var r Request
		r.ParseWithin(Config, parsedFrame(t, text))
		if op, ok := r.Operation(); !ok || string(op) != "put" {
			t.Errorf("%s: decided on %q", text, op)
		}
		if sent := message(t, &r); !strings.Contains(sent, `"operation":"put"`) {
			t.Errorf("%s: sent %s", text, sent)
		}
	}
}

func TestFrameIDs(t *testing.T) {
	huge := `"` + strings.Repeat("i", 1<<20) + `"`
	for _, id := range []string{
		`null`, `true`, `false`, `0`, `-0.0e0`, `1e308`, strings.Repeat("9", 4300), `""`, `"\u0000\ud83d"`, `[]`, `[1, {"id": 2}]`,
		`{}`, `{"id": {"a": "}"}}`, huge,
	} {
		f := parsedFrame(t, `{"request":{},"id": `+id+` ,"service":"config"}`)
		if string(f.ID().Raw) != id {
			t.Errorf("id %.40s came back as %.40s", id, f.ID().Raw)
		}
	}
	if parsedFrame(t, `{"request":{"id":1}}`).ID().Present() {
		t.Error("an inner id was taken for the frame's")
	}
}

func TestFrameThatIsNoObject(t *testing.T) {
	for _, text := range []string{`null`, `true`, `7`, `"auth"`, `[]`, `[{"type":"auth"}]`} {
		if f := parsedFrame(t, text); f.IsObject() || f.IsAuth() || f.ID().Present() {
			t.Errorf("%s: taken for an object", text)
		}
	}
}

// TestFrameErrors: bad text anywhere refuses the frame, and nothing of the last
// one is left.
func TestFrameErrors(t *testing.T) {
	f := parsedFrame(t, `{"id":1,"type":"auth"}`)
	for _, text := range append([]string{
		`{"id":1,"request":{"a":NaN}}`, `{"id":1}{}`, `{"id":1,}`, "{\"id\":\"\xff\"}", `{"id":` + strings.Repeat("9", 4301) + `}`,
		`{"id":1,"request":` + strings.Repeat("[", 257) + strings.Repeat("]", 257) + `}`,
		`{"id":1,"request":{"a":1e999}}`,
	}, ``, `{`, `{"id"`, `{"id":`, `nul`) {
		err := f.Parse([]byte(text))
		var syntax *SyntaxError
		if !errors.As(err, &syntax) {
			t.Errorf("%.60s: %v", text, err)
		}
		if f.IsObject() || f.IsAuth() || f.ID().Present() {
			t.Errorf("%.60s: something of a frame is left", text)
		}
	}
}

// TestFrameNesting: a request may nest in a frame as deeply as on its own.
func TestFrameNesting(t *testing.T) {
	body := `{"a":` + strings.Repeat("[", 255) + strings.Repeat("]", 255) + `}`
	var r Request
	if err := r.Parse(Config, []byte(body)); err != nil {
		t.Fatal(err)
	}
	r.ParseWithin(Config, parsedFrame(t, `{"request":`+body+`}`))
	if !r.IsObject() {
		t.Error("no request")
	}
}

func TestParseWithinFrameWithoutRequest(t *testing.T) {
	for _, text := range []string{`{}`, `[]`, `{"request":null}`, `{"request":[{"operation":"put"}]}`, `{"request":"{}"}`} {
		var r Request
		_ = r.Parse(IAM, []byte(`{"operation":"get-user"}`))
		r.ParseWithin(Config, parsedFrame(t, text))
		if _, ok := r.Operation(); ok || r.IsObject() || r.Kind() != Config {
			t.Errorf("%s: taken for a request", text)
		}
		if _, err := r.AppendMessage(nil); err == nil {
			t.Errorf("%s: became a message", text)
		}
	}
}

// FuzzFrame: the frame is what the whole text says to anyone else, and its
// request what Parse makes of it.
func FuzzFrame(f *testing.F) {
	for i, text := range append([]string{
		`{"id":1,"service":"config","request":{"operation":"get"}}`, `{"type":"auth","token":"t"}`, `{"id":{},"id":[],"request":null}`,
		`{"request":{"operation":"get"},"r\u0065quest":{"operation":"put"}}`,
	}, hostile...) {
		f.Add(uint8(i%kindCount), []byte(text))
	}
	f.Fuzz(func(t *testing.T, kind uint8, text []byte) {
		k := Kind(kind % uint8(kindCount))
		var frame Frame
		err := frame.Parse(text)
		whole, wholeErr := ParseValue(text)
		if err != nil {
			if deep := "nested deeper than 256"; wholeErr == nil && !strings.HasSuffix(err.Error(), deep) {
				t.Fatalf("refused: %v", err)
			}
			return
		}
		if wholeErr != nil && !strings.HasSuffix(wholeErr.Error(), reasons[faultNesting]) {
			t.Fatalf("accepted, though %v", wholeErr)
		}
		if wholeErr != nil {
			return
		}
		if frame.IsObject() != whole.IsObject() {
			t.Fatal("object or not")
		}
		for name, v := range map[string]Value{
			"id": frame.ID(), "service": frame.Service(), "flow": frame.Flow(), "workspace": frame.Workspace(),
			"request": frame.Request(), "token": frame.Token(),
		} {
			if got := whole.Get(name); string(got.Raw) != string(v.Raw) || got.Present() != v.Present() {
				t.Fatalf("%s: %s here, %s there", name, v.Raw, got.Raw)
			}
		}
		if typ, _ := whole.Get("type").String(); frame.IsAuth() != (string(typ) == "auth") {
			t.Fatal("auth or not")
		}
		compareRequests(t, k, &frame)
	})
}

func compareRequests(t *testing.T, k Kind, frame *Frame) {
	t.Helper()
	if !frame.Request().Present() {
		return
	}
	var within, alone Request
	within.ParseWithin(k, frame)
	if err := alone.Parse(k, frame.Request().Raw); err != nil {
		t.Fatalf("the request alone: %v", err)
	}
	if within.IsObject() != alone.IsObject() || within.Kind() != alone.Kind() {
		t.Fatal("requests differ")
	}
	m1, err1 := within.AppendMessage(nil)
	m2, err2 := alone.AppendMessage(nil)
	if string(m1) != string(m2) || (err1 == nil) != (err2 == nil) {
		t.Fatalf("messages differ: %s (%v), %s (%v)", m1, err1, m2, err2)
	}
}

func frameSample() []byte {
	return []byte(`{"id":"req-1234","service":"text-completion","flow":"default","workspace":"default","request":{"system":"You help.","prompt":"` +
		strings.Repeat("Explain in three sentences how this works. ", 25) + `","streaming":true}}`)
}

// BenchmarkFrame parses an envelope and takes the request out of it.
func BenchmarkFrame(b *testing.B) {
	text := frameSample()
	var f Frame
	var r Request
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if err := f.Parse(text); err != nil {
			b.Fatal(err)
		}
		r.ParseWithin(TextCompletion, &f)
	}
}
