package proxy

import (
	"strconv"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
)

func itoa(n int) string { return strconv.Itoa(n) }

// found describes what a lookup said: the route's name and what it captured.
func found(method, path string) string {
	var m match
	m.find(compile(rows()), []byte(method), []byte(path))
	if m.route == nil {
		return "- " + m.allow
	}
	out := m.route.name
	for _, p := range m.params {
		if p != nil {
			out += " " + string(p)
		}
	}
	if m.rest != nil {
		out += " " + string(m.rest)
	}
	return out
}

func TestRoutes(t *testing.T) {
	for _, row := range []struct{ method, path, want string }{
		{"POST", "/api/v1/auth/login", "login"},
		{"GET", "/api/v1/auth/login", "- POST"},
		{"OPTIONS", "/api/v1/auth/login", "- POST"},
		{"POST", "/api/v1/auth/bootstrap", "bootstrap"},
		{"POST", "/api/v1/auth/change-password", "change-password"},
		{"POST", "/api/v1/auth/logout", "- "},
		{"POST", "/api/v1/auth", "global auth"},
		{"POST", "/api/v1/config", "global config"},
		{"POST", "/api/v1/%63onfig", "global config"},
		{"POST", "/api/v1/flow", "global flow"},
		{"POST", "/api/v1/socket", "global socket"},
		{"POST", "/api/v1/import-core", "import-core"},
		{"GET", "/api/v1/import-core", "- POST"},
		{"GET", "/api/v1/socket", "socket"},
		{"GET", "/api/v1/export-core", "export-core"},
		{"POST", "/api/v1/export-core", "global export-core"},
		{"GET", "/api/v1/document-stream", "document-stream"},
		{"GET", "/api/v1/config", "- POST"},
		{"PUT", "/api/v1/config", "- POST"},
		{"POST", "/api/v1/config/", "- "},
		{"POST", "/api/v1/", "- "},
		{"POST", "/api/v1", "- "},
		{"POST", "/api//v1/config", "- "},
		{"POST", "//api/v1/config", "- "},
		{"POST", "/API/v1/config", "- "},
		{"POST", "/api/./v1/config", "- "},
		{"POST", "/api/x/../v1/config", "- "},
		{"POST", "/api/v1/%2e%2e/v1/config", "- "},
		{"POST", "/api/v1/con%2ffig", "- "},
		{"POST", "/api%2fv1/config", "- "},
		{"POST", "/api/v1/%2563onfig", "- "},
		{"POST", "/api/v1/config%00", "- "},
		{"POST", "/api/v1/config%0a", "- "},
		{"POST", "/api/v1/%ff", "- "},
		{"POST", "/api/v1/%", "- "},
		{"POST", "/api/v1/%4", "- "},
		{"POST", "/api/v1/%zz", "- "},
		{"POST", "/api/v1/flow/f1/service/agent", "flow f1 agent"},
		{"POST", "/api/v1/flow/my%20flow/service/agent", "flow my flow agent"},
		{"POST", "/api/v1/flow/f+1/service/agent", "flow f+1 agent"},
		{"POST", "/api/v1/flow/fl%C3%BCsse/service/agent", "flow flüsse agent"},
		{"POST", "/api/v1/flow/a%2Fb/service/agent", "- "},
		{"POST", "/api/v1/flow/../service/agent", "- "},
		{"POST", "/api/v1/flow//service/agent", "- "},
		{"POST", "/api/v1/flow/f/service/agent/", "- "},
		{"POST", "/api/v1/flow/f/service", "- "},
		{"GET", "/api/v1/flow/f/service/agent", "- POST"},
		{"GET", "/api/v1/flow/f/import/triples", "import f triples"},
		{"GET", "/api/v1/flow/f/export/triples", "export f triples"},
		{"GET", "/api/v1/i18n/packs/en", "i18n en"},
		{"HEAD", "/api/v1/i18n/packs/en", "i18n en"},
		{"POST", "/api/v1/i18n/packs/en", "- GET, HEAD"},
		{"GET", "/api/v1/i18n/packs/a%2fb", "i18n"},
		{"GET", "/api/v1/i18n/packs/..", "i18n"},
		{"GET", "/api/v1/i18n/packs/", "- "},
		{"GET", "/api/v1/i18n/packs/a/b", "- "},
		{"GET", "/api/metrics", "metrics"},
		{"GET", "/api/metrics/", "metrics "},
		{"GET", "/api/metrics/query", "metrics query"},
		{"GET", "/api/metrics/a/b/c/d/e/f/g/h/i/j", "metrics a/b/c/d/e/f/g/h/i/j"},
		{"GET", "/api/metrics/..%2fadmin", "metrics ..%2fadmin"},
		{"GET", "/api/metrics/a//b", "metrics a//b"},
		{"GET", "/api/../api/metrics/a", "- "},
		{"POST", "/api/metrics/query", "- GET, HEAD"},
		{"POST", "/api/metrics", "- GET, HEAD"},
		{"GET", "/healthz", "health"},
		{"HEAD", "/readyz", "health"},
		{"GET", "/", "- "},
		{"OPTIONS", "*", "- "},
		{"GET", "", "- "},
		{"GET", "/a/b/c/d/e/f/g/h/i/j/k/l", "- "},
		{"GET", strings.Repeat("/", 300), "- "},
	} {
		if got := found(row.method, row.path); got != row.want {
			t.Errorf("%s %s: %q, expected %q", row.method, row.path, got, row.want)
		}
	}
}

// FuzzRoutes: what is matched is matched again in its plain spelling, and no
// parameter can be taken for more or less than one segment.
func FuzzRoutes(f *testing.F) {
	for _, seed := range []string{
		"/api/v1/config", "/api/v1/flow/a%20b/service/agent", "/api/metrics/../x", "/api/v1/%2e%2e/config",
		"/api/v1/flow/%25/service/x", "//", "/%", "/api/v1/i18n/packs/%2F", "/api/v1/flow/%00/service/x",
	} {
		f.Add("POST", seed)
		f.Add("GET", seed)
	}
	t := compile(rows())
	f.Fuzz(func(tt *testing.T, method, path string) {
		var m match
		m.find(t, []byte(method), []byte(path))
		if m.route == nil {
			return
		}
		if m.allow != "" {
			tt.Fatalf("%s %q: found, and not allowed", method, path)
		}
		for _, p := range m.params {
			if text := string(p); strings.ContainsAny(text, "/%\x00\n\r") || text == "." || text == ".." {
				tt.Fatalf("%s %q: parameter %q", method, path, p)
			}
		}
		if m.route.name == "flow" {
			again := "/api/v1/flow/" + string(m.params[0]) + "/service/" + string(m.params[1])
			var n match
			n.find(t, []byte(fasthttp.MethodPost), []byte(again))
			if n.route != m.route || string(n.params[0]) != string(m.params[0]) || string(n.params[1]) != string(m.params[1]) {
				tt.Fatalf("%q and %q differ", path, again)
			}
		}
	})
}
