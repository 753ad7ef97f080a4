package proxy

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"sluice/codec"
	"sluice/proxy/dispatch"
)

const (
	loginPath     = "/api/v1/auth/login"
	bootstrapPath = "/api/v1/auth/bootstrap"
	changePath    = "/api/v1/auth/change-password"
	refusedBody   = `{"error": "auth failure"}`
)

func TestAuthRoutes(t *testing.T) {
	refusal := func(kind, message string) func(codec.IAMRequest) (codec.IAMReply, error) {
		return func(codec.IAMRequest) (codec.IAMReply, error) {
			return codec.IAMReply{Error: &codec.ServiceError{Type: kind, Message: message}}, nil
		}
	}
	failure := func(err error) func(codec.IAMRequest) (codec.IAMReply, error) {
		return func(codec.IAMRequest) (codec.IAMReply, error) {
			return codec.IAMReply{}, fmt.Errorf("wrapped: %w", err)
		}
	}
	works := func(codec.IAMRequest) (codec.IAMReply, error) {
		return codec.IAMReply{JWT: "j.w.t", JWTExpires: "2026", BootstrapAdminUserID: "u1", BootstrapAdminAPIKey: "tg_k"}, nil
	}
	const credentials = `{"username":"al","password":"pw","workspace":"acme"}`
	const change = `{"current_password":"old","new_password":"new"}`
	for _, row := range []struct {
		name, path, token, body string
		iam                     func(codec.IAMRequest) (codec.IAMReply, error)
		status                  int
		want                    string
	}{
		{"login", loginPath, "", credentials, works, 200, `{"jwt": "j.w.t", "jwt_expires": "2026"}`},
		{"login refused", loginPath, "", credentials, refusal("auth-failed", "bad credentials"), 401, refusedBody},
		{"login, IAM's fault", loginPath, "", credentials, refusal("internal-error", "trace"), 401, refusedBody},
		{"login timed out", loginPath, "", credentials, failure(dispatch.ErrTimeout), 401, refusedBody},
		{"login, no IAM", loginPath, "", credentials, failure(dispatch.ErrNoService), 401, refusedBody},
		{"login, garbage from IAM", loginPath, "", credentials, failure(errors.New("x")), 401, refusedBody},
		{"login, broker away", loginPath, "", credentials, failure(dispatch.ErrUnavailable), 503, `{"error": "message bus unavailable"}`},
		{"login, no slot", loginPath, "", credentials, failure(dispatch.ErrExhausted), 503, `{"error": "too many calls in flight"}`},
		{"login not JSON", loginPath, "", `{`, works, 400, `{"error": "invalid json"}`},
		{"login empty", loginPath, "", ``, works, 400, `{"error": "invalid json"}`},
		{"login no object", loginPath, "", `["al","pw"]`, works, 400, `{"error": "the body must be a JSON object"}`},
		{"login odd types", loginPath, "", `{"username":5,"password":"x"}`, works, 401, refusedBody},
		{"login large", loginPath, "", `"` + strings.Repeat("x", 70_000) + `"`, works, 413, "Maximum request body size 65536 exceeded, actual body size 70002"},

		{"bootstrap", bootstrapPath, "", "", works, 200, `{"bootstrap_admin_user_id": "u1", "bootstrap_admin_api_key": "tg_k"}`},
		{"bootstrap with nonsense", bootstrapPath, "", "{nope", works, 200, `{"bootstrap_admin_user_id": "u1", "bootstrap_admin_api_key": "tg_k"}`},
		{"bootstrap again", bootstrapPath, "", "", refusal("auth-failed", "auth failure"), 401, refusedBody},
		{"bootstrap timed out", bootstrapPath, "", "", failure(dispatch.ErrTimeout), 401, refusedBody},

		{"change", changePath, "reader", change, works, 200, `{}`},
		{"change without token", changePath, "", `{`, works, 401, refusedBody},
		{"change refused", changePath, "reader", change, refusal("auth-failed", "bad credentials"), 401, refusedBody},
		{"change incomplete", changePath, "reader", `{}`, refusal("invalid-argument", "password (current) required"), 400, `{"error": "password (current) required"}`},
		{"change timed out", changePath, "reader", change, failure(dispatch.ErrTimeout), 400, `{"error": "Timeout"}`},
		{"change, broker away", changePath, "reader", change, failure(dispatch.ErrUnavailable), 503, `{"error": "message bus unavailable"}`},
		{"change not JSON", changePath, "reader", `{`, works, 400, `{"error": "invalid json"}`},
		{"change no object", changePath, "reader", `[]`, works, 400, `{"error": "the body must be a JSON object"}`},
		{"change odd types", changePath, "reader", `{"current_password":1}`, works, 400, `{"error": "\"current_password\" must be a string"}`},
		{"change odd types too", changePath, "reader", `{"new_password":[]}`, works, 400, `{"error": "\"new_password\" must be a string"}`},
	} {
		r := newRig(t, Config{})
		r.bus.ask = row.iam
		if got := r.do("POST", row.path, row.token, row.body); got.status != row.status || got.body != row.want {
			t.Errorf("%s: %d %q, expected %d %q", row.name, got.status, got.body, row.status, row.want)
		}
	}
}

