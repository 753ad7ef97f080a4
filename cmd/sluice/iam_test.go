package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sluice/bus/amqp/brokertest"
	"sluice/iam"
)

// run executes a command line and returns its exit code and what it printed.
func run(args ...string) (code int, out, errOut string) {
	var stdout, stderr bytes.Buffer
	code = execute(args, strings.NewReader(""), &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

// TestWrongArgumentsEndTheProcess is defect D20: the reference tries again for
// ever.
func TestWrongArgumentsEndTheProcess(t *testing.T) {
	t.Setenv("SLUICE_AMQP_URL", deadBroker)
	t.Setenv("SLUICE_IAM_STORE", filepath.Join(t.TempDir(), "iam.db"))
	for _, row := range []struct {
		args string
		code int
		want string
	}{
		{"iam --help", exitOK, ""},
		{"iam", exitUsage, "iam-svc: --bootstrap-mode is required.  Set to 'token' (with --bootstrap-token) for production, or 'bootstrap' to enable the explicit bootstrap operation over the pub/sub bus (dev / quick-start only, not safe under public exposure).  Refusing to start.\n"},
		{"iam --bootstrap-mode=maybe", exitUsage, "--bootstrap-mode: must be one of token, bootstrap"},
		{"iam --bootstrap-mode=token", exitUsage, "iam-svc: --bootstrap-mode=token requires --bootstrap-token.  Refusing to start.\n"},
		{"iam --bootstrap-mode=token --bootstrap-token=", exitUsage, "iam-svc: --bootstrap-mode=token requires --bootstrap-token.  Refusing to start.\n"},
		{"iam --bootstrap-mode=bootstrap --bootstrap-token=tg_0123456789abcdef", exitUsage, "iam-svc: --bootstrap-token is not accepted when --bootstrap-mode=bootstrap.  Ambiguous intent.  Refusing to start.\n"},
		{"iam --bootstrap-mode=token --bootstrap-token=hunter2", exitUsage, `the bootstrap token must start with "tg_"`},
		{"iam --bootstrap-mode=token --bootstrap-token=tg_x --bootstrap-token-file=/x", exitUsage, "exclude each other"},
		{"iam --bootstrap-mode=bootstrap --store=", exitUsage, "must be a file, \"cassandra\" or"},
		{"iam --bootstrap-mode=bootstrap --store-key=hunter2", exitUsage, "must be 32 bytes as hexadecimal or base64"},
		{"iam --bootstrap-mode=bootstrap --iam-request-queue=flow:tg:x", exitUsage, "must be a request topic"},
		{"iam --bootstrap-mode=bootstrap --store=" + t.TempDir(), exitFailure, "not a usable IAM store"},
		{"iam --bootstrap-mode=bootstrap --cassandra-host=x", exitUsage, "--cassandra-host is only for --store=cassandra, and the store is"},
		{"iam --bootstrap-mode=bootstrap --store=cassandra --cassandra-password=hunter2", exitUsage, "belong together"},
		{"iam --bootstrap-mode=bootstrap --store=cassandra --cassandra-tls=perhaps", exitUsage, "--cassandra-tls: must be one of auto, on, off, unverified"},
		{"gateway --iam embedded --cassandra-host=x --iam-store=iam.db", exitUsage, "--cassandra-host is only for --iam-store=cassandra"},
		{"gateway --iam embedded --iam-store=cassandra", exitUsage, "--iam-store=cassandra needs --bootstrap-token"},
		{"iam backup --store=cassandra --to=x", exitUsage, "nodetool snapshot"},
		{"iam export --store=cassandra --cassandra-keyspace=no;thing", exitUsage, "keyspace"},
		{"iam now", exitUsage, "unknown command"},
		{"gateway --iam=maybe", exitUsage, "--iam: must be bus, embedded or none"},
		{"gateway --iam embedded --bootstrap-mode=bootstrap", exitUsage, "it needs --listen=127.0.0.1, or --allow-remote-bootstrap"},
		{"gateway --iam embedded --bootstrap-token=short", exitUsage, "the bootstrap token must start with"},
		{"gateway --iam embedded --iam-store=memory", exitUsage, "needs --bootstrap-token"},
		{"gateway --iam embedded --iam-store=" + t.TempDir(), exitFailure, "not a usable IAM store"},
		{"iam export --store=memory", exitUsage, "--store must be a file or cassandra"},
		{"iam export", exitFailure, "there is no such store"},
		{"iam backup --store=" + t.TempDir(), exitUsage, "--to is missing"},
	} {
		code, _, errOut := run(strings.Fields(row.args)...)
		if code != row.code || !strings.Contains(errOut, row.want) || strings.Contains(errOut, "hunter2") {
			t.Errorf("%q: exit %d, want %d with %q in\n%s", row.args, code, row.code, row.want, errOut)
		}
	}
}

func TestWhoIsAskedAboutIdentities(t *testing.T) {
	keys := "--api-keys=" + writeFile(t, "keys.yaml", keyFile("tg_key"))
	for _, row := range []struct {
		args []string
		env  string
		yaml string
		want string
	}{
		{nil, "", "", iamBus},
		{[]string{"--iam", "embedded"}, "none", "", iamEmbedded},
		{[]string{"--iam=bus"}, "none", "", iamBus},
		{[]string{"--iam=true"}, "", "", iamBus},
		{[]string{keys, "--iam=false"}, "", "", iamNone},
		{[]string{keys, "--no-iam"}, "", "", iamNone},
		{[]string{"--no-iam=false"}, "", "iam: none", iamBus},
		{[]string{keys}, "false", "", iamNone},
		{[]string{keys}, "", "iam: no\n", iamNone},
		{nil, "", "iam: embedded\n", iamEmbedded},
	} {
		c, _, err := loadConfig(t, row.args, map[string]string{"SLUICE_IAM": row.env}, row.yaml)
		if err != nil || c.IAM != row.want {
			t.Errorf("%v, %q, %q: %+v, %v", row.args, row.env, row.yaml, c, err)
		}
	}
}

// embedded is the configuration of a gateway with an IAM service of its own.
func embedded(t *testing.T, more ...string) *Config {
	t.Helper()
	args := append([]string{
		"--iam", "embedded", "--iam-store=" + filepath.Join(t.TempDir(), "iam.db"), "--listen=127.0.0.1", "--port=0",
		"--no-metrics", "--drain-timeout=1s", "--flows=" + writeFile(t, "flows.yaml", testFlows),
	}, more...)
	c, _, err := loadConfig(t, args, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTokenFile(t *testing.T) {
	c := embedded(t)
	path := c.Service.Store + ".token"
	var logged output
	open := func() error {
		i, err := openIdentity(c, newLogger(c, &logged), true)
		if err != nil {
			return err
		}
		return i.store.Close()
	}
	if err := open(); err != nil {
		t.Fatal(err)
	}
	first, err := os.ReadFile(path)
	if info, statErr := os.Stat(path); err != nil || statErr != nil || info.Mode().Perm() != 0o600 || !strings.HasPrefix(string(first), "tg_") {
		t.Fatalf("token file %v, %v, %d bytes", info, err, len(first))
	}
	if !strings.Contains(logged.String(), path) || strings.Contains(logged.String(), strings.TrimSpace(string(first))) {
		t.Errorf("logged:\n%s", logged.String())
	}
	if err := open(); err != nil {
		t.Fatal(err)
	}
	if second, err := os.ReadFile(path); err != nil || !bytes.Equal(first, second) {
		t.Errorf("not used again: %v", err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := open(); err == nil || !strings.Contains(err.Error(), "0644") {
		t.Errorf("a token that others can read: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	store, err := openStore(c, slog.New(slog.DiscardHandler), true)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.CreateWorkspace(t.Context(), iam.Workspace{ID: "w"}); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if err := open(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("a token was written for a store that has begun")
	}
}

// begun opens the store that c names, with an administrator in it.
func begun(t *testing.T, c *Config) *identity {
	t.Helper()
	i, err := openIdentity(c, slog.New(slog.DiscardHandler), true)
	if err != nil {
		t.Fatal(err)
	}
	service, err := iam.New(i.store, i.settings)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := service.Bootstrap(t.Context()); err != nil {
		t.Fatal(err)
	}
	return i
}

func TestMoveRecords(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	c := embedded(t)
	c.Service.Store = in("a.db")
	i := begun(t, c)
	copies := serveCopies(i.store.file, i.path, slog.New(slog.DiscardHandler))
	check := func(wanted int, args ...string) string {
		t.Helper()
		code, out, errOut := run(args...)
		if code != wanted {
			t.Fatalf("%v: exit %d\n%s", args, code, errOut)
		}
		return out + errOut
	}
	if text := check(exitFailure, "iam", "export", "--store", in("a.db")); !strings.Contains(text, "in use by another process") {
		t.Error(text)
	}
	check(exitOK, "iam", "backup", "--store", in("a.db"), "--to", in("live.db"))
	copies.Close()
	if err := i.store.Close(); err != nil {
		t.Fatal(err)
	}
	check(exitOK, "iam", "backup", "--store", in("a.db"), "--to", in("copy.db"))
	check(exitFailure, "iam", "backup", "--store", in("a.db"), "--to", in("copy.db"))
	check(exitFailure, "iam", "backup", "--store", in("none.db"), "--to", in("x.db"))
	records := check(exitOK, "iam", "export", "--store", in("a.db"))
	if !strings.Contains(records, `"type":"workspace","id":"default"`) || !strings.HasSuffix(records, "exported 4 records\n") {
		t.Error(records)
	}
	for _, name := range []string{"live.db", "copy.db"} {
		if got := check(exitOK, "iam", "export", "--store", in(name)); got != records {
			t.Errorf("%s holds\n%s", name, got)
		}
		if info, err := os.Stat(in(name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}

	secret := make([]byte, 32)
	rand.Read(secret)
	key := writeFile(t, "key", base64.StdEncoding.EncodeToString(secret)+"\n")
	check(exitOK, "iam", "export", "--store", in("a.db"), "--to", in("a.jsonl"))
	check(exitFailure, "iam", "export", "--store", in("a.db"), "--to", in("a.jsonl"))
	check(exitOK, "iam", "import", "--store", in("b.db"), "--store-key-file", key, "--from", in("a.jsonl"))
	check(exitFailure, "iam", "import", "--store", in("b.db"), "--from", in("a.jsonl"))
	if text := check(exitOK, "iam", "export", "--store", in("b.db")); strings.Contains(text, "PRIVATE KEY") {
		t.Error("the private key is in clear")
	}
	if text := check(exitOK, "iam", "export", "--store", in("b.db"), "--store-key-file", key); text != records {
		t.Errorf("with the key:\n%s", text)
	}
	names, err := filepath.Glob(in("*"))
	if err != nil || len(names) != 6 { // a.db, its token, live.db, copy.db, a.jsonl, b.db
		t.Errorf("files %v, %v", names, err)
	}
}

// TestInterruptedImport: a signal ends an import that waits for its input, and
// nothing of it is stored.
func TestInterruptedImport(t *testing.T) {
	path := filepath.Join(t.TempDir(), "iam.db")
	in, feed := io.Pipe()
	defer in.Close()
	var out, errOut output
	code := make(chan int, 1)
	go func() { code <- execute([]string{"iam", "import", "--store", path}, in, &out, &errOut) }()
	for _, text := range []string{`{"type":"workspace","id":"default","enabled":true}` + "\n", "\n"} {
		if _, err := io.WriteString(feed, text); err != nil { // returns once it is read
			t.Fatal(err)
		}
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if got := <-code; got != exitFailure || !strings.Contains(errOut.String(), "interrupted") {
		t.Errorf("exit %d\n%s", got, errOut.String())
	}
	if got, text, errText := run("iam", "export", "--store", path); got != exitOK || text != "" {
		t.Errorf("exit %d, %s\n%s", got, text, errText)
	}
}

// serveGateway runs a gateway until the test ends or stop is called, and returns
// its URL.
func serveGateway(t *testing.T, c *Config) (base string, stop func()) {
	t.Helper()
	var logged output
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- runGateway(ctx, c, newLogger(c, &logged)) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("gateway: %v", err)
		}
		if text := logged.String(); strings.Contains(text, "not closed cleanly") || strings.Contains(text, "tg_0123") {
			t.Errorf("logged:\n%s", text)
		}
	}
	t.Cleanup(stop)
	until(t, "serving", func() bool { return servingLine.MatchString(logged.String()) })
	base = "http://" + servingLine.FindStringSubmatch(logged.String())[1]
	until(t, "ready", func() bool { status, _ := get(t, base+"/readyz"); return status == http.StatusOK })
	return base, stop
}

// onBroker is what a configuration needs to be alone on the tests' broker.
func onBroker(t *testing.T) []string {
	return []string{"--amqp-url=" + brokertest.URL(t), "--topicspace=" + fmt.Sprintf("iam-%s", rand.Text())}
}

// TestEmbeddedIAM is a gateway with an IAM service of its own over RabbitMQ, from
// the token in the file to a revoked key; what it knows outlives it, and a
// second one on the bus is refused.
func TestEmbeddedIAM(t *testing.T) {
	broker := onBroker(t)
	c := embedded(t, broker...)
	base, stop := serveGateway(t, c)
	token, err := readSecret(c.Service.Store + ".token")
	if err != nil {
		t.Fatal(err)
	}
	ask := func(key, body string) map[string]any {
		t.Helper()
		status, reply := post(t, base+"/api/v1/iam", key, body)
		if status != http.StatusOK || reply["error"] != nil {
			t.Fatalf("%s: %d %v", body, status, reply)
		}
		return reply
	}
	ask(token, `{"operation":"create-workspace","workspace_record":{"id":"acme"}}`)
	ask(token, `{"operation":"create-user","workspace":"acme","user":{"username":"alice","password":"s3cret","roles":["admin"]}}`)
	_, reply := post(t, base+"/api/v1/auth/login", "", `{"username":"alice","password":"s3cret","workspace":"acme"}`)
	jwt, _ := reply["jwt"].(string)
	taken := func() {
		t.Helper()
		until(t, "the signing keys", func() bool {
			status, _ := post(t, base+"/api/v1/iam", jwt, `{"operation":"list-workspaces"}`)
			return status == http.StatusOK
		})
	}
	taken()
	if status, reply := post(t, base+"/api/v1/auth/bootstrap", "", `{}`); status != http.StatusUnauthorized {
		t.Errorf("bootstrap: %d %v", status, reply)
	}

	for name, f := range map[string]func() error{
		"gateway": func() error { return runGateway(briefly(t), embedded(t, broker...), slog.New(slog.DiscardHandler)) },
		"service": func() error { return runIAM(briefly(t), serviceConfig(t, c), slog.New(slog.DiscardHandler)) },
	} {
		if err := f(); err == nil || !strings.Contains(err.Error(), iam.ErrOtherStore.Error()) {
			t.Errorf("a second %s: %v", name, err)
		}
	}

	if code, _, errOut := run("iam", "backup", "--store="+c.Service.Store, "--to="+filepath.Join(t.TempDir(), "copy.db")); code != exitOK {
		t.Errorf("backup: %s", errOut)
	}
	stop()
	base, _ = serveGateway(t, c)
	// The token from before still verifies: the signing key is in the store.
	taken()
	users, err := json.Marshal(ask(token, `{"operation":"list-users","workspace":"acme"}`)["users"])
	if err != nil || !strings.Contains(string(users), `"username":"alice"`) {
		t.Errorf("users %s, %v", users, err)
	}
}

// briefly is for what must refuse to serve, and would otherwise serve for ever.
func briefly(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// serviceConfig is a service of its own on the bus of a gateway.
func serviceConfig(t *testing.T, gateway *Config) *Config {
	c := iamServiceConfig()
	c.AMQPURLs, c.Topicspace, c.Metrics = gateway.AMQPURLs, gateway.Topicspace, false
	c.Service.Store = filepath.Join(t.TempDir(), "iam.db")
	c.Service.BootstrapMode, c.Service.BootstrapToken = string(iam.ModeToken), "tg_0123456789abcdef"
	if err := c.validateService(); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestIAMService is `sluice iam` behind a gateway in another process, as it were.
func TestIAMService(t *testing.T) {
	args := append(onBroker(t), "--listen=127.0.0.1", "--port=0", "--no-metrics", "--drain-timeout=1s", "--flows="+writeFile(t, "flows.yaml", testFlows))
	c, _, err := loadConfig(t, args, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	base, _ := serveGateway(t, c)
	var logged output
	service := serviceConfig(t, c)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- runIAM(ctx, service, newLogger(service, &logged)) }()
	until(t, "an answer", func() bool {
		status, reply := post(t, base+"/api/v1/iam", "tg_0123456789abcdef", `{"operation":"list-users"}`)
		return status == http.StatusOK && reply["users"] != nil
	})
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if text := logged.String(); strings.Contains(text, "tg_0123") || strings.Contains(text, "not closed cleanly") || !strings.Contains(text, "IAM service started") {
		t.Errorf("logged:\n%s", text)
	}
}
