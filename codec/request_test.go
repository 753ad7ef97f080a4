package codec

import (
	"errors"
	"strings"
	"testing"
)

func message(t *testing.T, r *Request) string {
	t.Helper()
	out, err := r.AppendMessage(nil)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// TestOneParse: what a decision is made on is what the service gets, however often
// and however strangely the body spells a member.
func TestOneParse(t *testing.T) {
	for _, body := range []string{
		`{"operation":"get","operation":"put"}`,
		`{"operation":"get","operati\u006fn":"put"}`,
		`{"operati\u006fn":"get","operation":"put"}`,
		`{"operation":"get","\u006f\u0070\u0065ration":"p\u0075t"}`,
		`{"Operation":"get","operation":"put","OPERATION":"get","operation ":"get"}`,
	} {
		var r Request
		if err := r.Parse(Config, []byte(body)); err != nil {
			t.Fatal(err)
		}
		op, ok := r.Operation()
		if !ok || string(op) != "put" {
			t.Errorf("%s: decided on %q", body, op)
		}
		out, err := ParseValue([]byte(message(t, &r)))
		if err != nil {
			t.Fatal(err)
		}
		if sent, _ := out.Get("operation").String(); string(sent) != "put" {
			t.Errorf("%s: sent %q", body, sent)
		}
	}
}

func TestOperationThatIsNoText(t *testing.T) {
	for _, body := range []string{`{}`, `{"operation":null}`, `{"operation":["get"]}`, `{"operation":1}`, `"operation"`, `[]`} {
		var r Request
		if err := r.Parse(Config, []byte(body)); err != nil {
			t.Fatal(err)
		}
		if op, ok := r.Operation(); ok {
			t.Errorf("%s: operation %q", body, op)
		}
	}
}

func TestFrontDoorMembers(t *testing.T) {
	body := `{"workspace":"w","actor":"a","user_id":"u","key_id":"k","key":{"user_id":"o"},"user":{"roles":[]},
		"workspace_record":{"id":"r"},"streaming":true,"operation":"op","else":1}`
	for _, k := range Kinds() {
		var r Request
		if err := r.Parse(k, []byte(body)); err != nil {
			t.Fatal(err)
		}
		for _, name := range frontDoor {
			if !r.Member(name).Present() {
				t.Errorf("%v: no member %s", k, name)
			}
		}
		if r.Member("else").Present() || r.Member("").Present() {
			t.Errorf("%v: a member that nobody knows", k)
		}
		if owner, _ := r.Member("key").Get("user_id").String(); string(owner) != "o" {
			t.Errorf("%v: key owner %q", k, owner)
		}
	}
}

// TestOverrides: the setters win over the body, and flow kinds never carry what is
// only there for decisions.
func TestOverrides(t *testing.T) {
	var r Request
	body := []byte(`{"operation":"create-user","workspace":"evil","actor":"evil","user_id":"evil","workspace":"worse"}`)
	if err := r.Parse(IAM, body); err != nil {
		t.Fatal(err)
	}
	r.SetWorkspaceText("good \"w\"\n")
	r.SetActor("the actor")
	r.SetUserID("the user")
	out := message(t, &r)
	if strings.Contains(out, "evil") || strings.Contains(out, "worse") {
		t.Errorf("an override was lost: %s", out)
	}
	for _, want := range []string{`"workspace":"good \"w\"\n"`, `"actor":"the actor"`, `"user_id":"the user"`} {
		if !strings.Contains(out, want) {
			t.Errorf("no %s in %s", want, out)
		}
	}
	if ws, _ := r.Member("workspace").String(); string(ws) != "good \"w\"\n" {
		t.Errorf("workspace reads as %q", ws)
	}
	r.SetWorkspaceRaw([]byte(`"raw"`))
	if out := message(t, &r); !strings.Contains(out, `"workspace":"raw"`) {
		t.Errorf("no raw workspace in %s", out)
	}

	if err := r.Parse(TextCompletion, []byte(`{"system":"s","prompt":"p","workspace":"w","streaming":true}`)); err != nil {
		t.Fatal(err)
	}
	r.SetWorkspaceText("x")
	r.SetActor("x")
	r.DisableStreaming()
	if out := message(t, &r); out != `{"system":"s","prompt":"p","streaming":false}` {
		t.Errorf("text-completion: %s", out)
	}
}

// TestNullWhereAbsent: D12. Only the forwarded flags change, whatever the object
// looks like.
func TestNullWhereAbsent(t *testing.T) {
	for _, row := range []struct{ user, want string }{
		{`{}`, `"enabled":null,"must_change_password":null`},
		{` { } `, `"enabled":null,"must_change_password":null`},
		{`{"name":"Al"}`, `"enabled":null,"must_change_password":null`},
		{`{"name":"Al" }`, `"enabled":null,"must_change_password":null`},
		{`{"enabled":false}`, `"enabled":false,"must_change_password":null`},
		{`{"enabled":null,"must_change_password":true}`, `"enabled":null,"must_change_password":true`},
		{`{"e\u006eabled":false}`, `"enabled":false,"must_change_password":null`},
		{`{"x":{"enabled":false},"name":"\"}"}`, `"enabled":null,"must_change_password":null`},
		{`null`, `"user":null`},
	} {
		var r Request
		if err := r.Parse(IAM, []byte(`{"operation":"update-user","user":`+row.user+`,"workspace":"w"}`)); err != nil {
			t.Fatal(err)
		}
		r.NullWhereAbsent("user", "enabled", "must_change_password")
		r.NullWhereAbsent("workspace_record", "enabled")
		r.SetActor("a")
		if out := message(t, &r); !strings.Contains(out, row.want) || !strings.Contains(out, `"workspace_record":null`) {
			t.Errorf("%s: %s", row.user, out)
		}
	}
}

func TestDisableStreaming(t *testing.T) {
	for _, k := range Kinds() {
		var r Request
		if err := r.Parse(k, []byte(`{"streaming":"yes"}`)); err != nil {
			t.Fatal(err)
		}
		r.DisableStreaming()
		if got := r.Member("streaming").Truthy(); got == k.CanStream() {
			t.Errorf("%v: streaming %v", k, got)
		}
		if err := r.Parse(k, []byte(`{"streaming":0}`)); err != nil {
			t.Fatal(err)
		}
		r.EnableStreaming()
		if got := string(r.Member("streaming").Raw) == "true"; got != k.CanStream() {
			t.Errorf("%v: streaming %v", k, got)
		}
	}
}

func TestRequestThatIsNoObject(t *testing.T) {
	for _, body := range []string{`null`, `[]`, `"text"`, `0`, `[{"system":"s"}]`} {
		var r Request
		if err := r.Parse(TextCompletion, []byte(body)); err != nil {
			t.Fatal(err)
		}
		r.SetWorkspaceText("w")
		dst := []byte("kept")
		out, err := r.AppendMessage(dst)
		var problem *Error
		if r.IsObject() || !errors.As(err, &problem) || string(out) != "kept" {
			t.Errorf("%s: %q, %v", body, out, err)
		}
	}
}

// TestRequestIsReusable: nothing of an earlier body shows in a later one, not even
// after a failure.
func TestRequestIsReusable(t *testing.T) {
	var r Request
	if err := r.Parse(Config, []byte(`{"operation":"get","keys":[],"type":"t"}`)); err != nil {
		t.Fatal(err)
	}
	r.SetWorkspaceText("first")
	err := r.Parse(Config, []byte(`{"operation":"put",`))
	var syntax *SyntaxError
	if !errors.As(err, &syntax) || syntax.Offset != 19 {
		t.Errorf("error %v", err)
	}
	if r.Kind() != 0 || r.IsObject() || r.Member("operation").Present() {
		t.Error("a failed parse left members behind")
	}
	if err := r.Parse(Config, []byte(`{}`)); err != nil {
		t.Fatal(err)
	}
	want := `{"keys":null,"values":null,"operation":null,"workspace":"","type":null}`
	if out := message(t, &r); out != want {
		t.Errorf("%s, want %s", out, want)
	}
}

func TestZeroRequest(t *testing.T) {
	var r Request
	if _, err := r.AppendMessage(nil); err == nil {
		t.Error("the zero Request gave a message")
	}
	if _, ok := r.Operation(); ok || r.Member("workspace").Present() || r.IsObject() {
		t.Error("the zero Request has members")
	}
}

func TestAnswerThatIsNotJSON(t *testing.T) {
	_, part, err := AppendResponse(nil, Rows, []byte(`{"data":}`))
	var problem *Error
	var syntax *SyntaxError
	if !part.Final || !errors.As(err, &problem) || !problem.Response || !errors.As(err, &syntax) || syntax.Offset != 8 {
		t.Errorf("%+v, %v", part, err)
	}
	if _, err = AppendRequest(nil, Agent, []byte(`{}`)); !errors.As(err, &problem) || problem.Response || errors.Unwrap(err) != nil {
		t.Errorf("%v", err)
	}
}

// TestErrorTexts: ours name the member and its path, and show no values.
func TestErrorTexts(t *testing.T) {
	for _, c := range []struct {
		dir  string
		kind Kind
		in   string
		want string
	}{
		{"request", GraphRAG, `{}`, `missing required member "query"`},
		{"request", GraphEmbeddings, `{"vector":[],"limit":"secret"}`, `"limit" must be an integer`},
		{"request", Config, `{"keys":[{"type":"t","key":"k"},{"key":"secret"}]}`, `missing required member "keys[1].type"`},
		{"request", Config, `{"keys":["secret"]}`, `"keys[0]" must be an object`},
		{"request", Config, `{"values":null}`, `"values" must be a list`},
		{"request", Triples, `{"o":null}`, `"o" must be an object`},
		{"request", Triples, `{"s":{"t":"t","tr":{"p":{"t":"t","tr":{"o":7}}}}}`, `"s.tr.p.tr.o" must be an object`},
		{"request", Prompt, `{"variables":[]}`, `"variables" must be an object`},
		{"request", IAM, `{"user":{"roles":"secret"}}`, `"user.roles" must be a list`},
		{"request", Librarian, `{"content":"a"}`, `"content" must be base64`},
		{"request", Knowledge, `{"triples":{"metadata":{"id":"x"}}}`, `missing required member "triples.metadata.collection"`},
		{"request", Agent, `[]`, `the body must be a JSON object`},
		{"request", Agent, `{"question":}`, `invalid JSON at byte 12: expected a value`},
		{"request", EntityContexts, `{}`, `this kind takes no requests`},
		{"send", TextLoad, `{"text":"Zm9v","charset":"secret"}`, `"charset" names no character set that is known here`},
		{"send", TextLoad, `{"text":"\ud83d"}`, `"text" must be text without unpaired surrogates`},
		{"send", DocumentLoad, `{}`, `missing required member "data"`},
		{"send", DocumentLoad, `{"data":"é"}`, `"data" must be base64 in ASCII`},
		{"response", Triples, `{"triples":[{"s":{}},null]}`, `malformed answer of the service: "triples[1]" must be an object`},
		{"response", MCPTool, `{"object":"{"}`, `malformed answer of the service: "object" must hold JSON text`},
		{"response", Rows, `{"error":"secret"}`, `malformed answer of the service: "error" must be an object`},
		{"response", Rows, `null`, `malformed answer of the service: the message must be an object`},
		{"response", Rows, `{]`, `malformed answer of the service: invalid JSON at byte 1: expected a member name in double quotes`},
		{"response", TextLoad, `{}`, `this kind gives no answers`},
		{"import", Sparql, `{}`, `this kind cannot be imported`},
		{"import", Triples, `{"metadata":{"id":"i","collection":"c"},"triples":[{"s":{"t":"i"}},{"s":[1]}]}`,
			`"triples[1].s" must be an object`},
		{"import", Rows, `7`, `the frame must be a JSON object`},
		{"export", Rows, `{}`, `this kind cannot be exported`},
		{"export", GraphEmbeddings, `{"metadata":null}`, `"metadata" must be an object`},
	} {
		out, _, err := translate(c.dir, c.kind, []byte(c.in))
		if err == nil || err.Error() != c.want {
			t.Errorf("%s %v %s: error %v, want %s", c.dir, c.kind, c.in, err, c.want)
		}
		if len(out) != 0 {
			t.Errorf("%s %v %s: output %q beside an error", c.dir, c.kind, c.in, out)
		}
	}
}
