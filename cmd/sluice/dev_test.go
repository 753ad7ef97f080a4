package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/bus/amqp/brokertest"
)

func TestMain(m *testing.M) {
	if args := os.Getenv("SLUICE_TEST_ARGS"); args != "" {
		os.Exit(execute(strings.Fields(args), os.Stdin, os.Stdout, os.Stderr)) // see program
	}
	goleak.VerifyTestMain(m,
		// fasthttp's clock for the Date header lives as long as the process, and
		// the cleaner of a stopped server for up to ten seconds.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"))
}

// output collects what a command prints while it runs.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// startDev runs `sluice dev` on free ports until the test ends, and returns what
// it printed once it was ready.
func startDev(t *testing.T, change func(*Config)) string {
	t.Helper()
	c := devConfig()
	c.Port, c.Metrics, c.MetricsPort = 0, true, 0
	if change != nil {
		change(c)
	}
	if err := c.validate(); err != nil {
		t.Fatal(err)
	}
	var out, logged output
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- runDev(ctx, c, newLogger(c, &logged), &out) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("sluice dev: %v", err)
		}
		if s := logged.String(); strings.Contains(s, "level=ERROR") || strings.Contains(s, "not closed cleanly") {
			t.Errorf("logged:\n%s", s)
		}
	})
	for {
		select {
		case err := <-done:
			done <- err
			t.Fatalf("sluice dev ended: %v", err)
		case <-time.After(5 * time.Millisecond):
			if text := out.String(); strings.HasSuffix(text, "\n\n") {
				return text
			}
		}
	}
}

var (
	keyLine  = regexp.MustCompile(`(?m)^  KEY=(\S+)$`)
	curlLine = regexp.MustCompile(`(?m)^  curl -s -H "Authorization: Bearer \$KEY" (\S+) \\\n    -d '([^']*)'; echo$`)
)

var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}

func post(t *testing.T, url, key, body string) (int, map[string]any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	// What curl -d sends.
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Authorization", "Bearer "+key)
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var reply map[string]any
	if err := json.Unmarshal(raw, &reply); err != nil {
		t.Fatalf("%s answered %d %q", url, resp.StatusCode, raw)
	}
	return resp.StatusCode, reply
}

func TestDevPrintsCommandsThatWork(t *testing.T) {
	base := checkCommands(t, startDev(t, nil))
	if status, _ := post(t, base+"/api/v1/flow", "tg_not-the-key", `{}`); status != http.StatusUnauthorized {
		t.Errorf("a wrong key got %d", status)
	}
	if status, _ := post(t, base+"/api/v1/auth/bootstrap", "", `{}`); status != http.StatusUnauthorized {
		t.Errorf("a second bootstrap got %d", status)
	}
}

// The same over a broker, and a second platform in the same topicspace is refused.
func TestDevOverRabbitMQ(t *testing.T) {
	space := fmt.Sprintf("dev-%x", rand.Uint64())
	overBroker := func(c *Config) {
		c.AMQPURLs, c.Topicspace = []string{brokertest.URL(t)}, space
	}
	checkCommands(t, startDev(t, overBroker))
	c := devConfig()
	overBroker(c)
	c.Port = 0
	var out output
	err := runDev(briefly(t), c, slog.New(slog.DiscardHandler), &out)
	if err == nil || !strings.Contains(err.Error(), "already answers in topicspace "+space) || out.String() != "" {
		t.Errorf("a second platform: %v, printed %q", err, out.String())
	}
}

