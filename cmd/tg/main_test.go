package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// asProgram makes the test binary be tg.
const asProgram = "TG_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	goleak.VerifyTestMain(m)
}

// seen is a request as the stub gateway saw it.
type seen struct {
	method, path, body string
	header             http.Header
}

// stub is a gateway that records and answers from a list, the last for ever.
type stub struct {
	*httptest.Server
	mu       sync.Mutex
	requests []seen
	replies  []answer
}

type answer struct {
	status int
	body   string
}

func ok(body string) answer { return answer{http.StatusOK, body} }

func newStub(t *testing.T, replies ...answer) *stub {
	t.Helper()
	s := &stub{replies: replies}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *stub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, seen{r.Method, r.URL.Path, string(body), r.Header})
	a := s.replies[0]
	if len(s.replies) > 1 {
		s.replies = s.replies[1:]
	}
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, a.body)
}

func (s *stub) last(t *testing.T) seen {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.requests) == 0 {
		t.Fatal("no request arrived")
	}
	return s.requests[len(s.requests)-1]
}

func (s *stub) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.requests)
}

// user is somebody at a shell without a terminal.
type user struct {
	env      map[string]string
	stdin    string
	terminal func() (*terminal, error)
}

// at is a user whose environment names a gateway.
func at(s *stub) *user { return &user{env: map[string]string{"TRUSTGRAPH_URL": s.URL}} }

type outcome struct {
	out, err string
	code     int
}

// calls runs a command line whose first word is the program's name.
func (u *user) calls(line ...string) outcome {
	var out, errOut bytes.Buffer
	a := &app{
		in:       bufio.NewReader(strings.NewReader(u.stdin)),
		out:      &sink{to: &out},
		err:      &errOut,
		lookup:   func(name string) (string, bool) { v, ok := u.env[name]; return v, ok },
		terminal: u.terminal,
	}
	if a.terminal == nil {
		a.terminal = func() (*terminal, error) { return nil, errors.New("none") }
	}
	code := a.execute(line[0], line[1:])
	return outcome{out.String(), errOut.String(), code}
}

// patience bounds what would otherwise hang when it fails.
const patience = time.Minute

// words splits a command line at blanks; ~ is a blank inside a word and ” an
// empty word.
func words(line string) []string {
	list := strings.Fields(line)
	for i, w := range list {
		list[i] = strings.ReplaceAll(strings.ReplaceAll(w, "''", ""), "~", " ")
	}
	return list
}