// TestAuthRequests: what IAM is asked.
func TestAuthRequests(t *testing.T) {
	r := newRig(t, Config{})
	var asked codec.IAMRequest
	r.bus.ask = func(req codec.IAMRequest) (codec.IAMReply, error) {
		asked = req
		return codec.IAMReply{}, nil
	}
	r.do("POST", loginPath, "", `{"username":"al","password":"p\u0077","workspace":null,"operation":"create-user"}`)
	if asked.Operation != "login" || asked.Username != "al" || asked.Password != "pw" || asked.Workspace != "" {
		t.Errorf("login asked %+v", asked)
	}
	r.do("POST", changePath, "reader", `{"current_password":"a","new_password":"b","user_id":"somebody else"}`)
	if asked.Operation != "change-password" || asked.UserID != "u-reader" || asked.Actor != "u-reader" || asked.Password != "a" || asked.NewPassword != "b" {
		t.Errorf("change-password asked %+v", asked)
	}
	r.do("POST", bootstrapPath, "", `{"operation":"login"}`)
	if asked.Operation != "bootstrap" {
		t.Errorf("bootstrap asked %+v", asked)
	}
}

// TestLoginRateOverHTTP: too many attempts look like wrong ones.
func TestLoginRateOverHTTP(t *testing.T) {
	r := newRig(t, Config{LoginRate: 1e-9, LoginBurst: 3})
	asked := 0
	r.bus.ask = func(codec.IAMRequest) (codec.IAMReply, error) {
		asked++
		return codec.IAMReply{JWT: "j"}, nil
	}
	for i := range 5 {
		got := r.do("POST", loginPath, "", `{}`)
		if want := map[bool]int{true: 200, false: 401}[i < 3]; got.status != want {
			t.Errorf("attempt %d: %d", i, got.status)
		}
	}
	if asked != 3 {
		t.Errorf("IAM was asked %d times", asked)
	}
}

func TestLoginRate(t *testing.T) {
	now := time.Unix(1000, 0)
	l := newLoginRate(2, 3)
	l.now = func() time.Time { return now }
	tcp := func(ip string) netip.Addr { return addressOf(&net.TCPAddr{IP: net.ParseIP(ip), Port: 1}) }
	take := func(ip string, want int) {
		t.Helper()
		for i := range want + 1 {
			if got := l.allow(tcp(ip)); got != (i < want) {
				t.Errorf("%s, attempt %d: %v", ip, i, got)
			}
		}
	}
	take("192.0.2.1", 3)
	take("192.0.2.2", 3)
	take("::ffff:192.0.2.1", 0) // the same client
	take("2001:db8::1", 3)
	take("2001:db8::2", 0) // the same /64
	take("2001:db8:0:1::1", 3)
	now = now.Add(time.Second)
	take("192.0.2.1", 2)
	now = now.Add(time.Hour)
	take("192.0.2.1", 3)
	for i := range maxBuckets + maxBuckets/2 {
		l.allow(tcp(fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255)))
	}
	if len(l.buckets) > maxBuckets {
		t.Errorf("%d addresses are remembered", len(l.buckets))
	}
	if l := newLoginRate(-1, 0); !l.allow(tcp("192.0.2.1")) {
		t.Error("no limit was asked for")
	}
}
