package codec

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"
)

// clobber overwrites a message after it was parsed: whatever still points into
// it changes too.
func clobber(msg []byte) {
	for i := range msg {
		msg[i] = '#'
	}
}

func TestParseFlowRecord(t *testing.T) {
	agent := Interface{Request: "request:tg:a:agent:f", Response: "response:tg:a:agent:f"}
	for name, tc := range map[string]struct {
		text    string
		want    FlowRecord
		wantErr string
	}{
		"full": {
			text: `{"description":"d","blueprint-name":"b","parameters":{"a":"1"},"interfaces":{"agent":{"request":"request:tg:a:agent:f","response":"response:tg:a:agent:f"},"text-load":{"flow":"flow:tg:a:t:f"}},"status":"stopping"}`,
			want: FlowRecord{Interfaces: map[string]Interface{"agent": agent, "text-load": {Flow: "flow:tg:a:t:f"}}, Status: "stopping"},
		},
		"other members of any type": {text: `{"description":7,"parameters":[1.5e9,{"x":null}],"status":3,"interfaces":{}}`},
		"no interfaces":             {text: ` {"description":"d"} `},
		"null interfaces":           {text: `{"interfaces":null,"status":null}`},
		"null topics":               {text: `{"interfaces":{"a":{"request":null,"flow":"f"}}}`, want: FlowRecord{Interfaces: map[string]Interface{"a": {Flow: "f"}}}},
		"unknown topic members":     {text: `{"interfaces":{"a":{"flow":"f","x":[{}]}}}`, want: FlowRecord{Interfaces: map[string]Interface{"a": {Flow: "f"}}}},
		"case matters":              {text: `{"Interfaces":{"a":{"flow":"f"}},"STATUS":"stopping"}`},
		"case matters inside":       {text: `{"interfaces":{"a":{"Flow":"f"}}}`, want: FlowRecord{Interfaces: map[string]Interface{"a": {}}}},
		"last duplicate wins":       {text: `{"interfaces":{"a":{"flow":"1"}},"interfaces":{"a":{"flow":"2","flow":"3"}}}`, want: FlowRecord{Interfaces: map[string]Interface{"a": {Flow: "3"}}}},
		"escapes":                   {text: `{"interfaces":{"\u00e9":{"flow":"\ud83d\udd11\n"}}}`, want: FlowRecord{Interfaces: map[string]Interface{"é": {Flow: "🔑\n"}}}},
		"interface not an object":   {text: `{"interfaces":{"agent":"topic"}}`, wantErr: `flow record: "interfaces.agent" must be an object`},
		"interface null":            {text: `{"interfaces":{"agent":null}}`, wantErr: `flow record: "interfaces.agent" must be an object`},
		"topic not a string":        {text: `{"interfaces":{"agent":{"request":5}}}`, wantErr: `flow record: "interfaces.agent.request" must be a string`},
		"interfaces not an object":  {text: `{"interfaces":["agent"]}`, wantErr: `flow record: "interfaces" must be an object`},
		"not an object":             {text: `["x"]`, wantErr: `flow record: expected a JSON object`},
		"null":                      {text: `null`, wantErr: `flow record: expected a JSON object`},
		"empty":                     {text: ``, wantErr: `flow record: expected a JSON object`},
		"trailing bytes":            {text: `{} {}`, wantErr: `flow record: `},
		"cut off":                   {text: `{"interfaces":{"a":{"flow":"f`, wantErr: `flow record: `},
		"raw control character":     {text: "{\"interfaces\":{\"a\":{\"flow\":\"x\ny\"}}}", wantErr: `flow record: `},
	} {
		t.Run(name, func(t *testing.T) {
			msg := []byte(tc.text)
			got, err := ParseFlowRecord(msg)
			clobber(msg)
			checkRecord(t, got, tc.want, err, tc.wantErr)
			again, err := ParseFlowRecord(tc.text)
			checkRecord(t, again, tc.want, err, tc.wantErr)
		})
	}
}

func checkRecord[T any](t *testing.T, got, want T, err error, wantErr string) {
	t.Helper()
	if wantErr != "" {
		if err == nil || !strings.HasPrefix(err.Error(), wantErr) || strings.ContainsAny(err.Error(), "\n\t") {
			t.Fatalf("error %v, want %q", err, wantErr)
		}
		return
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("got %#v, %v; want %#v", got, err, want)
	}
}

