package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// deadBroker is an address where nobody listens.
const deadBroker = "amqp://u:hunter2@127.0.0.1:1/"

const testFlows = `
default:
  f:
    interfaces:
      text-completion: {request: "request:tg:a", response: "response:tg:a"}
`

// keyFile makes the key one of a reader.
func keyFile(key string) string {
	return fmt.Sprintf("- {sha256: %x, user: u, workspace: default, roles: [reader]}\n", sha256.Sum256([]byte(key)))
}

var servingLine = regexp.MustCompile(`msg=serving .*address=(\S+)`)

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var body bytes.Buffer
	if _, err := body.ReadFrom(resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, body.String()
}

// The port opens without a broker, says that it is not ready, and refuses and
// accepts credentials that files settle. Secrets never show up in the log.
func TestGatewayServesWithoutABroker(t *testing.T) {
	c, _, err := loadConfig(t, []string{
		"--listen=127.0.0.1", "--port=0", "--metrics-port=0", "--metrics-listen=127.0.0.1", "--log-level=DEBUG",
		"--amqp-url=" + deadBroker, "--flows=" + writeFile(t, "flows.yaml", testFlows), "--no-iam", "--drain-timeout=1s",
		"--api-keys=" + writeFile(t, "keys.yaml", keyFile("tg_key")),
	}, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	var logged output
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- runGateway(ctx, c, newLogger(c, &logged)) }()
	until(t, "serving", func() bool { return servingLine.MatchString(logged.String()) })
	base := "http://" + servingLine.FindStringSubmatch(logged.String())[1]
	if status, _ := get(t, base+"/healthz"); status != http.StatusOK {
		t.Errorf("healthz %d", status)
	}
	if status, body := get(t, base+"/readyz"); status != http.StatusServiceUnavailable || strings.Contains(body, "hunter2") {
		t.Errorf("readyz %d %s", status, body)
	}
	completion := base + "/api/v1/flow/f/service/text-completion"
	if status, reply := post(t, completion, "tg_other", `{}`); status != http.StatusUnauthorized {
		t.Errorf("a key that is not in the file: %d %v", status, reply)
	}
	if status, reply := post(t, completion, "tg_key", `{"system":"","prompt":""}`); status != http.StatusServiceUnavailable {
		t.Errorf("a call without a broker: %d %v", status, reply)
	}
	metrics := "http://" + regexp.MustCompile(`msg="metrics port open" .*address=(\S+)`).FindStringSubmatch(logged.String())[1]
	for _, path := range []string{"/", "/metrics", "/any/path"} {
		if status, body := get(t, metrics+path); status != http.StatusOK || !strings.Contains(body, "\nsluice_") {
			t.Errorf("metrics at %s: %d, %d bytes", path, status, len(body))
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("stopped with %v", err)
	}
	if strings.Contains(logged.String(), "hunter2") {
		t.Errorf("the log shows a password:\n%s", logged.String())
	}
}

func TestExitCodes(t *testing.T) {
	taken, err := listen("127.0.0.1", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, port, _ := strings.Cut(taken.Addr().String(), ":")
	t.Setenv("SLUICE_AMQP_URL", deadBroker)
	for _, row := range []struct {
		args string
		code int
		want string
	}{
		{"", exitOK, ""},
		{"--help", exitOK, ""},
		{"version", exitOK, ""},
		{"version now", exitUsage, "unknown command"},
		{"fly", exitUsage, "unknown command"},
		{"gateway --prot=1", exitUsage, "unknown flag: --prot"},
		{"gateway --port=x", exitUsage, "--port: must be a whole number"},
		{"gateway --port", exitUsage, "needs an argument"},
		{"gateway --pubsub-backend=kafka", exitUsage, "--pubsub-backend: must be one of rabbitmq"},
		{"gateway --config=/does/not/exist", exitUsage, "--config: open /does/not/exist"},
		{"gateway --flows=/does/not/exist", exitUsage, "/does/not/exist"},
		{"gateway --api-keys=/does/not/exist", exitUsage, "/does/not/exist"},
		{"gateway --jwt-public-key=/does/not/exist", exitUsage, "/does/not/exist"},
		{"gateway --no-metrics --listen=127.0.0.1 --port=" + port, exitFailure, "address already in use"},
		{"gateway --listen=127.0.0.1 --port=0 --metrics-listen=127.0.0.1 --metrics-port=" + port, exitFailure, "address already in use"},
		{"dev --flows=x", exitUsage, "unknown flag"},
	} {
		var out, errOut bytes.Buffer
		code := execute(strings.Fields(row.args), strings.NewReader(""), &out, &errOut)
		if code != row.code || !strings.Contains(errOut.String(), row.want) {
			t.Errorf("%q: exit %d, want %d with %q in\n%s", row.args, code, row.code, row.want, errOut.String())
		}
		if code == exitUsage && !strings.Contains(errOut.String(), "--help") {
			t.Errorf("%q: no hint at --help", row.args)
		}
	}
}

// The first signal stops the gateway in good order.
func TestSIGTERMDrains(t *testing.T) {
	t.Setenv("SLUICE_AMQP_URL", deadBroker)
	var out, errOut output
	code := make(chan int, 1)
	go func() {
		code <- execute(strings.Fields("gateway --listen=127.0.0.1 --port=0 --no-metrics --loki-url=x --kafka-bootstrap-servers=y"), strings.NewReader(""), &out, &errOut)
	}()
	until(t, "serving", func() bool { return servingLine.MatchString(errOut.String()) })
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-code:
		if got != exitOK {
			t.Errorf("exit %d", got)
		}
	case <-time.After(2 * time.Minute):
		t.Fatal("still running")
	}
	for _, want := range []string{"msg=draining", "msg=stopped"} {
		if !strings.Contains(errOut.String(), want) {
			t.Errorf("no %s in the log:\n%s", want, errOut.String())
		}
	}
	if n := strings.Count(errOut.String(), "settings without effect"); n != 1 || !strings.Contains(errOut.String(), "loki-url,kafka-bootstrap-servers") {
		t.Errorf("%d warnings about other backends:\n%s", n, errOut.String())
	}
}

// program runs a command line in a process of its own, which this test binary
// becomes in TestMain.
func program(t *testing.T, args string) (cmd *exec.Cmd, errOut *output) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	errOut = &output{}
	cmd = exec.Command(self)
	cmd.Env = append(os.Environ(), "SLUICE_TEST_ARGS="+args)
	cmd.Stderr = errOut
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd, errOut
}

// A request whose body does not end keeps the drain going; the second signal
// does not wait for it.
func TestSecondSignalEndsAtOnce(t *testing.T) {
	keys := writeFile(t, "keys.yaml", keyFile("tg_key"))
	cmd, errOut := program(t, "gateway --listen=127.0.0.1 --port=0 --no-metrics --no-iam --drain-timeout=10m --api-keys="+keys+" --amqp-url="+deadBroker)
	until(t, "serving", func() bool { return servingLine.MatchString(errOut.String()) })
	address := servingLine.FindStringSubmatch(errOut.String())[1]
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /api/v1/flow/f/service/text-completion HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer tg_key\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n")
	if _, err := bufio.NewReader(conn).ReadString('\n'); err != nil { // 100: the handler waits for the body
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	until(t, "draining", func() bool { return strings.Contains(errOut.String(), "msg=draining") })
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != exitFailure || strings.Contains(errOut.String(), "msg=stopped") {
		t.Errorf("exit %d\n%s", code, errOut.String())
	}
}
