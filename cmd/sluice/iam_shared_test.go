package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sluice/iam"
	"sluice/iam/cassandra/nodetest"
)

// TestGatewaysShareAStore runs two gateways with an IAM service each on one store:
// what one of them makes, the other knows. Whoever has another store, or would
// answer every request a second time, is refused.
func TestGatewaysShareAStore(t *testing.T) {
	broker, node := onBroker(t), nodetest.Shared(t)
	shared := append(onCassandra(node), "--iam-store=cassandra", "--bootstrap-token=tg_0123456789abcdef")
	var bases []string
	for range 2 {
		base, _ := serveGateway(t, embedded(t, slices.Concat(broker, shared)...))
		bases = append(bases, base)
	}
	for i, base := range bases {
		body := fmt.Sprintf(`{"operation":"create-user","workspace":"default","user":{"username":"u%d","password":"p"}}`, i)
		if status, reply := post(t, base+"/api/v1/iam", "tg_0123456789abcdef", body); status != http.StatusOK || reply["user"] == nil {
			t.Fatalf("create-user: %d %v", status, reply)
		}
		login := fmt.Sprintf(`{"username":"u%d","password":"p"}`, i)
		if status, reply := post(t, bases[1-i]+"/api/v1/auth/login", "", login); status != http.StatusOK {
			t.Errorf("login at the other gateway: %d %v", status, reply)
		}
	}

	service := []string{"--store=cassandra", "--no-metrics"}
	sameKeyspace := slices.DeleteFunc(slices.Clone(shared), func(arg string) bool {
		return strings.HasPrefix(arg, "--iam-store") || strings.HasPrefix(arg, "--bootstrap-token")
	})
	for name, row := range map[string]struct {
		args []string
		want error
	}{
		"another keyspace": {slices.Concat(broker, onCassandra(node), service), iam.ErrOtherStore},
		"a file":           {slices.Concat(broker, []string{"--store=" + filepath.Join(t.TempDir(), "iam.db"), "--no-metrics"}), iam.ErrOtherStore},
		"another name":     {slices.Concat(broker, sameKeyspace, service, []string{"--id=iam-2"}), iam.ErrOtherName},
	} {
		c, err := loadService(t, row.args, nil, "")
		if err != nil {
			t.Fatal(err)
		}
		if err := runIAM(briefly(t), c, slog.New(slog.DiscardHandler)); !errors.Is(err, row.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestReplicasStartTogether: none of them is there first, all seed the same empty
// store, and all serve.
func TestReplicasStartTogether(t *testing.T) {
	const admin = "tg_0123456789abcdef"
	broker := onBroker(t)
	args := slices.Concat(broker, onCassandra(nodetest.Shared(t)), []string{"--bootstrap-mode=token", "--bootstrap-token=" + admin})
	var health []string
	for range 3 {
		health = append(health, serveIAM(t, args...))
	}
	for _, base := range health {
		until(t, "ready", func() bool { status, _ := get(t, base+"/readyz"); return status == http.StatusOK })
	}
	c, _, err := loadConfig(t, append(broker, "--listen=127.0.0.1", "--port=0", "--no-metrics", "--drain-timeout=1s", "--flows="+writeFile(t, "flows.yaml", testFlows)), nil, "")
	if err != nil {
		t.Fatal(err)
	}
	base, _ := serveGateway(t, c)
	_, reply := post(t, base+"/api/v1/iam", admin, `{"operation":"list-users","workspace":"default"}`)
	if users, _ := reply["users"].([]any); len(users) != 1 {
		t.Errorf("users %v", reply)
	}
}

// TestReferenceIsNotJoined: a service that answers and says nothing of a shared
// store, as the reference's, is somebody else, even on the same keyspace.
func TestReferenceIsNotJoined(t *testing.T) {
	broker := onBroker(t)
	c, err := loadService(t, slices.Concat(broker, onCassandra(nodetest.Shared(t)), []string{"--no-metrics"}), nil, "")
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	g, err := newGateway(c, log, c.rabbitMQ(log))
	if err != nil {
		t.Fatal(err)
	}
	defer g.close()
	if err := awaitReady(t.Context(), g.bus.Ready); err != nil {
		t.Fatal(err)
	}
	other, err := iam.New(iam.NewMemory(), iam.Config{Mode: iam.ModeBootstrap, TopicSpace: c.Topicspace, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(t.Context(), g.bus); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := other.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	if err := runIAM(briefly(t), c, log); !errors.Is(err, iam.ErrOtherStore) {
		t.Error(err)
	}
}

// TestMoveIntoCassandra takes records from a file to Cassandra and back, with
// private keys encrypted there.
func TestMoveIntoCassandra(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	c := embedded(t, "--iam-store="+in("a.db"))
	i := begun(t, c)
	if err := i.store.Close(); err != nil {
		t.Fatal(err)
	}
	check := func(wanted int, args ...string) string {
		t.Helper()
		code, out, errOut := run(append([]string{"iam"}, args...)...)
		if code != wanted {
			t.Fatalf("%v: exit %d\n%s", args[0], code, errOut)
		}
		lines := strings.SplitAfter(out, "\n")
		slices.Sort(lines)
		return strings.Join(lines, "")
	}
	there := onCassandra(nodetest.Shared(t))
	check(exitFailure, slices.Concat([]string{"export"}, there)...) // of nothing is a mistake
	key := "--store-key-file=" + writeFile(t, "key", hex.EncodeToString(make([]byte, iam.StoreKeyBytes)))
	records := check(exitOK, "export", "--store="+in("a.db"))
	check(exitOK, "export", "--store="+in("a.db"), "--to="+in("a.jsonl"))
	check(exitOK, slices.Concat([]string{"import", key, "--from=" + in("a.jsonl")}, there)...)
	check(exitFailure, slices.Concat([]string{"import", "--from=" + in("a.jsonl")}, there)...)
	if text := check(exitOK, slices.Concat([]string{"export"}, there)...); strings.Contains(text, "PRIVATE KEY") {
		t.Error("the private key is in clear")
	}
	check(exitOK, slices.Concat([]string{"export", key, "--to=" + in("back.jsonl")}, there)...)
	check(exitOK, "import", "--store="+in("b.db"), "--from="+in("back.jsonl"))
	if text := check(exitOK, "export", "--store="+in("b.db")); text != records {
		t.Errorf("there and back:\n%s\nwas\n%s", text, records)
	}
}
