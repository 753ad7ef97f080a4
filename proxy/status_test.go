package proxy

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"sluice/codec"
	"sluice/proxy/dispatch"
)

const (
	loadPath  = "/api/v1/flow/f/service/text-load"
	loadBody  = `{"text":"dGV4dA=="}`
	gateway   = `{"error": {"type": "gateway-error", "message": "%s"}}`
	plainHTML = "text/plain; charset=utf-8"
)

// TestStatuses is the table, both columns, as clients see it.
func TestStatuses(t *testing.T) {
	type row struct {
		name            string
		path, body      string
		err             error
		reply           string // of a service that failed, when err is nil
		usual, strict   int
		want            string
		retry, textType bool
	}
	wrapped := func(err error) error { return fmt.Errorf("detail for the log: %w", err) }
	long := strings.Repeat("x", 1000)
	rows := []row{
		{name: "success", path: completionPath, body: completion, usual: 200, strict: 200, want: `{"ok":true}`},
		{name: "not JSON", path: completionPath, body: `{nope`, usual: 200, strict: 400, want: `{"error": "invalid JSON at byte `},
		{name: "empty", path: "/api/v1/config", body: ``, usual: 200, strict: 400, want: `{"error": "invalid JSON at byte 0`},
		{name: "missing member", path: completionPath, body: `{"system":"s"}`, usual: 200, strict: 400, want: fmt.Sprintf(gateway, `missing required member \"prompt\"`)},
		{name: "no object", path: completionPath, body: `[1]`, usual: 200, strict: 400, want: `{"error": {"type": "gateway-error", "message": "`},
		{name: "unknown flow", path: completionPath, body: completion, err: &dispatch.UnknownFlowError{Workspace: "acme", Flow: "f"}, usual: 200, strict: 404, want: `{"error": "Invalid flow acme/f"}`},
		{name: "unknown interface", path: completionPath, body: completion, err: wrapped(dispatch.ErrUnsupportedKind), usual: 200, strict: 404, want: `{"error": "This kind not supported by flow"}`},
		{name: "service error", path: completionPath, body: completion, reply: `{"error": {"type": "llm-error", "message": "boom"}}`, usual: 200, strict: 502, want: `{"error": {"type": "llm-error", "message": "boom"}}`},
		{name: "time-out", path: completionPath, body: completion, err: wrapped(dispatch.ErrTimeout), usual: 200, strict: 504, want: fmt.Sprintf(gateway, "Timeout")},
		{name: "no service", path: completionPath, body: completion, err: dispatch.ErrNoService, usual: 200, strict: 503, want: fmt.Sprintf(gateway, "no service is listening")},
		{name: "flow stopped", path: completionPath, body: completion, err: dispatch.ErrFlowStopped, usual: 200, strict: 503, want: fmt.Sprintf(gateway, "Flow stopped")},
		{name: "lost", path: completionPath, body: completion, err: wrapped(dispatch.ErrLost), usual: 200, strict: 502, want: fmt.Sprintf(gateway, dispatch.ErrLost.Error())},
		{name: "broker away", path: completionPath, body: completion, err: wrapped(dispatch.ErrUnavailable), usual: 503, strict: 503, want: `{"error": "message bus unavailable"}`, retry: true},
		{name: "no slot", path: completionPath, body: completion, err: dispatch.ErrExhausted, usual: 503, strict: 503, want: `{"error": "too many calls in flight"}`, retry: true},
		{name: "message too large", path: completionPath, body: completion, err: wrapped(dispatch.ErrTooLarge), usual: 413, strict: 413, want: "message too large", textType: true},
		{name: "garbage from the service", path: completionPath, body: completion, err: &codec.SyntaxError{Reason: "expected a value"}, usual: 200, strict: 502, want: fmt.Sprintf(gateway, "invalid JSON at byte 0: expected a value")},
		{name: "odd answer of the service", path: completionPath, body: completion, err: &codec.Error{Member: "x", Reason: "must be a list", Response: true}, usual: 200, strict: 502, want: `{"error": {"type": "gateway-error", "message": "malformed answer`},
		{name: "surprise", path: completionPath, body: completion, err: fmt.Errorf("secret detail"), usual: 500, strict: 500, want: "500 Internal Server Error\n\nServer got itself in trouble", textType: true},
		{name: "body too large", path: completionPath, body: `{"prompt":"` + long + long + `"}`, usual: 413, strict: 413, want: "Maximum request body size 1500 exceeded, actual body size 2013", textType: true},

		{name: "sent", path: loadPath, body: loadBody, usual: 200, strict: 200, want: `{}`},
		{name: "not JSON to send", path: loadPath, body: `nope`, usual: 200, strict: 400, want: `{"error": "invalid JSON`},
		{name: "missing member to send", path: loadPath, body: `{}`, usual: 200, strict: 400, want: `{"error": "missing required member \"text\""}`},
		{name: "unknown flow to send to", path: loadPath, body: loadBody, err: &dispatch.UnknownFlowError{Workspace: "w", Flow: "f"}, usual: 200, strict: 404, want: `{"error": "Invalid flow w/f"}`},
		// 200 says that the broker has the message in a queue, in any mode.
		{name: "unconfirmed", path: loadPath, body: loadBody, err: wrapped(dispatch.ErrOutcomeUnknown), usual: 502, strict: 502, want: fmt.Sprintf(gateway, "outcome unknown")},
		{name: "nobody to send to", path: loadPath, body: loadBody, err: dispatch.ErrNoService, usual: 503, strict: 503, want: fmt.Sprintf(gateway, "no service is listening")},
		{name: "send timed out", path: loadPath, body: loadBody, err: dispatch.ErrTimeout, usual: 504, strict: 504, want: fmt.Sprintf(gateway, "Timeout")},
		{name: "broker away to send", path: loadPath, body: loadBody, err: dispatch.ErrUnavailable, usual: 503, strict: 503, want: `{"error": "message bus unavailable"}`, retry: true},
	}
	for _, strict := range []bool{false, true} {
		r := newRig(t, Config{Strict: strict, MaxBodyBytes: 1500})
		for _, row := range rows {
			r.bus.call = func(dispatch.Key, string, dispatch.Call) (string, codec.Part, error) {
				if row.reply != "" {
					return row.reply, codec.Part{Final: true, Failed: true}, nil
				}
				return `{"ok":true}`, codec.Part{Final: true}, row.err
			}
			r.bus.send = func(dispatch.Key, string) error { return row.err }
			got := r.do("POST", row.path, "admin", row.body)
			status := row.usual
			if strict {
				status = row.strict
			}
			wantType := "application/json; charset=utf-8"
			if row.textType {
				wantType = plainHTML
			}
			if got.status != status || !strings.HasPrefix(got.body, row.want) || got.header.Get("Content-Type") != wantType {
				t.Errorf("%s (strict %v): %d %s %q, expected %d %q", row.name, strict, got.status, got.header.Get("Content-Type"), got.body, status, row.want)
			}
			if (got.header.Get("Retry-After") != "") != row.retry {
				t.Errorf("%s: Retry-After %q", row.name, got.header.Get("Retry-After"))
			}
			if strings.Contains(got.body, "detail") {
				t.Errorf("%s: internals leak: %q", row.name, got.body)
			}
		}
	}
}

