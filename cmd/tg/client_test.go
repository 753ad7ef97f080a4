package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestURLs(t *testing.T) {
	s := newStub(t, ok(`{}`))
	for _, url := range []string{s.URL, s.URL + "/", s.URL + "///"} {
		if got := (&user{}).calls("tg-list-users", "-u", url); got.out != "No users.\n" || s.last(t).path != iamRoute {
			t.Errorf("%s: %+v", url, got)
		}
	}
	if got := (&user{}).calls("tg-list-users", "--api-url="+s.URL+"/base/"); got.code != exitOK || s.last(t).path != "/base"+iamRoute {
		t.Errorf("a base path: %+v, %s", got, s.last(t).path)
	}
	for url, want := range map[string]string{
		"":                      "Invalid URL '/api/v1/iam': No scheme supplied. Write it as http://localhost:8088/",
		"localhost:8088":        "Invalid URL 'localhost:8088/api/v1/iam': No scheme supplied. Write it as http://localhost:8088/",
		"ftp://h":               "Invalid URL 'ftp://h/api/v1/iam': the scheme must be http or https",
		"http://":               "Invalid URL 'http:/api/v1/iam': No scheme supplied. Write it as http://localhost:8088/",
		"http://:80":            "Invalid URL 'http://:80/api/v1/iam': No host supplied",
		"http://u:secret@h/%zz": "Invalid URL 'http://***@h/%zz/api/v1/iam': not a URL",
		"u:secret@h:8088":       "Invalid URL '***@h:8088/api/v1/iam': No scheme supplied. Write it as http://localhost:8088/",
		"http://u:p/secret@h/":  "Invalid URL 'http://***@h/api/v1/iam': not a URL",
		"http:/u:secret@h/":     "Invalid URL '***@h/api/v1/iam': No scheme supplied. Write it as http://localhost:8088/",
		"ftp://u:a@secret@h/":   "Invalid URL 'ftp://***@h/api/v1/iam': the scheme must be http or https",
		"http://u:sec\nret@h/":  "Invalid URL 'http://***@h/api/v1/iam': not a URL",
	} {
		u := &user{env: map[string]string{"TRUSTGRAPH_URL": url}}
		if got := u.calls("tg-list-users"); got != (outcome{"", "Exception: " + want + "\n", exitFailure}) {
			t.Errorf("%q: %+v", url, got)
		}
	}
}

// A per cent sign in the URL is nothing special to --help; a password is not shown.
func TestHelpShowsTheURL(t *testing.T) {
	u := &user{env: map[string]string{"TRUSTGRAPH_URL": "http://u:secret@h/%s%"}}
	got := u.calls("tg-login", "--help")
	if got.code != exitOK || got.err != "" || !strings.Contains(got.out, `(default "http://***@h/%s%")`) || strings.Contains(got.out, "secret") {
		t.Errorf("%+v", got)
	}
	u.env["TRUSTGRAPH_URL"] = "u:secret@h"
	if got := u.calls("tg-login", "--help"); !strings.Contains(got.out, `(default "***@h")`) || strings.Contains(got.out, "secret") {
		t.Errorf("%+v", got)
	}
	got = (&user{}).calls("tg", "login", "-h")
	if !strings.Contains(got.out, "tg login --username NAME [flags]") || !strings.Contains(got.out, `(default "http://localhost:8088/")`) {
		t.Errorf("%+v", got)
	}
}

func TestRedirects(t *testing.T) {
	end := newStub(t, ok(`{}`))
	var to string
	status := http.StatusTemporaryRedirect
	door := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/done" {
			end.ServeHTTP(w, r)
			return
		}
		http.Redirect(w, r, to, status)
	}))
	defer door.Close()
	u := &user{env: map[string]string{"TRUSTGRAPH_URL": door.URL, "TRUSTGRAPH_TOKEN": "tg_k"}}

	for _, status = range []int{http.StatusTemporaryRedirect, http.StatusPermanentRedirect} {
		to = "/done"
		got, r := u.calls("tg-list-users"), end.last(t)
		if got.code != exitOK || r.method != http.MethodPost || r.body != `{"operation":"list-users"}` || r.header.Get("Authorization") != "Bearer tg_k" {
			t.Errorf("%d to the same host: %+v, %+v", status, got, r)
		}
		to = end.URL + "/elsewhere"
		got, r = u.calls("tg-list-users"), end.last(t)
		if got.code != exitOK || r.path != "/elsewhere" || r.body != `{"operation":"list-users"}` || r.header.Get("Authorization") != "" {
			t.Errorf("%d to another host: %+v, %+v", status, got, r)
		}
		before := end.count()
		for _, line := range []string{"tg-login --username u --password p", "tg-change-password --current a --new b", "tg-create-user --username u --password p"} {
			if got := u.calls(words(line)...); got.code != exitFailure || !strings.Contains(got.err, "must not see the password") || end.count() != before {
				t.Errorf("%d: %s: %+v", status, line, got)
			}
		}
	}
	status, to = http.StatusSeeOther, "/done"
	if got, r := u.calls("tg-list-users"), end.last(t); got.code != exitOK || r.method != http.MethodGet || r.body != "" {
		t.Errorf("303: %+v, %+v", got, r)
	}
	to = "/again"
	if got := u.calls("tg-list-users"); got.code != exitFailure || !strings.Contains(got.err, "more than 10 redirects") {
		t.Errorf("round and round: %+v", got)
	}
}