func TestParseConfigReply(t *testing.T) {
	for name, tc := range map[string]struct {
		text    string
		want    ConfigReply
		wantErr string
	}{
		"values": {
			text: `{"version": 42, "values": [{"type": "flow", "key": "research", "value": "{\"a\":1}", "workspace": "acme"},{"type":"flow","key":"n","value":null,"workspace":null},{}], "directory": [], "config": {}, "error": null}`,
			want: ConfigReply{Version: 42, Values: []ConfigValue{{"acme", "flow", "research", `{"a":1}`}, {"", "flow", "n", ""}, {}}},
		},
		"config": {
			text: `{"version":7,"values":null,"config":{"flow":{"r":"{}","n":null,"o":{"x":[1]}},"prompt":null}}`,
			want: ConfigReply{Version: 7, Config: map[string]map[string]string{"flow": {"r": "{}", "n": "", "o": `{"x":[1]}`}, "prompt": {}}},
		},
		"error": {
			text: `{"version":0,"values":[],"config":{},"error":{"type":"config-error","message":"m"}}`,
			want: ConfigReply{Error: &ServiceError{Type: "config-error", Message: "m"}},
		},
		"empty error":     {text: `{"error":{}}`, want: ConfigReply{Error: &ServiceError{}}},
		"null members":    {text: `{"version":null,"values":null,"config":null,"error":null}`},
		"wrong version":   {text: `{"version":"x"}`, wantErr: "config reply: "},
		"not JSON":        {text: `{"version":`, wantErr: "config reply: "},
		"not an object":   {text: `7`, wantErr: "config reply: expected a JSON object"},
		"values no list":  {text: `{"values":{}}`, wantErr: "config reply: "},
		"case-sensitive":  {text: `{"VERSION":5}`},
		"duplicate: last": {text: `{"version":5,"version":6}`, want: ConfigReply{Version: 6}},
	} {
		t.Run(name, func(t *testing.T) {
			msg := []byte(tc.text)
			got, err := ParseConfigReply(msg)
			clobber(msg)
			checkRecord(t, got, tc.want, err, tc.wantErr)
		})
	}
}

func TestParseConfigPush(t *testing.T) {
	for name, tc := range map[string]struct {
		text    string
		want    ConfigPush
		wantErr string
	}{
		"changes":      {text: `{"version":42,"changes":{"flow":["default","acme"],"prompt":["acme"]}}`, want: ConfigPush{42, map[string][]string{"flow": {"default", "acme"}, "prompt": {"acme"}}}},
		"anything":     {text: `{"version":3,"changes":{}}`, want: ConfigPush{3, map[string][]string{}}},
		"null changes": {text: `{"version":3,"changes":null}`, want: ConfigPush{Version: 3}},
		"wrong type":   {text: `{"version":3,"changes":{"flow":"acme"}}`, wantErr: "config push: "},
		"null":         {text: `null`, wantErr: "config push: expected a JSON object"},
	} {
		t.Run(name, func(t *testing.T) {
			msg := []byte(tc.text)
			got, err := ParseConfigPush(msg)
			clobber(msg)
			checkRecord(t, got, tc.want, err, tc.wantErr)
		})
	}
}