// checkCommands does what the output says: the printed commands are the product,
// so each is parsed out of it and sent as it stands. It returns the base URL.
func checkCommands(t *testing.T, text string) string {
	t.Helper()
	keys := keyLine.FindAllStringSubmatch(text, -1)
	if len(keys) != 1 || strings.Count(text, keys[0][1]) != 1 {
		t.Fatalf("the key must be printed once:\n%s", text)
	}
	key := keys[0][1]
	commands := curlLine.FindAllStringSubmatch(text, -1)
	if len(commands) != len(examples) {
		t.Fatalf("%d commands for %d examples:\n%s", len(commands), len(examples), text)
	}
	want := map[string]func(map[string]any) bool{
		"text-completion": func(r map[string]any) bool { return r["response"] == "Hello, bus!" && r["end_of_stream"] == true },
		"embeddings":      func(r map[string]any) bool { v, ok := r["vectors"].([]any); return ok && len(v) == 2 },
		"text-load":       func(r map[string]any) bool { return len(r) == 0 },
		"triples":         func(r map[string]any) bool { v, ok := r["response"].([]any); return ok && len(v) == 2 },
		"flow":            func(r map[string]any) bool { v, ok := r["flow-ids"].([]any); return ok && len(v) == 1 },
		"iam":             func(r map[string]any) bool { v, ok := r["users"].([]any); return ok && len(v) == 1 },
	}
	for _, command := range commands {
		url, body := command[1], command[2]
		name := url[strings.LastIndexByte(url, '/')+1:]
		// Loading is asynchronous: the query is repeated until it is through.
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
			status, reply := post(t, url, key, body)
			if status == http.StatusOK && want[name](reply) {
				break
			}
			if name != "triples" || time.Now().After(deadline) {
				t.Fatalf("%s: %d %v", url, status, reply)
			}
		}
	}
	return commands[0][1][:strings.Index(commands[0][1], "/api/")]
}

// Flows come and go over the API, as on a real platform.
func TestDevFollowsFlows(t *testing.T) {
	text := startDev(t, nil)
	key := keyLine.FindStringSubmatch(text)[1]
	url := curlLine.FindStringSubmatch(text)[1]
	base := url[:strings.Index(url, "/api/")]
	if _, reply := post(t, base+"/api/v1/flow", key, `{"operation":"start-flow","flow-id":"second","blueprint-name":"demo"}`); reply["error"] != nil {
		t.Fatalf("start-flow: %v", reply)
	}
	completion := base + "/api/v1/flow/second/service/text-completion"
	until(t, "the new flow answers", func() bool {
		_, reply := post(t, completion, key, `{"system":"","prompt":"x"}`)
		return reply["response"] == "x"
	})
	if _, reply := post(t, base+"/api/v1/flow", key, `{"operation":"stop-flow","flow-id":"second"}`); reply["error"] != nil {
		t.Fatalf("stop-flow: %v", reply)
	}
	until(t, "the flow is gone", func() bool {
		_, reply := post(t, completion, key, `{"system":"","prompt":"x"}`)
		return reply["error"] == "Invalid flow default/second"
	})
}

func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// Two platforms on one bus would share the requests between them.
func TestDevRefusesCompany(t *testing.T) {
	c := devConfig()
	log := slog.New(slog.DiscardHandler)
	g, err := newGateway(c, log, c.devBus(log))
	if err != nil {
		t.Fatal(err)
	}
	defer g.close()
	first, err := startPlatform(t.Context(), g)
	if err != nil {
		t.Fatal(err)
	}
	g.behind = first.close
	if _, err := startPlatform(t.Context(), g); err == nil || !strings.Contains(err.Error(), "already answers in topicspace dev") {
		t.Errorf("a second platform was let in: %v", err)
	}
}

func TestDevWarnsOfOtherMachines(t *testing.T) {
	stopped, stop := context.WithCancel(t.Context())
	stop()
	for listen, warns := range map[string]bool{"127.0.0.1": false, "localhost": false, "::1": false, "": true, "0.0.0.0": true} {
		c := devConfig()
		c.Listen, c.Port = listen, 0
		var logged output
		_ = runDev(stopped, c, newLogger(c, &logged), io.Discard)
		if got := strings.Contains(logged.String(), "other machines"); got != warns {
			t.Errorf("--listen=%s: %s", listen, logged.String())
		}
	}
}

func TestDevReportsATakenPort(t *testing.T) {
	ln, err := listen("127.0.0.1", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, port, _ := strings.Cut(ln.Addr().String(), ":")
	var out, errOut bytes.Buffer
	if code := execute([]string{"dev", "--port", port}, strings.NewReader(""), &out, &errOut); code != exitFailure || out.Len() > 0 {
		t.Errorf("exit %d, output %q, %s", code, out.String(), errOut.String())
	}
}