// What has been elsewhere comes back without credentials: whoever is there says where
// to, and what is done there.
func TestRedirectsBack(t *testing.T) {
	end := newStub(t, ok(`{}`))
	var home, away *httptest.Server
	home = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/back" {
			end.ServeHTTP(w, r)
			return
		}
		http.Redirect(w, r, away.URL, http.StatusTemporaryRedirect)
	}))
	defer home.Close()
	away = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, home.URL+"/back", http.StatusTemporaryRedirect)
	}))
	defer away.Close()
	got := (&user{}).calls("tg-list-users", "-u", home.URL, "-t", "tg_k")
	if r := end.last(t); got.code != exitOK || r.path != "/back" || r.header.Get("Authorization") != "" {
		t.Errorf("%+v, %+v", got, r)
	}
	first, _ := http.NewRequest(http.MethodPost, home.URL, nil)
	second, _ := http.NewRequest(http.MethodPost, away.URL, nil)
	third, _ := http.NewRequest(http.MethodPost, home.URL+"/back", strings.NewReader("{}"))
	if err := checkRedirect(object{{"password", "p"}})(third, []*http.Request{first, second}); err == nil {
		t.Error("the password comes back")
	}
}

func TestSameParty(t *testing.T) {
	for pair, want := range map[[2]string]bool{
		{"http://a/x", "http://A:80/y"}:     true,
		{"http://a", "https://a"}:           true,
		{"https://a", "https://a:443"}:      true,
		{"https://a", "http://a"}:           false,
		{"http://a:8088", "https://a"}:      false,
		{"http://a:8088", "http://a:8089"}:  false,
		{"http://a", "http://sub.a"}:        false,
		{"https://a:8443", "https://a:443"}: false,
	} {
		from, _ := url.Parse(pair[0])
		to, _ := url.Parse(pair[1])
		if got := sameParty(from, to); got != want {
			t.Errorf("%v: %v", pair, got)
		}
	}
}

func TestNobodyThere(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := "http://" + ln.Addr().String()
	ln.Close()
	got := (&user{}).calls("tg-list-users", "-u", strings.Replace(address, "//", "//tg_key@", 1))
	if strings.Contains(got.err, "tg_key") || !strings.Contains(got.err, "//***@127.0.0.1:") {
		t.Errorf("%+v", got)
	}
	got = (&user{}).calls("tg-list-users", "-u", address)
	if got.code != exitFailure || got.out != "" || !strings.HasPrefix(got.err, "Exception: ") || !strings.Contains(got.err, "refused") {
		t.Errorf("%+v", got)
	}
}

func TestTimeout(t *testing.T) {
	stop := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-stop }))
	defer s.Close()
	defer close(stop)
	got := (&user{}).calls("tg-list-users", "-u", s.URL, "--timeout", "50ms")
	if want := (outcome{"", "Exception: no answer from " + s.URL + " within 50ms (--timeout)\n", exitFailure}); got != want {
		t.Errorf("%+v", got)
	}
}

// A time-out that is not the client's own keeps its own text.
func TestOtherTimeouts(t *testing.T) {
	g := &gateway{url: "http://h/", timeout: defaultTimeout}
	for _, err := range []error{
		&url.Error{Op: "Post", URL: "http://h/", Err: &net.DNSError{Err: "i/o timeout", Name: "h", IsTimeout: true}},
		&url.Error{Op: "Post", URL: "http://h/", Err: os.NewSyscallError("connect", syscall.ETIMEDOUT)},
	} {
		if got := g.explain(t.Context(), err); got.Error() != err.Error() {
			t.Errorf("%v becomes %v", err, got)
		}
	}
}

func TestSecondsRefused(t *testing.T) {
	for _, text := range []string{"", "soon", "-1", "-2m", "18446744074", "99999999999999999999", "9223372037"} {
		var s seconds
		if err := s.Set(text); err == nil {
			t.Errorf("%q: %s", text, s.String())
		}
	}
}

func TestSeconds(t *testing.T) {
	for text, want := range map[string]string{"130": "2m10s", "2m": "2m0s", "0": "0s", "1.5s": "1.5s"} {
		var s seconds
		if err := s.Set(text); err != nil || s.String() != want {
			t.Errorf("%s: %s, %v", text, s.String(), err)
		}
	}
}

