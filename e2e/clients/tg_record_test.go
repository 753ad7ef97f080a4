package clients

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// recorder stands between a command and its server and writes down the requests.
type recorder struct {
	url string

	mu   sync.Mutex
	seen []string
}

// record starts a recorder in front of a handler.
func record(t *testing.T, next http.Handler) *recorder {
	t.Helper()
	r := &recorder{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		req.Body = io.NopCloser(bytes.NewReader(body))
		r.mu.Lock()
		r.seen = append(r.seen, describe(req, body))
		r.mu.Unlock()
		next.ServeHTTP(w, req)
	}))
	t.Cleanup(s.Close)
	r.url = s.URL
	return r
}

// forward is a handler that hands every request to a server.
func forward(t *testing.T, to string) http.Handler {
	t.Helper()
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &httputil.ReverseProxy{
		Transport: transport,
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(u) },
	}
}

// take returns the requests since the last call, one a line.
func (r *recorder) take() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	seen := strings.Join(r.seen, "\n")
	r.seen = nil
	return seen
}

// describe tells of a request what the contract fixes.
func describe(req *http.Request, body []byte) string {
	credential := "anonymous"
	if values := req.Header.Values("Authorization"); values != nil {
		credential = strings.Join(values, ", ")
	}
	if bytes.ContainsFunc(body, func(r rune) bool { return r > 126 }) {
		credential += " NOT ASCII"
	}
	value, err := canonical(body)
	if err != nil {
		value = fmt.Sprintf("%q: %v", body, err)
	}
	return fmt.Sprintf("%s %s %s (%s) %s", req.Method, req.RequestURI, req.Header.Get("Content-Type"), credential, value)
}

// canonical writes a JSON value with its keys in the order they came, escapes
// resolved, and without spaces.
func canonical(body []byte) (string, error) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var b strings.Builder
	if err := copyValue(&b, d); err != nil {
		return "", err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("more than one value: %w", err)
	}
	return b.String(), nil
}

func copyValue(b *strings.Builder, d *json.Decoder) error {
	token, err := d.Token()
	if err != nil {
		return err
	}
	switch token {
	case json.Delim('{'):
		return copyMembers(b, d, '}')
	case json.Delim('['):
		return copyMembers(b, d, ']')
	}
	text, err := json.Marshal(token)
	b.Write(text)
	return err
}

// copyMembers copies an object or an array to its end.
func copyMembers(b *strings.Builder, d *json.Decoder, end json.Delim) error {
	b.WriteRune(rune(end) - 2) // in ASCII the opening bracket is two before
	for i := 0; d.More(); i++ {
		if i > 0 {
			b.WriteByte(',')
		}
		if err := copyValue(b, d); err != nil {
			return err
		}
		if end == ']' {
			continue
		}
		b.WriteByte(':')
		if err := copyValue(b, d); err != nil {
			return err
		}
	}
	b.WriteRune(rune(end))
	_, err := d.Token()
	return err
}