func TestAppendConfigQuery(t *testing.T) {
	for want, got := range map[string][]byte{
		`x{"operation":"getvalues-all-ws","workspace":"","keys":[],"type":"flow","values":[]}`:        AppendConfigQuery([]byte("x"), "getvalues-all-ws", "", "flow"),
		`{"operation":"config","workspace":"a\"\n<é","keys":[],"type":"","values":[]}`:                AppendConfigQuery(nil, "config", "a\"\n<é", ""),
		"{\"operation\":\"config\",\"workspace\":\"\uFFFD\",\"keys\":[],\"type\":\"\",\"values\":[]}": AppendConfigQuery(nil, "config", "\xff", ""),
	} {
		if string(got) != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestParseIAMRequest(t *testing.T) {
	for name, tc := range map[string]struct {
		text    string
		want    IAMRequest
		wantErr string
	}{
		"minimal":        {text: `{"operation":"bootstrap"}`, want: IAMRequest{Operation: "bootstrap"}},
		"null operation": {text: `{"operation":null}`, want: IAMRequest{OperationNull: true}},
		"strings": {
			text: `{"operation":"o","workspace":"w","actor":"a","user_id":"u","username":"n","key_id":"k","api_key":"ak","password":"p","new_password":"np","user":null,"workspace_record":null,"key":null}`,
			want: IAMRequest{Operation: "o", Workspace: "w", Actor: "a", UserID: "u", Username: "n", KeyID: "k", APIKey: "ak", Password: "p", NewPassword: "np"},
		},
		"user defaults":       {text: `{"user":{}}`, want: IAMRequest{User: &IAMUserInput{}}},
		"user flags null":     {text: `{"user":{"enabled":null,"must_change_password":null,"roles":null}}`, want: IAMRequest{User: &IAMUserInput{Enabled: Null, MustChangePassword: Null}}},
		"user full":           {text: `{"user":{"username":"u","name":"n","email":"e","password":"p\u00e4","roles":["b","a"],"enabled":false,"must_change_password":true,"id":{}}}`, want: IAMRequest{User: &IAMUserInput{Username: "u", Name: "n", Email: "e", Password: "pä", Roles: []string{"b", "a"}, Enabled: False, MustChangePassword: True}}},
		"workspace and key":   {text: `{"workspace_record":{"id":"w","name":null,"enabled":true},"key":{"user_id":"u","name":"n","expires":"e"}}`, want: IAMRequest{WorkspaceRecord: &IAMWorkspaceInput{ID: "w", Enabled: True}, Key: &IAMKeyInput{"u", "n", "e"}}},
		"case matters":        {text: `{"OPERATION":"x","User":{}}`},
		"duplicates: last":    {text: `{"operation":"x","operation":"y","user":{"name":"1"},"user":{"email":"2"}}`, want: IAMRequest{Operation: "y", User: &IAMUserInput{Email: "2"}}},
		"white space":         {text: " {\n\"user\" : {\t\"enabled\" : null , \"roles\" : [ \"a\" , \"b\" ] } , \"operation\" : \"\" , \"key\" : null }\r\n", want: IAMRequest{User: &IAMUserInput{Enabled: Null, Roles: []string{"a", "b"}}}},
		"operation number":    {text: `{"operation":5}`, wantErr: `"operation" must be a string`},
		"user string":         {text: `{"user":"x"}`, wantErr: `"user" must be an object or null`},
		"roles string":        {text: `{"user":{"roles":"abc"}}`, wantErr: `"user.roles" must be a list of strings`},
		"roles mixed":         {text: `{"user":{"roles":["a",null]}}`, wantErr: `"user.roles" must be a list of strings`},
		"flag number":         {text: `{"user":{"enabled":1}}`, wantErr: `"user.enabled" must be a boolean`},
		"expires number":      {text: `{"key":{"expires":5}}`, wantErr: `"key.expires" must be a string`},
		"invalid UTF-8":       {text: "{\"username\":\"\xff\"}", wantErr: `IAM request: invalid UTF-8`},
		"half a surrogate":    {text: `{"password":"\ud800"}`, wantErr: `"password" must be a string`},
		"not JSON":            {text: `{"operation"`, wantErr: `IAM request: `},
		"null":                {text: `null`, wantErr: `IAM request: expected a JSON object`},
		"list":                {text: `[{}]`, wantErr: `IAM request: expected a JSON object`},
		"garbage in an extra": {text: `{"operation":"x","zzz":[1,]}`, wantErr: `IAM request: `},
	} {
		t.Run(name, func(t *testing.T) {
			msg := []byte(tc.text)
			got, err := ParseIAMRequest(msg)
			clobber(msg)
			checkRecord(t, got, tc.want, err, tc.wantErr)
			var re *RecordError
			if strings.HasPrefix(tc.wantErr, `"`) != errors.As(err, &re) {
				t.Fatalf("error type of %v", err)
			}
		})
	}
}

// TestIAMRequestVectors sends every translated request of the golden vectors
// that is well-typed through our parser and back.
func TestIAMRequestVectors(t *testing.T) {
	f, err := os.Open("testdata/iam.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	checked := 0
	for lines.Scan() {
		var v struct {
			Name, Kind, Dir string
			Out             json.RawMessage
		}
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			t.Fatal(err)
		}
		if v.Dir != "request" || v.Out == nil {
			continue
		}
		r, err := ParseIAMRequest(v.Out)
		var re *RecordError
		if errors.As(err, &re) {
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", v.Name, err)
			continue
		}
		again, err := MarshalIAMRequest(&r)
		if err != nil {
			t.Errorf("%s: %v", v.Name, err)
			continue
		}
		got, want := generic(t, again), generic(t, v.Out)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %s\nwant %s", v.Name, again, v.Out)
		}
		checked++
	}
	if err := lines.Err(); err != nil || checked < 50 {
		t.Fatalf("%d vectors, %v", checked, err)
	}
}

// generic is msg for comparison, with null strings as "": the contract gives
// them the same meaning and IAMRequest does not tell them apart.
func generic(t *testing.T, msg []byte) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(msg, &v); err != nil {
		t.Fatal(err)
	}
	var walk func(key string, v any) any
	walk = func(key string, v any) any {
		switch v := v.(type) {
		case map[string]any:
			for k, m := range v {
				v[k] = walk(k, m)
			}
		case nil:
			switch key {
			case "operation", "user", "workspace_record", "key", "enabled", "must_change_password":
				return nil
			}
			return ""
		}
		return v
	}
	return walk("", v)
}

