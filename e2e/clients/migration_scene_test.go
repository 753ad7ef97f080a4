package clients

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"sluice/bus"
	"sluice/bus/amqp"
	"sluice/bus/amqp/brokertest"
	"sluice/iam/cassandra/nodetest"
)

// operatorToken is the first administrator's API key, for both services.
const operatorToken = "tg_moved-to-and-fro-0123456789abcdef"

// migration is a broker, a keyspace and a gateway that stay while IAM services come
// and go, and what was given out by them.
type migration struct {
	*platform // the gateway that stays

	node     *nodetest.Node
	keyspace string
	broker   string
	services bus.Bus // to play services on

	ids    map[string]string // of users, by a name for each
	keys   map[string]string // API keys in plain text
	keyIDs map[string]string
	logins map[string]login
	tokens map[string]string // JWTs
}

// login is what somebody types.
type login struct{ workspace, username, password string }

// newMigration brings up everything but IAM and the gateway.
func newMigration(t *testing.T) *migration {
	t.Helper()
	m := &migration{
		platform: &platform{space: "tg", admin: operatorToken},
		node:     nodetest.Shared(t), broker: brokertest.Private(t).URL,
		keyspace: fmt.Sprintf("moving_%d", time.Now().UnixNano()),
		ids:      map[string]string{}, keys: map[string]string{"operator": operatorToken}, keyIDs: map[string]string{},
		logins: map[string]login{}, tokens: map[string]string{},
	}
	t.Cleanup(func() { m.dropKeyspace(t) })
	m.playConfig(t)
	return m
}

// dropKeyspace leaves nothing behind on a node that others use.
func (m *migration) dropKeyspace(t *testing.T) {
	t.Helper()
	node := gocql.NewCluster(m.node.Addr)
	node.Timeout, node.ConnectTimeout = time.Minute, time.Minute
	node.Authenticator = gocql.PasswordAuthenticator{Username: m.node.Username, Password: m.node.Password}
	session, err := node.CreateSession()
	if err != nil {
		t.Error(err)
		return
	}
	defer session.Close()
	if err := session.Query("DROP KEYSPACE IF EXISTS " + m.keyspace).Exec(); err != nil {
		t.Error(err)
	}
}

// playConfig is the config service, which the reference tells of new workspaces: it
// knows nothing and agrees to everything.
func (m *migration) playConfig(t *testing.T) {
	t.Helper()
	b, err := amqp.Open(amqp.Config{URLs: []string{m.broker}, Name: "migration", Logger: slog.New(slog.DiscardHandler)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	m.services = b
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := b.Close(ctx); err != nil {
			t.Errorf("closing the services' bus: %v", err)
		}
	})
	eventually(t, "the services are connected", b.Ready)
	reply := []byte(`{"version":1,"values":[],"directory":[],"config":{},"error":null}`)
	to := parseTopic(t, "response:tg:config")
	m.subscribe(t, bus.Consumer{Topic: parseTopic(t, "request:tg:config"), Name: "migration", Handler: func(d *bus.Delivery) {
		_, _ = b.Publish(context.Background(), &bus.Message{To: to, ID: strings.Clone(d.ID), Body: reply})
		d.Ack()
	}})
}

// subscribe consumes until the test ends.
func (m *migration) subscribe(t *testing.T, c bus.Consumer) {
	t.Helper()
	if _, err := m.services.Subscribe(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

func parseTopic(t *testing.T, id string) bus.Topic {
	t.Helper()
	parsed, err := bus.ParseTopic(id)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// askOnBus makes a request to IAM as a deployment's own tools do, past any gateway.
// What is there already is no failure: older releases of the reference seed more. The
// request is put again and again, because the reference loses those that come while
// it subscribes, which may be after it has said that it did.
func (m *migration) askOnBus(t *testing.T, body string) {
	t.Helper()
	answered := make(chan string, 1)
	m.subscribe(t, bus.Consumer{Topic: parseTopic(t, "response:tg:iam"), Handler: func(d *bus.Delivery) {
		if d.ID == "migration" {
			select {
			case answered <- string(d.Body):
			default:
			}
		}
		d.Ack()
	}})
	again := time.NewTicker(2 * time.Second)
	defer again.Stop()
	late := time.After(time.Minute)
	for {
		if _, err := m.services.Publish(t.Context(), &bus.Message{To: parseTopic(t, "request:tg:iam"), ID: "migration", Body: []byte(body)}); err != nil {
			t.Fatal(err)
		}
		select {
		case reply := <-answered:
			if !strings.Contains(reply, `"error": null`) && !strings.Contains(reply, `"duplicate"`) {
				t.Fatalf("%s: %s", body, reply)
			}
			return
		case <-again.C:
		case <-late:
			t.Fatalf("%s: no answer", body)
		}
	}
}

// startGateway starts a gateway that asks whatever IAM is there.
func (m *migration) startGateway(t *testing.T) (*platform, *process) {
	t.Helper()
	g := start(t, "gateway", "--listen", "127.0.0.1", "--port", "0", "--no-metrics", "--amqp-url", m.broker, "--iam", "bus")
	p := &platform{url: g.url(t), admin: m.admin}
	g.awaitReady(t, p.url)
	return p, g
}

// startOwn runs `sluice iam` on the keyspace, with the token of the operator, which
// is of no effect.
func (m *migration) startOwn(t *testing.T) *process {
	t.Helper()
	p := start(t, "iam", "--store", "cassandra", "--no-metrics", "--amqp-url", m.broker,
		"--bootstrap-mode", "token", "--bootstrap-token-file", secretFile(t, operatorToken),
		"--cassandra-host", m.node.Addr, "--cassandra-keyspace", m.keyspace, "--cassandra-tls-ca", m.node.CA,
		"--cassandra-username", m.node.Username, "--cassandra-password-file", secretFile(t, m.node.Password))
	p.secrets = []string{operatorToken}
	return p
}

func secretFile(t *testing.T, secret string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// awaitIAM waits until requests are answered.
func (m *migration) awaitIAM(t *testing.T) {
	t.Helper()
	eventually(t, "IAM answers", func() error {
		status, reply, err := m.call("/api/v1/iam", `{"operation":"get-workspace","workspace_record":{"id":"default"}}`)
		if err != nil || status != http.StatusOK || !strings.Contains(string(reply), `"workspace"`) {
			return fmt.Errorf("%d %s %w", status, reply, err)
		}
		return nil
	})
}