// A reply that never ends is given up, not kept.
func TestReplyIsBounded(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for block := make([]byte, 1<<20); ; {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	}))
	defer s.Close()
	got := (&user{}).calls("tg-list-users", "-u", s.URL)
	if want := (outcome{"", fmt.Sprintf("Exception: reply is larger than %d MiB\n", maxReplyBytes>>20), exitFailure}); got != want {
		t.Errorf("%+v", got)
	}
}

// TestEncrypted: which authorities are trusted, and what the server sees of a
// client's certificate.
func TestEncrypted(t *testing.T) {
	end := newStub(t, ok(`{}`))
	s := httptest.NewUnstartedServer(end)
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // it complains of clients that do not trust it
	s.StartTLS()
	defer s.Close()
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	bundle := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(bundle, block, 0o600); err != nil {
		t.Fatal(err)
	}
	rubbish := secretFile(t, "no certificate")
	// A directory as Debian's, with more in it than certificates.
	crowded := filepath.Dir(bundle)
	for _, err := range []error{
		os.Mkdir(filepath.Join(crowded, "java"), 0o700),
		os.Symlink("/none", filepath.Join(crowded, "dangling")),
		syscall.Mkfifo(filepath.Join(crowded, "pipe"), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, row := range []struct {
		env, flags, want string
	}{
		{"", "", "x509: "},
		{"", "--cacert " + bundle, ""},
		{"", "--cacert " + filepath.Dir(bundle), ""},
		{"", "--cacert " + filepath.Dir(rubbish), "no certificate in " + filepath.Dir(rubbish)},
		{"REQUESTS_CA_BUNDLE=" + bundle, "", ""},
		{"REQUESTS_CA_BUNDLE=" + crowded, "", ""},
		{"CURL_CA_BUNDLE=" + bundle, "", ""},
		{"REQUESTS_CA_BUNDLE=/none", "--cacert " + bundle, ""},
		{"REQUESTS_CA_BUNDLE=/none", "", "REQUESTS_CA_BUNDLE: open /none: "},
		{"", "--cacert " + rubbish, "no certificate in " + rubbish},
		{"", "--cacert " + bundle + " --cert /none", "client certificate: open /none: "},
	} {
		u := &user{env: map[string]string{"TRUSTGRAPH_URL": s.URL}}
		if name, value, ok := strings.Cut(row.env, "="); ok {
			u.env[name] = value
		}
		got := u.calls(words("tg-list-users " + row.flags)...)
		if row.want == "" && got != (outcome{"No users.\n", "", exitOK}) {
			t.Errorf("%+v: %+v", row, got)
		}
		if row.want != "" && (got.code != exitFailure || !strings.Contains(got.err, row.want)) {
			t.Errorf("%+v: %+v", row, got)
		}
	}
	// A redirect from where nothing is encrypted trusts nobody else instead.
	door := httptest.NewServer(http.RedirectHandler(s.URL, http.StatusTemporaryRedirect))
	defer door.Close()
	knocking := &user{env: map[string]string{"TRUSTGRAPH_URL": door.URL, "REQUESTS_CA_BUNDLE": "/none"}}
	if got := knocking.calls("tg-list-users"); got.code != exitFailure || !strings.HasPrefix(got.err, "Exception: REQUESTS_CA_BUNDLE: open /none: ") {
		t.Errorf("%+v", got)
	}
	// Nobody's mistake where nothing is encrypted.
	u := at(end)
	u.env["REQUESTS_CA_BUNDLE"] = "/none"
	if got := u.calls("tg-list-users"); got.code != exitOK {
		t.Errorf("%+v", got)
	}
}

// TestClientCertificate: the server asks for one; its key may stand in a file of
// its own.
func TestClientCertificate(t *testing.T) {
	s := httptest.NewUnstartedServer(newStub(t, ok(`{}`)))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	s.StartTLS()
	defer s.Close()
	pair := s.TLS.Certificates[0]
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	block := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}))
	key := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	cert, both := secretFile(t, block), secretFile(t, block+key)
	for flags, want := range map[string]int{
		"":               exitFailure,
		"--cert " + both: exitOK,
		"--cert " + cert + " --cert-key " + secretFile(t, key): exitOK,
		"--cert " + cert: exitFailure,
	} {
		if got := (&user{}).calls(words("tg-list-users -u " + s.URL + " --cacert " + cert + " " + flags)...); got.code != want {
			t.Errorf("%q: %+v", flags, got)
		}
	}
}

// Standard output that cannot be written to is a failure: the secret is lost.
func TestOutputIsChecked(t *testing.T) {
	s := newStub(t, ok(`{"temporary_password":"T"}`))
	var errOut strings.Builder
	a := &app{out: &sink{to: full{}}, err: &errOut, lookup: func(string) (string, bool) { return s.URL, true }}
	if code := a.execute("tg-reset-password", []string{"--user-id", "u", "--token="}); code != exitFailure || !strings.HasSuffix(errOut.String(), "Exception: no room\n") {
		t.Errorf("%d %s", code, errOut.String())
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no room") }
