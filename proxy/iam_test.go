package proxy

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/codec"
	"sluice/proxy/auth"
)

const iamPath = "/api/v1/iam"

// flagRows are updates and what IAM must be told of their flags (D12).
var flagRows = []struct{ body, want string }{
	{`{"operation":"update-user","workspace":"acme","user_id":"u","user":{"name":"Al"}}`, `"enabled":null,"must_change_password":null`},
	{`{"operation":"update-user","user_id":"u","user":{"enabled":false}}`, `"enabled":false,"must_change_password":null`},
	{`{"operation":"update-user","user_id":"u","user":{"enabled":true,"must_change_password":true}}`, `"enabled":true,"must_change_password":true`},
	{`{"operation":"update\u002duser","user_id":"u","user":{}}`, `"enabled":null,"must_change_password":null`},
	{`{"operation":"update-workspace","workspace_record":{"id":"acme","name":"A"}}`, `"enabled":null`},
	{`{"operation":"update-workspace","workspace_record":{"id":"acme","enabled":true}}`, `"enabled":true`},
	// The defaults of the contract elsewhere.
	{`{"operation":"create-user","workspace":"acme","user":{"username":"al","password":"p"}}`, `"enabled":true,"must_change_password":false`},
	{`{"operation":"create-workspace","workspace_record":{"id":"acme"}}`, `"enabled":true`},
}

func TestUpdatesLeaveAbsentFlagsAlone(t *testing.T) {
	r := newRig(t, Config{})
	for _, row := range flagRows {
		if got := r.do("POST", iamPath, "admin", row.body); got.status != 200 {
			t.Errorf("%s: %d %s", row.body, got.status, got.body)
		} else if _, msg := r.bus.last(t); !strings.Contains(msg, row.want) {
			t.Errorf("%s: %s", row.body, msg)
		}
	}
}

func TestUpdatesLeaveAbsentFlagsAloneOnSockets(t *testing.T) {
	r := newSocketRig(t, Config{})
	bodies := make(chan string, 1)
	r.serve("request:tg:iam", "response:tg:iam", func(body string, reply func(string)) {
		bodies <- body
		reply(`{"error":null}`)
	})
	c := r.dial("?token=admin")
	for _, row := range flagRows {
		c.say(`{"id":1,"service":"iam","request":` + row.body + `}`)
		c.hear()
		if body := <-bodies; !strings.Contains(body, row.want) {
			t.Errorf("%s: %s", row.body, body)
		}
	}
}

// TestWhoami: whom IAM does not know learns who they are without it, whatever
// workspace is named.
func TestWhoami(t *testing.T) {
	want := func(id, workspace, roles, source string) string {
		return `{"user":{"id":"` + id + `","workspace":"` + workspace + `","default_workspace":"` + workspace +
			`","username":"","name":"","roles":[` + roles + `],"enabled":true,"must_change_password":false,"source":"` + source + `"}}`
	}
	r := newRig(t, Config{})
	for token, answer := range map[string]string{
		"admin":  want("u-admin", "default", `"admin"`, "jwt"),
		"reader": want("u-reader", "acme", `"reader"`, "jwt"),
		"nobody": want("u-nobody", "acme", `"unheard-of"`, "jwt"),
	} {
		for _, body := range []string{`{"operation":"whoami"}`, `{"operation":"whoami","workspace":"elsewhere","actor":"x"}`} {
			got := r.do("POST", iamPath, token, body)
			if got.status != 200 || got.body != answer || !json.Valid([]byte(got.body)) {
				t.Errorf("%s: %d %s", token, got.status, got.body)
			}
		}
	}
	if got := r.do("POST", iamPath, "wrong", `{"operation":"whoami"}`); got.status != 401 {
		t.Errorf("a stranger: %d", got.status)
	}
	if r.bus.count() != 0 {
		t.Error("a service was asked")
	}
	s := newSocketRig(t, Config{})
	key := auth.NewIdentity(`"k"`, "acme", []string{"reader", "writer"})
	key.Source = auth.APIKey
	s.tokens.set("key", key, nil)
	c := s.dial("")
	c.say(`{"id":"a","service":"iam","request":{"operation":"whoami"}}`)
	c.expect(`{"id":"a",` + authRequired)
	c.say(`{"type":"auth","token":"key"}`, `{"id":"a","service":"iam","workspace":"elsewhere","request":{"operation":"whoami"}}`)
	c.expect(`{"type":"auth-ok","workspace":"acme"}`,
		`{"id":"a","response":`+want(`\"k\"`, "acme", `"reader","writer"`, "api-key")+`,"complete":true}`)
}

var loopbacks = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

func httpClient(t *testing.T) *http.Client {
	t.Helper()
	transport := &http.Transport{DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience}
}

// obliged is a session whose user must change the password.
func obliged() *auth.Identity {
	id := auth.NewIdentity("u-new", "acme", []string{"admin"})
	id.MustChangePassword = true
	id.Expires = time.Now().Add(time.Minute)
	return id
}

