package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// apiKey is the credential that the tests' IAM service knows as an admin's.
const apiKey = "tg_e2e-admin-key-0123456789"

// gateway is a running `sluice gateway`.
type gateway struct {
	url     string
	metrics string
	client  *http.Client
	cmd     *exec.Cmd
	log     lockedBuffer
	ended   chan struct{}
	err     error // of the process, once ended is closed
}

// startGateway runs the binary against a broker. It does not wait for anything
// but the open port; args are added to the command line.
func startGateway(t *testing.T, broker, topicspace string, args ...string) *gateway {
	t.Helper()
	g := &gateway{
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}, Timeout: 2 * time.Minute},
		ended:  make(chan struct{}),
	}
	g.cmd = exec.Command(binary, append([]string{
		"gateway", "--listen", "127.0.0.1", "--port", "0", "--metrics-listen", "127.0.0.1", "--metrics-port", "0",
		"--amqp-url", broker, "--topicspace", topicspace,
	}, args...)...)
	g.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "GORACE=halt_on_error=0"}
	g.cmd.Stdout, g.cmd.Stderr = &g.log, &g.log
	if err := g.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		g.err = g.cmd.Wait()
		close(g.ended)
	}()
	t.Cleanup(func() { g.stop(t) })
	eventually(t, "the port is open", func() error {
		select {
		case <-g.ended:
			t.Fatalf("the gateway ended: %v", g.err)
		default:
		}
		serving, metrics := servingLine.FindStringSubmatch(g.log.String()), metricsLine.FindStringSubmatch(g.log.String())
		if serving == nil || metrics == nil {
			return errors.New("it has not said which")
		}
		g.url, g.metrics = "http://"+serving[1], "http://"+metrics[1]+"/metrics"
		_, err := g.get("/healthz")
		return err
	})
	return g
}

// What the gateway logs of its ports, which it chooses itself.
var (
	servingLine = regexp.MustCompile(`msg=serving .*address=(\S+)\s`)
	metricsLine = regexp.MustCompile(`msg="metrics port open" .*address=(\S+)\s`)
)

// stop ends the process, if it has not ended, and looks at what it said.
func (g *gateway) stop(t *testing.T) {
	t.Helper()
	_ = g.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-g.ended:
	case <-time.After(time.Minute):
		_ = g.cmd.Process.Signal(syscall.SIGQUIT)
		<-g.ended
		t.Error("the gateway did not end within a minute of SIGTERM")
	}
	g.client.CloseIdleConnections()
	if g.err != nil {
		t.Errorf("the gateway ended with %v", g.err)
	}
	for _, bad := range []string{"DATA RACE", "panic", "goroutine "} {
		if strings.Contains(g.log.String(), bad) {
			t.Errorf("the gateway's log contains %q", bad)
		}
	}
	if strings.Contains(g.log.String(), apiKey) {
		t.Error("the gateway's log contains the API key")
	}
	if t.Failed() {
		t.Logf("the gateway's log:\n%s", tail(g.log.String(), 20_000))
	}
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

// awaitReady waits until /readyz says so.
func (g *gateway) awaitReady(t *testing.T) {
	t.Helper()
	eventually(t, "the gateway is ready", func() error {
		status, err := g.get("/readyz")
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("/readyz: %d", status)
		}
		return err
	})
}

func (g *gateway) get(path string) (status int, err error) {
	res, err := g.client.Get(g.url + path)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return res.StatusCode, err
}

// reply is an HTTP response, read whole.
type reply struct {
	status int
	body   []byte
}

// post sends a request as the admin.
func (g *gateway) post(ctx context.Context, path string, body []byte) (reply, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.url+path, bytes.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	req.Header.Set("Authorization", "Bearer "+apiKey)
	req.Header.Set("Content-Type", "application/json")
	res, err := g.client.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return reply{status: res.StatusCode, body: text}, err
}

// failed reports whether a reply is anything but a success.
func (r reply) failed() bool {
	return r.status != http.StatusOK || bytes.HasPrefix(r.body, []byte(`{"error"`))
}

func (r reply) String() string { return strconv.Itoa(r.status) + " " + string(r.body) }

// metric is one of the gateway's metrics: a series by its whole name, or the sum
// over the labels.
func (g *gateway) metric(t *testing.T, name string) float64 {
	t.Helper()
	res, err := g.client.Get(g.metrics)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	sum, found := 0.0, false
	for line := range strings.Lines(string(text)) {
		space := strings.LastIndexByte(strings.TrimSpace(line), ' ')
		if space < 0 {
			continue
		}
		series, value := line[:space], strings.TrimSpace(line[space:])
		if base, _, _ := strings.Cut(series, "{"); series != name && base != name {
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			t.Fatalf("metric %s: %v", name, err)
		}
		sum, found = sum+v, true
	}
	if !found {
		t.Errorf("the gateway has no metric %s", name)
	}
	return sum
}

// eventually waits for a condition. The bound is there to end tests that have
// failed, not to measure anything.
func eventually(t *testing.T, what string, f func() error) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within a minute: %v", what, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// lockedBuffer is a bytes.Buffer for a process to write to.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
