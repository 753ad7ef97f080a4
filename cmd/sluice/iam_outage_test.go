package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sluice/iam"
	"sluice/iam/cassandra"
	"sluice/iam/cassandra/nodetest"
)

// onCassandra is what a configuration needs to keep its records on a node, in a
// keyspace of its own.
func onCassandra(node *nodetest.Node) []string {
	return []string{
		"--cassandra-host=" + node.Addr, "--cassandra-username=" + node.Username, "--cassandra-password=" + node.Password,
		"--cassandra-tls-ca=" + node.CA, "--cassandra-keyspace=sluice_" + strings.ToLower(rand.Text()),
	}
}

var metricsLine = regexp.MustCompile(`msg="metrics port open" .*address=(\S+)`)

// serveIAM runs `sluice iam` until the test ends, and returns the URL of its metrics
// port.
func serveIAM(t *testing.T, args ...string) string {
	t.Helper()
	c, err := loadService(t, append(args, "--metrics-listen=127.0.0.1", "--metrics-port=0"), nil, "")
	if err != nil {
		t.Fatal(err)
	}
	var logged output
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- runIAM(ctx, c, newLogger(c, &logged)) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("IAM service: %v", err)
		}
		if text := logged.String(); strings.Contains(text, "not closed cleanly") || strings.Contains(text, "tg_") || t.Failed() {
			t.Errorf("logged:\n%s", text)
		}
	})
	until(t, "the metrics port", func() bool { return metricsLine.MatchString(logged.String()) })
	return "http://" + metricsLine.FindStringSubmatch(logged.String())[1]
}

// flakyStore fails a number of times before it works.
type flakyStore struct {
	iam.Store
	faults   []error // what Ready says in turn
	failures []error // what seeding says
}

func (f *flakyStore) Ready(context.Context) error {
	if len(f.faults) == 0 {
		return nil
	}
	err := f.faults[0]
	f.faults = f.faults[1:]
	return err
}

func (f *flakyStore) Name(context.Context) (string, error) { return "cluster/iam", nil }
func (f *flakyStore) Close() error                         { return nil }

func (f *flakyStore) Seed(ctx context.Context, s iam.Seed) error {
	if len(f.failures) > 0 {
		err := f.failures[0]
		f.failures = f.failures[1:]
		return err
	}
	return f.Store.Seed(ctx, s)
}

// TestServiceWaitsForItsStore: whatever is wrong with a store elsewhere, the service
// starts when it is put right, and then seeds.
func TestServiceWaitsForItsStore(t *testing.T) {
	var logged output
	c, err := loadService(t, []string{"--bootstrap-mode=token", "--bootstrap-token=tg_0123456789abcdef", "--store=cassandra"}, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	log := newLogger(c, &logged)
	g, err := newGateway(c, log, c.devBus(log))
	if err != nil {
		t.Fatal(err)
	}
	defer g.close()
	refused := fmt.Errorf("%w: role x at 10.0.0.7", cassandra.ErrLogin)
	store := &flakyStore{Store: iam.NewMemory(), faults: []error{refused, refused}, failures: []error{
		fmt.Errorf("%w: went away", cassandra.ErrUnavailable),
		fmt.Errorf("%w: no MODIFY", cassandra.ErrLogin),
		fmt.Errorf("%w: no such table", cassandra.ErrTables),
	}}
	own := &identity{log: log, store: &openedStore{Store: store, away: store}, settings: c.iamConfig()}
	own.settings.Logger = log
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- own.run(ctx, g) }()
	until(t, "started", own.started.Load)
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if workspaces, err := store.Workspaces(t.Context()); err != nil || len(workspaces) != 1 {
		t.Errorf("not seeded: %v, %v", workspaces, err)
	}
	if n := strings.Count(logged.String(), "role x"); n != 1 {
		t.Errorf("said %d times:\n%s", n, logged.String())
	}
}