// TestCommonRules is section 2 of gateway.md: what has a status of its own.
func TestCommonRules(t *testing.T) {
	const denied, refused, kindless = `{"error": "access denied"}`, `{"error": "auth failure"}`, `{"error": "unknown kind"}`
	noUpgrade := errNoUpgrade.body
	for _, strict := range []bool{false, true} {
		r := newRig(t, Config{Strict: strict})
		for _, row := range []struct {
			method, path, token, body string
			status                    int
			want                      string
		}{
			{"GET", "/nowhere", "", "", 404, "404: Not Found"},
			{"POST", "/api/v1/auth/logout", "", "{}", 404, "404: Not Found"},
			{"GET", "/api/v1/socket", "admin", "", 400, noUpgrade},
			{"GET", "/api/v1/flow/f/import/triples", "admin", "", 400, noUpgrade},
			{"GET", "/api/v1/config", "admin", "", 405, "405: Method Not Allowed"},
			{"OPTIONS", "/api/v1/config", "", "", 405, "405: Method Not Allowed"},
			{"POST", "/api/v1/nonsense", "", "{}", 404, kindless},
			{"POST", "/api/v1/socket", "admin", "{}", 404, kindless},
			{"PUT", "/api/v1/import-core", "admin", "{}", 405, "405: Method Not Allowed"},
			{"POST", "/api/v1/export-core", "admin", "{}", 404, kindless},
			{"POST", "/api/v1/document-stream", "admin", "{}", 404, kindless},
			{"POST", "/api/v1/agent", "admin", "{}", 404, kindless},
			{"POST", "/api/v1/flow/f/service/nonsense", "", "{}", 404, kindless},
			{"POST", "/api/v1/flow/f/service/config", "admin", "{}", 404, kindless},
			{"POST", "/api/v1/flow/f/service/entity-contexts", "admin", "{}", 404, kindless},
			{"POST", "/api/v1/config", "", "{}", 401, refused},
			{"POST", "/api/v1/config", "wrong", "{}", 401, refused},
			{"POST", "/api/v1/config", "away", "{}", 503, `{"error": "identity service unavailable"}`},
			{"POST", "/api/v1/config", "nobody", "not read", 403, denied},
			{"POST", "/api/v1/config", "reader", `{"operation":"put"}`, 403, denied},
			{"POST", "/api/v1/config", "reader", `{"operation":"get","workspace":"other"}`, 403, denied},
			{"POST", "/api/v1/config", "reader", `{"operation":"get","workspace":5}`, 403, denied},
			{"POST", "/api/v1/config?workspace=other", "reader", `{"operation":"get"}`, 403, denied},
			{"POST", "/api/v1/config?workspace=other", "reader", `{"operation":"get","workspace":"acme"}`, 403, denied},
			{"POST", "/api/v1/config?workspace=acme", "reader", `{"operation":"get"}`, 200, `{"ok":true}`},
			{"POST", "/api/v1/config", "reader", `{"operation":"get"}`, 200, `{"ok":true}`},
			{"POST", loadPath, "reader", "not read", 403, denied},
			{"POST", completionPath, "nobody", "not read", 403, denied},
		} {
			got := r.do(row.method, row.path, row.token, row.body)
			if got.status != row.status || got.body != row.want {
				t.Errorf("%s %s as %q: %d %q, expected %d %q", row.method, row.path, row.token, got.status, got.body, row.status, row.want)
			}
			if got.header.Get("Server") != "" || got.header.Get("Www-Authenticate") != "" {
				t.Errorf("%s %s: headers %v", row.method, row.path, got.header)
			}
			if row.status == 405 && got.header.Get("Allow") != "POST" {
				t.Errorf("%s %s: Allow %q", row.method, row.path, got.header.Get("Allow"))
			}
		}
	}
}

