package clients

import (
	_ "embed"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

//go:embed page.html
var page []byte

// seen is what the page tells.
type seen struct {
	Step  string
	Text  string
	Parts []string
	Code  int
	Clean bool
}

// pageServer serves the page from an origin of its own and passes on what it tells.
func pageServer(t *testing.T, p *platform) (url string, told <-chan seen) {
	t.Helper()
	c := make(chan seen, 64)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(page)
	})
	mux.HandleFunc("GET /where", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]string{
			"socket": strings.Replace(p.url, "http", "ws", 1) + "/api/v1/socket", "token": p.reader,
		})
	})
	mux.HandleFunc("POST /saw", func(w http.ResponseWriter, r *http.Request) {
		var s seen
		if err := json.NewDecoder(r.Body).Decode(&s); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		select {
		case c <- s:
		default: // the test has failed long ago
		}
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL, c
}

// browse shows a page in headless Chromium until the test ends.
func browse(t *testing.T, url string) {
	t.Helper()
	var log lockedBuffer
	profile, err := os.MkdirTemp("", "sluice-chromium-") // not t.TempDir: its last words may outlive it
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(client(t, "SLUICE_TEST_CHROMIUM"),
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-proxy-server",
		"--user-data-dir="+profile, url)
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // it has many children
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
		eventually(t, "the profile is gone", func() error { return os.RemoveAll(profile) })
		if t.Failed() {
			t.Logf("Chromium said:\n%s", log.String())
		}
	})
}

// A page on another origin opens the socket, authenticates in band, sees a
// completion as it streams, and does so again when the gateway was restarted.
func TestChromium(t *testing.T) {
	t.Parallel()
	p := startPlatform(t)
	p.startPaced(t)
	url, told := pageServer(t, p)
	browse(t, url)
	next := func(step string) seen {
		t.Helper()
		select {
		case s := <-told:
			if s.Step != step {
				t.Fatalf("the page told %+v, not that it was %s", s, step)
			}
			return s
		case <-time.After(time.Minute):
			t.Fatalf("the page does not tell that it was %s", step)
			panic("not reached")
		}
	}
	session := func() {
		t.Helper()
		if s := next("refused"); s.Text != "auth-required" {
			t.Errorf("without a credential: %+v", s)
		}
		if s := next("authenticated"); s.Text != "default" {
			t.Errorf("authenticated: %+v", s)
		}
		if s := next("streamed"); !slices.Equal(s.Parts, []string{"holding ", "released"}) {
			t.Errorf("streamed: %+v", s)
		}
	}
	session()
	p.gateway.stop(t)
	if s := next("closed"); s.Code != 1001 || !s.Clean {
		t.Errorf("the gateway's end closed the socket with %+v", s)
	}
	p.startGateway(t, strings.TrimPrefix(p.url, "http://127.0.0.1:")) // where the page looks for it
	session()
}
