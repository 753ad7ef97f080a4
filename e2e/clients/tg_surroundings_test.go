package clients

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Without a server that answers: an exception, and nothing on stdout.
func TestCommandLineWithoutServer(t *testing.T) {
	t.Parallel()
	const refused = "http://127.0.0.1:1"
	invalid := func(url, text string) [2]string { return [2]string{url, "Exception: " + text} }
	for _, l := range tools(t) {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			for _, row := range [][2]string{
				invalid("", "Invalid URL '/api/v1/iam': No scheme supplied."),
				invalid("localhost/", "Invalid URL 'localhost/api/v1/iam': No scheme supplied."),
				invalid("ftp://localhost/", ""), invalid("http://", ""), invalid("http://[", ""), invalid(refused, ""),
			} {
				got := l.run(t, []string{"TRUSTGRAPH_URL=" + row[0], "TRUSTGRAPH_TOKEN=tg_secret"}, "", "list-users")
				if got.exit != 1 || got.stdout != "" || !strings.HasPrefix(got.stderr, row[1]) || len(got.stderr) <= len("Exception: ") ||
					strings.Contains(got.stderr, "tg_secret") {
					t.Errorf("%q: %+v", row[0], got)
				}
			}
		})
	}
}

// Redirects are followed; a credential goes to nobody but the server it is for.
func TestCommandLineRedirects(t *testing.T) {
	t.Parallel()
	for _, l := range tools(t) {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			other := record(t, empty())
			elsewhere := strings.Replace(other.url, "127.0.0.1", "localhost", 1)
			mux := http.NewServeMux()
			mux.Handle("/a/", http.RedirectHandler("/new/place", http.StatusPermanentRedirect))
			mux.Handle("/b/", http.RedirectHandler(elsewhere+"/new/place", http.StatusTemporaryRedirect))
			mux.Handle("/c/", http.RedirectHandler("/new/place", http.StatusFound))
			mux.Handle("/new/", empty())
			r := record(t, mux)
			const body = `{"operation":"list-users"}`
			sent := func(path, who, body string) string { return "POST " + path + " application/json (" + who + ") " + body }
			for _, row := range [][3]string{
				{"/a", sent("/a/api/v1/iam", "Bearer x", body) + "\n" + sent("/new/place", "Bearer x", body), ""},
				{"/b", sent("/b/api/v1/iam", "Bearer x", body), sent("/new/place", "anonymous", body)},
				{"/c", sent("/c/api/v1/iam", "Bearer x", body) + "\n" + `GET /new/place  (Bearer x) "": EOF`, ""},
			} {
				got := l.run(t, []string{"TRUSTGRAPH_URL=" + r.url + row[0]}, "", "list-users", "-t", "x")
				if here, there := r.take(), other.take(); here != row[1] || there != row[2] || got.stdout != "No users.\n" {
					t.Errorf("%s:\n%s\n%s\nwant\n%s\n%s\n%+v", row[0], here, there, row[1], row[2], got)
				}
			}
		})
	}
}

// Proxies and certificate authorities come from the environment.
func TestCommandLineEnvironment(t *testing.T) {
	t.Parallel()
	for _, l := range tools(t) {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			proxy := record(t, empty())
			env := []string{"TRUSTGRAPH_URL=http://iam.invalid/", "HTTP_PROXY=" + proxy.url}
			l.run(t, env, "", "list-users")
			if got := proxy.take(); !strings.HasPrefix(got, "POST http://iam.invalid/api/v1/iam ") {
				t.Errorf("the proxy was asked %q", got)
			}
			if got := l.run(t, append(env, "NO_PROXY=iam.invalid"), "", "list-users"); got.exit != 1 || proxy.take() != "" {
				t.Errorf("NO_PROXY: %+v", got)
			}
			url, ca := secure(t)
			for _, bundle := range []string{"REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"} {
				if got := l.run(t, []string{bundle + "=" + ca, "TRUSTGRAPH_URL=" + url}, "", "list-users"); got.exit != 0 || got.stdout != "No users.\n" {
					t.Errorf("%s: %+v", bundle, got)
				}
			}
			if got := l.run(t, []string{"TRUSTGRAPH_URL=" + url}, "", "list-users"); got.exit != 1 || !strings.HasPrefix(got.stderr, "Exception: ") {
				t.Errorf("an authority nobody knows: %+v", got)
			}
		})
	}
}

// secure is a server with a certificate of its own and the file to know it by.
func secure(t *testing.T) (url, ca string) {
	t.Helper()
	s := httptest.NewUnstartedServer(empty())
	s.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // it says who did not trust it
	s.StartTLS()
	t.Cleanup(s.Close)
	ca = filepath.Join(t.TempDir(), "ca.pem")
	writePEM(t, ca, "CERTIFICATE", s.Certificate().Raw)
	return s.URL, ca
}

// On a terminal, passwords are asked for there and not shown, and Ctrl-C ends the
// question.
func TestCommandLineTerminal(t *testing.T) {
	t.Parallel()
	for _, l := range tools(t) {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			r := record(t, empty())
			env := []string{"TRUSTGRAPH_URL=" + r.url}
			const prompt = "Password for bob: "
			got, shown := l.onTerminal(t, env, []string{prompt, "pä ß"}, "login", "--username", "bob")
			if want := (outcome{stdout: "\n"}); got != want || shown != prompt+"\n" {
				t.Errorf("it says %+v and shows %q", got, shown)
			}
			if sent := r.take(); sent != auth("login", "", `{"username":"bob","password":"pä ß"}`).String() {
				t.Errorf("it sends %s", sent)
			}
			got, _ = l.onTerminal(t, env, []string{prompt, "^C"}, "login", "--username", "bob")
			if sent := r.take(); got.exit != 130 || got.stdout != "" || sent != "" {
				t.Errorf("interrupted: %+v, sends %q", got, sent)
			}
		})
	}
}

// Ctrl-C while a server does not answer ends a command by the signal, as a shell
// sees it; ours has nothing to say about it.
func TestCommandLineInterrupted(t *testing.T) {
	t.Parallel()
	for _, l := range tools(t) {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			asked := make(chan struct{})
			r := record(t, http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
				close(asked)
				<-req.Context().Done()
			}))
			heard := make(chan os.Signal, 1)
			signal.Notify(heard, os.Interrupt) // or a child would ignore what the tests do
			defer signal.Stop(heard)
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, filepath.Join(l.bin, "tg-list-users"), "-u", r.url)
			cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}
			var said bytes.Buffer
			cmd.Stdout, cmd.Stderr = &said, &said
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			select {
			case <-asked:
			case <-time.After(time.Minute):
				t.Fatal("it asks nothing")
			}
			if err := cmd.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait()
			status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus)
			if !status.Signaled() || status.Signal() != syscall.SIGINT {
				t.Errorf("it ended with %v", cmd.ProcessState)
			}
			if l.name == "ours" && said.Len() > 0 {
				t.Errorf("it said %s", said.String())
			}
		})
	}
}