func TestWorkspaceAndActor(t *testing.T) {
	r := newRig(t, Config{})
	for _, row := range []struct {
		path, token, body string
		key               string // workspace/flow
		has               string // in the message
	}{
		{completionPath, "reader", completion, "acme/f", `"prompt"`},
		{completionPath, "reader", `{"system":"s","prompt":"p","workspace":"acme"}`, "acme/f", `"prompt"`},
		{completionPath, "reader", `{"system":"s","prompt":"p","workspace":""}`, "acme/f", `"prompt"`},
		{completionPath, "reader", `{"system":"s","prompt":"p","workspace":"other","workspace":"acme"}`, "acme/f", `"prompt"`},
		{completionPath, "admin", `{"system":"s","prompt":"p","workspace":"other"}`, "other/f", `"prompt"`},
		{completionPath, "admin", `{"system":"s","prompt":"p","workspace":"o\u0074her"}`, "other/f", `"prompt"`},
		{completionPath, "admin", `{"system":"s","prompt":"p","workspace":5}`, "5/f", `"prompt"`},
		{completionPath + "?workspace=w2", "admin", completion, "w2/f", `"prompt"`},
		{completionPath, "reader", `{"system":"s","prompt":"p","streaming":true}`, "acme/f", `"streaming":false`},
		{"/api/v1/config", "reader", `{"operation":"get"}`, "/", `"workspace":"acme"`},
		{"/api/v1/config", "admin", `{"operation":"get","workspace":null}`, "/", `"workspace":"default"`},
		{"/api/v1/config", "admin", `{"operation":"get","workspace":"w2"}`, "/", `"workspace":"w2"`},
		{"/api/v1/iam", "admin", `{"operation":"list-users"}`, "/", `"actor":"u-admin"`},
		{"/api/v1/iam", "admin", `{"operation":"list-users","actor":"somebody else"}`, "/", `"actor":"u-admin"`},
	} {
		got := r.do(http.MethodPost, row.path, row.token, row.body)
		if got.status != 200 || got.body != `{"ok":true}` {
			t.Errorf("%s %s: %d %s", row.path, row.body, got.status, got.body)
			continue
		}
		key, msg := r.bus.last(t)
		if key.Workspace+"/"+key.Flow != row.key || !strings.Contains(strings.ReplaceAll(msg, " ", ""), row.has) {
			t.Errorf("%s %s: dispatched to %s/%s: %s", row.path, row.body, key.Workspace, key.Flow, msg)
		}
	}
	before := r.bus.count()
	r.do(http.MethodPost, "/api/v1/config", "reader", `{"operation":"get","workspace":"acme","workspace":"other"}`)
	if r.bus.count() != before {
		t.Error("a request for another workspace was dispatched")
	}
}