// TestEnforcedPasswordChange: D14, on every surface, until it is done.
func TestEnforcedPasswordChange(t *testing.T) {
	r := newSocketRig(t, Config{})
	r.server.authoriser = auth.ChangeFirst{Next: auth.NewRoleTable(nil)}
	r.completions("acme", nil)
	r.serve("request:tg:iam", "response:tg:iam", func(_ string, reply func(string)) { reply(`{"error":null}`) })
	free := *obliged()
	free.MustChangePassword = false
	r.tokens.set("new", obliged(), nil)
	r.tokens.changed = &free
	web := &rig{t: t, addr: r.addr, client: httpClient(t)}
	change := `{"operation":"change-password","user_id":"u-new","password":"a","new_password":"b"}`
	whoami := `{"operation":"whoami"}`

	for _, row := range []struct {
		path, body string
		status     int
	}{
		{completionPath, completion, 403},
		{"/api/v1/config", `{"operation":"config"}`, 403},
		{iamPath, `{"operation":"list-users"}`, 403},
		{iamPath, strings.Replace(change, "u-new", "u-other", 1), 403},
		{iamPath, whoami, 200},
	} {
		if got := web.do("POST", row.path, "new", row.body); got.status != row.status {
			t.Errorf("%s %s: %d", row.path, row.body, got.status)
		}
	}
	if got := web.do("GET", "/api/v1/export-core?id=x", "new", ""); got.status != 403 {
		t.Errorf("core: %d", got.status)
	}
	if got := web.do("GET", exportTriples, "new", ""); got.status != 403 {
		t.Errorf("export: %d", got.status)
	}
	c := r.dial("?token=new")
	c.say(askFrame("1", "x"))
	c.expect(`{"id":1,` + accessDenied)
	c.say(`{"id":2,"service":"iam","request":` + change + `}`)
	c.expect(`{"id":2,"response":{},"complete":true}`)
	c.say(askFrame("3", "x")) // the change is felt at once
	c.expect(answerFrame("3", "x", true))

	r.tokens.set("new", obliged(), nil)
	if got := web.do("POST", changePath, "new", `{"current_password":"a","new_password":"b"}`); got.status != 200 {
		t.Errorf("change: %d %s", got.status, got.body)
	}
	if got := web.do("POST", completionPath, "new", completion); got.status != 200 {
		t.Errorf("after the change: %d", got.status)
	}
	r.tokens.set("new", obliged(), nil)
	if got := web.do("POST", iamPath, "new", change); got.status != 200 {
		t.Errorf("change by the service: %d %s", got.status, got.body)
	}
	if got := web.do("POST", completionPath, "new", completion); got.status != 200 {
		t.Errorf("after the change by the service: %d", got.status)
	}
}

// lines is a log that a test reads.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) all() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// TestGatewayAudit: who tried what, from where, with which outcome, and no secret.
func TestGatewayAudit(t *testing.T) {
	var log lines
	r := newRig(t, Config{Logger: slog.New(slog.NewTextHandler(&log, nil)), TrustedProxies: loopbacks})
	r.bus.ask = func(req codec.IAMRequest) (codec.IAMReply, error) {
		if req.Password == "hunter2" {
			return codec.IAMReply{JWT: "secret.jwt.x"}, nil
		}
		return codec.IAMReply{Error: &codec.ServiceError{Type: "auth-failed", Message: "reason"}}, nil
	}
	from := []string{forwardedFor, "203.0.113.9"}
	r.do("POST", loginPath, "", `{"username":"al","password":"hunter2","workspace":"acme"}`, from...)
	r.do("POST", loginPath, "", `{"username":"`+strings.Repeat("x", 1000)+`\n","password":"wrong-pass"}`, from...)
	r.do("POST", bootstrapPath, "", ``, from...)
	r.do("POST", changePath, "reader", `{"current_password":"wrong-pass","new_password":"new-pass"}`, from...)
	r.do("POST", iamPath, "reader", `{"operation":"create-user","user":{"username":"eve","password":"new-pass"}}`, from...)
	r.do("POST", iamPath, "writer", `{"operation":"change-password","user_id":"u-writer","password":"hunter3","new_password":"new-pass"}`, from...)
	got := log.all()
	for _, want := range []string{
		`msg="gateway audit" operation=login actor=al workspace=acme outcome=ok client=203.0.113.9`,
		`... workspace="" outcome=refused client=203.0.113.9`,
		`operation=bootstrap actor="" workspace="" outcome=refused client=203.0.113.9`,
		`operation=change-password actor=u-reader workspace=acme outcome=refused client=203.0.113.9`,
		`operation=create-user actor=u-reader workspace=acme outcome=denied client=203.0.113.9`,
		`operation=change-password actor=u-writer workspace=acme outcome=ok client=203.0.113.9`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in\n%s", want, got)
		}
	}
	for _, secret := range []string{"hunter", "wrong-pass", "new-pass", "secret.jwt"} {
		if strings.Contains(got, secret) {
			t.Errorf("%s was logged:\n%s", secret, got)
		}
	}
	if n := strings.Count(got, "gateway audit"); n != 6 {
		t.Errorf("%d lines", n)
	}
}

// TestDenialsDoNotFillTheLog: whoever is denied in a loop is written down a few
// times.
func TestDenialsDoNotFillTheLog(t *testing.T) {
	var log lines
	r := newRig(t, Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	now := time.Now()
	r.server.denials.now = func() time.Time { return now }
	for range 2 * deniedBurst {
		if got := r.do("POST", iamPath, "reader", `{"operation":"list-users"}`); got.status != 403 {
			t.Fatal(got.status)
		}
	}
	if n := strings.Count(log.all(), "gateway audit"); n != deniedBurst {
		t.Errorf("%d lines", n)
	}
}