// TestWhyNotReady: before the colon there is a reason for everybody.
func TestWhyNotReady(t *testing.T) {
	for want, err := range map[string]error{
		"IAM store unavailable":                                     fmt.Errorf("%w: no hosts", cassandra.ErrUnavailable),
		"IAM store unavailable (Cassandra refuses access)":          fmt.Errorf("%w: not connected: %w: role x", cassandra.ErrUnavailable, cassandra.ErrLogin),
		"IAM store unavailable (Cassandra's tables cannot be used)": fmt.Errorf("%w: keyspace x", cassandra.ErrTables),
	} {
		o := &openedStore{away: &flakyStore{faults: []error{err}}}
		got := o.ready(t.Context())
		if what, _, _ := strings.Cut(got.Error(), ": "); what != want || !errors.Is(got, err) {
			t.Errorf("%v: %v", err, got)
		}
	}
}

// TestStoreComesAndGoes takes Cassandra away from a service that starts and from one
// that serves: it says so, tells callers nothing that is not so, and heals.
func TestStoreComesAndGoes(t *testing.T) {
	node := nodetest.Start(t)
	node.Pause(t)
	const admin = "tg_0123456789abcdef"
	broker := onBroker(t)
	health := serveIAM(t, slices.Concat(broker, onCassandra(node), []string{"--bootstrap-mode=token", "--bootstrap-token=" + admin})...)
	c, _, err := loadConfig(t, append(broker, "--listen=127.0.0.1", "--port=0", "--no-metrics", "--drain-timeout=1s", "--flows="+writeFile(t, "flows.yaml", testFlows)), nil, "")
	if err != nil {
		t.Fatal(err)
	}
	base, _ := serveGateway(t, c)
	checkHealth := func(when string, ready int) {
		t.Helper()
		if status, body := get(t, health+"/healthz"); status != http.StatusOK {
			t.Errorf("%s, /healthz: %d %s", when, status, body)
		}
		until(t, when, func() bool {
			status, body := get(t, health+"/readyz")
			return status == ready && (ready == http.StatusOK) == !strings.Contains(body, "IAM store unavailable") && !strings.Contains(body, "127.0.0.1")
		})
		if _, body := get(t, health+"/metrics"); !strings.Contains(body, "sluice_iam_requests_total") {
			t.Errorf("%s: no metrics", when)
		}
	}
	list := func(key string) int {
		t.Helper()
		status, _ := post(t, base+"/api/v1/iam", key, `{"operation":"list-workspaces"}`)
		return status
	}
	checkHealth("down at the start", http.StatusServiceUnavailable)
	if status := list(admin); status != http.StatusServiceUnavailable {
		t.Errorf("a key while the store is down: %d", status)
	}

	node.Resume(t)
	checkHealth("up", http.StatusOK)
	until(t, "the administrator's key", func() bool { return list(admin) == http.StatusOK })
	_, who := post(t, base+"/api/v1/iam", admin, `{"operation":"whoami"}`)
	user, _ := who["user"].(map[string]any)
	key := func() string {
		t.Helper()
		status, reply := post(t, base+"/api/v1/iam", admin, fmt.Sprintf(`{"operation":"create-api-key","key":{"user_id":%q,"name":"k"}}`, user["id"]))
		text, _ := reply["api_key_plaintext"].(string)
		if status != http.StatusOK || text == "" {
			t.Fatalf("create-api-key: %d %v", status, reply)
		}
		return text
	}
	unseen := key()

	node.Pause(t)
	checkHealth("down in operation", http.StatusServiceUnavailable)
	if status := list(admin); status != http.StatusOK {
		t.Errorf("a key that the gateway knows: %d", status)
	}
	for range 3 {
		if status := list(unseen); status != http.StatusServiceUnavailable {
			t.Errorf("a key that it has not seen: %d", status)
		}
	}
	if status, reply := post(t, base+"/api/v1/auth/login", "", `{"username":"admin","password":"x"}`); status != http.StatusUnauthorized {
		t.Errorf("login: %d %v", status, reply)
	}

	node.Resume(t)
	until(t, "the unseen key", func() bool {
		status := list(unseen)
		if status != http.StatusOK && status != http.StatusServiceUnavailable {
			t.Fatalf("the unseen key: %d", status)
		}
		return status == http.StatusOK
	})
	checkHealth("up again", http.StatusOK)
	key()
}
