package proxy

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// upstream is a metrics server that tells what it was asked.
func upstream(t *testing.T) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Upstream", "hidden")
		_, _ = io.WriteString(w, r.Method+" "+r.RequestURI+" auth="+r.Header.Get("Authorization"))
	})
	mux.HandleFunc("/api/v1/teapot", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	mux.HandleFunc("/api/v1/inside", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/api/v1/landed", http.StatusFound)
	})
	mux.HandleFunc("/api/v1/outside", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://192.0.2.1/secret", http.StatusFound)
	})
	mux.HandleFunc("/api/v1/loop", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/api/v1/loop", http.StatusFound)
	})
	mux.HandleFunc("/api/v1/large", func(w http.ResponseWriter, _ *http.Request) {
		for range 100 {
			_, _ = io.WriteString(w, strings.Repeat("m", 10_000))
			w.(http.Flusher).Flush() //nolint:forcetypeassert // net/http's own
		}
	})
	mux.HandleFunc("/api/v1/broken", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "half of it")
		w.(http.Flusher).Flush() //nolint:forcetypeassert // net/http's own
		panic(http.ErrAbortHandler)
	})
	return s
}

func TestMetricsProxy(t *testing.T) {
	up := upstream(t)
	for _, suffix := range []string{"", "/", "//"} {
		base, err := url.Parse(up.URL + suffix)
		if err != nil {
			t.Fatal(err)
		}
		r := newRig(t, Config{Upstream: base})
		for _, row := range []struct {
			path, token string
			status      int
			want        string
		}{
			{"/api/metrics/query?query=up%7Bjob%3D%22a%20b%22%7D&x=1", "admin", 200, "GET /api/v1/query?query=up%7Bjob%3D%22a%20b%22%7D&x=1 auth="},
			{"/api/metrics/label/a%20b/values", "admin", 200, "GET /api/v1/label/a%20b/values auth="},
			{"/api/metrics/", "admin", 200, "GET /api/v1/ auth="},
			{"/api/metrics", "admin", 200, "GET /api/v1/ auth="},
			{"/api/metrics?q=1", "admin", 200, "GET /api/v1/?q=1 auth="},
			{"/api/metrics/teapot", "admin", 418, ""},
			{"/api/metrics/inside", "admin", 200, "GET /api/v1/landed auth="},
			{"/api/metrics/large", "admin", 200, strings.Repeat("m", 1_000_000)},
			{"/api/metrics/outside", "admin", 502, "Bad Gateway: metrics upstream unreachable: redirect to another host refused"},
			{"/api/metrics/loop", "admin", 500, "Internal Server Error: too many redirects"},
			{"/api/metrics/..%2f..%2fadmin", "admin", 400, "400: Invalid metrics path"},
			{"/api/metrics/%2e%2e/admin", "admin", 400, "400: Invalid metrics path"},
			{"/api/metrics/%252e%252e/admin", "admin", 400, "400: Invalid metrics path"},
			{"/api/metrics/..%5cadmin", "admin", 400, "400: Invalid metrics path"},
			{"/api/metrics/a/%2e", "admin", 400, "400: Invalid metrics path"},
			{"/api/metrics/query", "", 401, refusedBody},
			{"/api/metrics/query", "writer", 403, `{"error": "access denied"}`},
		} {
			got := r.do("GET", row.path, row.token, "")
			if got.status != row.status || got.body != row.want || got.header.Get("X-Upstream") != "" {
				t.Errorf("%s: %d %.100q, expected %d %.100q", row.path, got.status, got.body, row.status, row.want)
			}
			if row.status == 200 && row.path != "/api/metrics/large" && got.header.Get("Content-Type") != "application/json" {
				t.Errorf("%s: type %q", row.path, got.header.Get("Content-Type"))
			}
		}
		if got := r.do("HEAD", "/api/metrics/query", "admin", ""); got.status != 200 || got.body != "" {
			t.Errorf("HEAD: %+v", got)
		}
	}
}

// TestMetricsProxyBreaks: half a body is never passed off as a whole one.
func TestMetricsProxyBreaks(t *testing.T) {
	base, err := url.Parse(upstream(t).URL)
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, Config{Upstream: base})
	c := r.dial()
	c.say("GET /api/metrics/broken HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin\r\n\r\n")
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("a complete answer: %q", body)
	}
}

func TestMetricsProxyUnreachable(t *testing.T) {
	base := &url.URL{Scheme: "http", Host: "127.0.0.1:1"} // nobody listens there
	r := newRig(t, Config{Upstream: base})
	got := r.do("GET", "/api/metrics/query", "admin", "")
	if got.status != 502 || !strings.HasPrefix(got.body, "Bad Gateway: metrics upstream unreachable: ") || got.header.Get("Content-Type") != textType {
		t.Errorf("%+v", got)
	}
}

func TestMetricsTarget(t *testing.T) {
	p := newMetricsProxy(&url.URL{Scheme: "http", Host: "up", Path: "/pre fix/"}, 0)
	u, err := p.target([]byte("a%20b/c"), []byte("q=%7B"))
	if err != nil || u.String() != "http://up/pre%20fix/api/v1/a%20b/c?q=%7B" {
		t.Errorf("%v %v", u, err)
	}
	for _, path := range []string{"..", "a/../b", "%", "%2", "a/%2e%2E", "%25252e%25252e/x", "./x", `..\x`} {
		if u, err := p.target([]byte(path), nil); err == nil {
			t.Errorf("%s leads to %v", path, u)
		}
	}
}
