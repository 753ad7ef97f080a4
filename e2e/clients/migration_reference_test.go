package clients

import (
	"net"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// reference is TrustGraph's own IAM service in a process of its own.
type reference struct {
	cmd   *exec.Cmd
	log   lockedBuffer
	ended chan struct{}
	once  sync.Once
}

// startReference runs it on the keyspace until the test ends, or stop is called, and
// returns when it takes requests. mode is a bootstrap mode and what belongs to it.
func (m *migration) startReference(t *testing.T, mode ...string) *reference {
	t.Helper()
	r := &reference{ended: make(chan struct{})}
	r.cmd = exec.Command(client(t, "SLUICE_TEST_PYTHON"), m.referenceArgs(t, mode)...)
	host, port, err := net.SplitHostPort(m.node.Addr)
	if err != nil {
		t.Fatal(err)
	}
	// The keyspace has a flag too, which is ignored (iam.md section 2).
	r.cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "PYTHONDONTWRITEBYTECODE=1",
		"CASSANDRA_HOST=" + host, "CASSANDRA_PORT=" + port, "CASSANDRA_KEYSPACE=" + m.keyspace,
		"CASSANDRA_USERNAME=" + m.node.Username, "CASSANDRA_PASSWORD=" + m.node.Password,
	}
	r.cmd.Stdout, r.cmd.Stderr = &r.log, &r.log
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = r.cmd.Wait() // it dies of its signal
		close(r.ended)
	}()
	t.Cleanup(func() { r.end(t) })
	r.await(t, "Successfully subscribed")
	return r
}

func (m *migration) referenceArgs(t *testing.T, mode []string) []string {
	t.Helper()
	broker, err := url.Parse(m.broker)
	if err != nil {
		t.Fatal(err)
	}
	password, _ := broker.User.Password()
	return append([]string{
		"migration_reference.py", "--pubsub-backend", "rabbitmq", "--rabbitmq-host", broker.Hostname(), "--rabbitmq-port", broker.Port(),
		"--rabbitmq-username", broker.User.Username(), "--rabbitmq-password", password,
		"--rabbitmq-vhost", strings.TrimPrefix(broker.Path, "/"),
		"--no-metrics", "--no-loki-enabled",
		"--bootstrap-mode",
	}, mode...)
}

// await waits until it has said something.
func (r *reference) await(t *testing.T, what string) {
	t.Helper()
	eventually(t, "the reference says "+strconv.Quote(what), func() error {
		select {
		case <-r.ended:
			t.Fatalf("the reference ended:\n%s", r.log.String())
		default:
		}
		if !strings.Contains(r.log.String(), what) {
			return os.ErrNotExist
		}
		return nil
	})
}

// end ends it, and shows what it said if the test has failed. Once is enough.
func (r *reference) end(t *testing.T) {
	t.Helper()
	r.once.Do(func() {
		_ = r.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-r.ended:
		case <-time.After(10 * time.Second):
			_ = r.cmd.Process.Kill()
			<-r.ended
		}
		if log := r.log.String(); t.Failed() {
			t.Logf("the log of the reference:\n%s", log[max(0, len(log)-20_000):])
		}
	})
}