func TestMarshalIAMReplyEmpty(t *testing.T) {
	const want = `{"user":null,"users":[],"workspace":null,"workspaces":[],"api_key_plaintext":"","api_key":null,"api_keys":[],"jwt":"","jwt_expires":"","signing_key_public":"","resolved_user_id":"","resolved_workspace":"","resolved_roles":[],"temporary_password":"","bootstrap_admin_user_id":"","bootstrap_admin_api_key":"","error":null}`
	got, err := MarshalIAMReply(&IAMReply{})
	if err != nil || string(got) != want {
		t.Fatalf("got  %s, %v\nwant %s", got, err, want)
	}
}

func TestIAMReplyRoundTrip(t *testing.T) {
	want := IAMReply{
		User:            &IAMUser{ID: "1", Workspace: "w", Username: "<&>\u2028", Name: "é", Roles: []string{"a"}, Enabled: true, Created: "c"},
		Users:           []IAMUser{{ID: "2", Roles: []string{}}},
		Workspace:       &IAMWorkspace{ID: "w", Enabled: true},
		Workspaces:      []IAMWorkspace{{ID: "v"}},
		APIKeyPlaintext: "tg_x", APIKey: &IAMAPIKey{ID: "k"}, APIKeys: []IAMAPIKey{{ID: "l"}},
		JWT: "j", JWTExpires: "e", SigningKeyPublic: "pem\n", ResolvedUserID: "u", ResolvedWorkspace: "w", ResolvedRoles: []string{"a", "b"},
		TemporaryPassword: "t", BootstrapAdminUserID: "b", BootstrapAdminAPIKey: "k", Error: &ServiceError{Type: "t", Message: "m"},
	}
	msg, err := MarshalIAMReply(&want)
	if err != nil {
		t.Fatal(err)
	}
	if !json.Valid(msg) {
		t.Fatalf("not JSON: %s", msg)
	}
	got, err := ParseIAMReply(msg)
	clobber(msg)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("got %#v, %v; want %#v", got, err, want)
	}
}

func TestParseIAMReplyLeniency(t *testing.T) {
	for text, want := range map[string]IAMReply{
		`{"user":null,"users":null,"jwt":null,"resolved_roles":null,"error":null,"new":1}`: {},
		`{"error":{}}`: {Error: &ServiceError{}},
		`{"user":{"enabled":null,"roles":null,"name":null}}`: {User: &IAMUser{}},
	} {
		got, err := ParseIAMReply([]byte(text))
		checkRecord(t, got, want, err, "")
	}
	for _, text := range []string{`null`, `[]`, `{"jwt":5}`, `{`, ``} {
		if _, err := ParseIAMReply([]byte(text)); err == nil {
			t.Errorf("%s accepted", text)
		}
	}
}

func TestRecordErrorsHideValues(t *testing.T) {
	_, err := ParseIAMReply([]byte(`{"jwt":{"secret-value":1},"error":"secret-value"}`))
	if err == nil || strings.Contains(err.Error(), "secret-value") {
		t.Fatalf("error %v", err)
	}
	_, err = ParseIAMRequest([]byte(`{"password":"secret-value","x":secret-value}`))
	if err == nil || strings.Contains(err.Error(), "secret-value") {
		t.Fatalf("error %v", err)
	}
}

func FuzzRecords(f *testing.F) {
	for _, seed := range []string{
		`{"interfaces":{"a":{"request":"r","response":"s"}},"status":"stopping","description":5}`,
		`{"version":42,"values":[{"type":"flow","key":"k","value":"v","workspace":"w"}],"config":{"a":{"b":"c"}},"error":{"type":"t","message":"m"}}`,
		`{"version":1,"changes":{"flow":["a"]}}`,
		`{"operation":"create-user","user":{"username":"u","roles":["a"],"enabled":null},"workspace_record":{},"key":{"expires":"x"}}`,
		`{"user":{"roles":[]},"users":[{}],"error":{}}`,
		`null`, `[1,]`, `{"a":"\ud800"}`, "{\"a\":\"\x00\"}", `{"operation":"\ud83d\udd11"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		in := append([]byte(nil), msg...)
		_, _ = ParseFlowRecord(in)
		_, _ = ParseConfigReply(in)
		_, _ = ParseConfigPush(in)
		reply, replyErr := ParseIAMReply(in)
		request, err := ParseIAMRequest(in)
		clobber(in)
		if replyErr == nil {
			if _, err := MarshalIAMReply(&reply); err != nil {
				t.Fatalf("reply cannot be written again: %v", err)
			}
		}
		if err != nil {
			return
		}
		out, err := MarshalIAMRequest(&request)
		if err != nil || !json.Valid(out) {
			t.Fatalf("request written as %q, %v", out, err)
		}
		again, err := ParseIAMRequest(out)
		if err != nil {
			t.Fatalf("own request refused: %v\n%s", err, out)
		}
		out2, _ := MarshalIAMRequest(&again)
		if string(out) != string(out2) {
			t.Fatalf("unstable:\n%s\n%s", out, out2)
		}
	})
}
