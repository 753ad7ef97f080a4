package clients

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sluice/bus/amqp/brokertest"
)

// platform is what a client needs: services on RabbitMQ, played by `sluice dev`,
// and in front of them a `sluice gateway` in a process of its own, which can be
// restarted without the services forgetting anything.
type platform struct {
	url     string // of the gateway, as in http://127.0.0.1:1
	space   string // of topics
	gateway *process

	// Credentials of users: an administrator, and a reader and a writer of
	// workspace default, and a writer of workspace acme.
	admin, reader, writer, stranger string
}

var spaces atomic.Int64

// What `sluice dev` prints.
var (
	keyLine = regexp.MustCompile(`(?m)^\s*KEY=(tg_\S+)$`)
	urlLine = regexp.MustCompile(`(?m)^sluice dev serves (\S+) over`)
)

// startPlatform brings both processes up in a topicspace of the test's own.
func startPlatform(t *testing.T) *platform {
	t.Helper()
	p := &platform{space: fmt.Sprintf("clients%d-%d", time.Now().UnixNano(), spaces.Add(1))}
	p.startServices(t, "--amqp-url", brokertest.URL(t), "--topicspace", p.space)
	p.startGateway(t, "0")
	p.makeUsers(t)
	p.gateway.secrets = p.secrets()
	return p
}

// startEmbedded is a platform in one process, whose bus is in memory.
func startEmbedded(t *testing.T) *platform {
	t.Helper()
	p := &platform{}
	p.startServices(t)
	p.makeUsers(t)
	return p
}

// startServices runs `sluice dev` and reads where it serves and the
// administrator's key.
func (p *platform) startServices(t *testing.T, args ...string) {
	t.Helper()
	dev := start(t, append([]string{"dev", "--port", "0"}, args...)...)
	dev.eventually(t, "says where it serves", func() error {
		said := dev.log.String()
		url, key := urlLine.FindStringSubmatch(said), keyLine.FindStringSubmatch(said)
		if url == nil || key == nil {
			return fmt.Errorf("it says %q", said)
		}
		p.url, p.admin = url[1], key[1]
		return nil
	})
}

// makeUsers asks IAM for the users and their keys.
func (p *platform) makeUsers(t *testing.T) {
	t.Helper()
	p.iam(t, `{"operation":"create-workspace","workspace_record":{"id":"acme","name":"Acme"}}`, nil)
	p.reader = p.user(t, "default", "reader")
	p.writer = p.user(t, "default", "writer")
	p.stranger = p.user(t, "acme", "writer")
}

func (p *platform) secrets() []string { return []string{p.admin, p.reader, p.writer, p.stranger} }

// startGateway starts the gateway on a port.
func (p *platform) startGateway(t *testing.T, port string) {
	t.Helper()
	p.gateway = start(t, "gateway", "--listen", "127.0.0.1", "--port", port, "--no-metrics",
		"--amqp-url", brokertest.URL(t), "--topicspace", p.space)
	if p.reader != "" {
		p.gateway.secrets = p.secrets()
	}
	p.url = p.gateway.url(t)
	p.gateway.awaitReady(t, p.url)
}

// user makes a user with one role and returns an API key of theirs.
func (p *platform) user(t *testing.T, workspace, role string) string {
	t.Helper()
	var made struct{ User struct{ ID string } }
	p.iam(t, fmt.Sprintf(`{"operation":"create-user","workspace":%q,"user":{"username":%q,"password":"correct horse","roles":[%q]}}`,
		workspace, role, role), &made)
	var key struct {
		Plaintext string `json:"api_key_plaintext"`
	}
	p.iam(t, fmt.Sprintf(`{"operation":"create-api-key","workspace":%q,"key":{"user_id":%q,"name":"test"}}`, workspace, made.User.ID), &key)
	if key.Plaintext == "" {
		t.Fatalf("no key for the %s of %s", role, workspace)
	}
	return key.Plaintext
}

// iam makes a request to the IAM service.
func (p *platform) iam(t *testing.T, body string, reply any) {
	t.Helper()
	p.post(t, "/api/v1/iam", body, reply)
}

// post makes a request that has to succeed.
func (p *platform) post(t *testing.T, path, body string, reply any) {
	t.Helper()
	status, text, err := p.call(path, body)
	if err != nil || status != http.StatusOK || bytes.HasPrefix(text, []byte(`{"error"`)) {
		t.Fatalf("%s: %d %s %v", path, status, text, err)
	}
	if reply == nil {
		return
	}
	if err := json.Unmarshal(text, reply); err != nil {
		t.Fatal(err)
	}
}

// call makes a request as the administrator.
func (p *platform) call(path, body string) (status int, reply []byte, err error) {
	req, err := http.NewRequest(http.MethodPost, p.url+path, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Authorization", "Bearer "+p.admin)
	req.Close = true // nothing is left over when the test ends
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	reply, err = io.ReadAll(res.Body)
	return res.StatusCode, reply, err
}

// python runs a script of this directory, or one class of it, against the platform.
// What the script needs to know is in its environment.
func (p *platform) python(t *testing.T, script string, env ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), client(t, "SLUICE_TEST_PYTHON"), "-m", "unittest", "--verbose", script)
	cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "PYTHONDONTWRITEBYTECODE=1",
		"GATEWAY=" + p.url, "ADMIN=" + p.admin, "READER=" + p.reader, "WRITER=" + p.writer, "STRANGER=" + p.stranger,
	}, env...)
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	t.Logf("%s:\n%s", script, out)
}
