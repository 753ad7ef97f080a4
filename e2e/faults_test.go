package e2e

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/bus/amqp/brokertest"
)

// healed is the time within which a call must succeed after a fault is over.
const healed = 5 * time.Second

func base64Text(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// scene is where a fault happens.
type scene struct {
	node *brokertest.Node
	p    *platform
	g    *gateway
}

// fault is something that happens to the broker or to the flow "demo".
type fault struct {
	name   string
	happen func(t *testing.T, s *scene)
	// felt says why the fault cannot have been noticed, if so.
	felt func(t *testing.T, s *scene, l *load) error
}

var faults = []fault{
	{"broker restart", restartBroker, feltConnectionLoss},
	{"all connections closed", closeConnections, feltConnectionLoss},
	{"flow stopped and started", restartFlow, func(_ *testing.T, _ *scene, l *load) error {
		if l.calls.count("Flow stopped") == 0 {
			return errors.New("no call was ended by the flow's stop")
		}
		return nil
	}},
	{"exchanges deleted and declared again", replaceExchanges, func(_ *testing.T, _ *scene, l *load) error {
		if l.calls.count("no service is listening") == 0 {
			return errors.New("no call missed the exchange")
		}
		return nil
	}},
}

func restartBroker(t *testing.T, s *scene) {
	s.defineQuietly()
	s.node.Ctl(t, "stop_app")
	s.node.Ctl(t, "start_app")
}

func closeConnections(t *testing.T, s *scene) {
	s.defineQuietly()
	s.node.Ctl(t, "close_all_connections", "--global", "e2e")
}

// defineQuietly makes a change whose notification gets lost with the connection.
func (s *scene) defineQuietly() { s.p.define(adminWorkspace, "quiet", s.p.record("demo")) }

func feltConnectionLoss(t *testing.T, s *scene, _ *load) error {
	eventually(t, "the change that nobody announced is known", func() error {
		r, err := s.g.post(t.Context(), strings.Replace(completionPath, "demo", "quiet", 1), question("quiet"))
		if err == nil {
			_, err = answerOf(r)
		}
		return err
	})
	if n := s.g.metric(t, "sluice_bus_connections_lost_total"); n < 2 {
		return fmt.Errorf("the gateway has lost %v connections", n)
	}
	return nil
}

// restartFlow does what flow-svc does.
func restartFlow(t *testing.T, s *scene) {
	s.p.putFlow(t, adminWorkspace, "demo", strings.Replace(s.p.record("demo"), "{", `{"status":"stopping",`, 1))
	eventually(t, "calls are refused", func() error {
		if err := s.g.try("while stopped", healed); err == nil || !strings.Contains(err.Error(), "Invalid flow") {
			return fmt.Errorf("a call got %w", err)
		}
		return nil
	})
	s.p.putFlow(t, adminWorkspace, "demo", "")
	s.p.putFlow(t, adminWorkspace, "demo", s.p.record("demo"))
}

// replaceExchanges is a flow's restart that is over before anybody has looked.
func replaceExchanges(t *testing.T, s *scene) {
	topics := []string{
		s.p.topic("request", "text-completion", "demo"), s.p.topic("response", "text-completion", "demo"), s.p.topic("flow", "text-load", "demo"),
	}
	for _, id := range topics {
		deleteExchange(t, s.node, mustTopic(t, id).Exchange)
	}
	s.p.refresh(t, topics...)
	s.p.putFlow(t, adminWorkspace, "demo", s.p.record("demo"))
}

// succeedsWithin makes calls, four a second, until one of them succeeds. A call
// whose answer got lost waits for its time-out; that is no reason for the next
// ones not to be made.
func succeedsWithin(t *testing.T, g *gateway, bound time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	var calls sync.WaitGroup
	defer calls.Wait()
	defer cancel()
	outcomes := make(chan error)
	call := func() {
		err := g.tryIn(ctx, "after the fault")
		select {
		case outcomes <- err:
		case <-ctx.Done():
		}
	}
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	calls.Go(call)
	for last := errors.New("none has ended"); ; {
		select {
		case last = <-outcomes:
			if last == nil {
				return
			}
		case <-tick.C:
			calls.Go(call)
		case <-ctx.Done():
			t.Fatalf("no call has succeeded within %v, the last that ended: %v", bound, last)
		}
	}
}

// After each fault a call succeeds within five seconds, every call has ended, and
// the books balance.
func TestFaultsUnderLoad(t *testing.T) {
	node := brokertest.Private(t)
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) { f.run(t, node) })
	}
}

func (f fault) run(t *testing.T, node *brokertest.Node) {
	s := &scene{node: node, p: startPlatform(t, node.URL)}
	for _, flow := range []string{"demo", "other"} {
		s.p.define(adminWorkspace, flow, s.p.record(flow))
	}
	s.g = startGateway(t, node.URL, s.p.space, "--part-timeout", part.String())
	s.g.awaitReady(t)
	l := startLoad(t, s.p, s.g)
	f.happen(t, s)
	succeedsWithin(t, s.g, healed)
	l.awaitProgress(t)
	l.finish(t)
	if err := f.felt(t, s, l); err != nil {
		t.Error(err)
	}
}

// Nobody says that the exchange of the answers was replaced: the first call that
// times out finds out.
func TestResponseExchangeReplacedWithoutNotice(t *testing.T) {
	node := brokertest.Private(t)
	p, g := demoGateway(t, node.URL, echo, "--part-timeout", "1s")
	mustAnswer(t, g, "before")
	response := p.topic("response", "text-completion", "demo")
	deleteExchange(t, node, mustTopic(t, response).Exchange)
	p.refresh(t, response)
	succeedsWithin(t, g, time.Second+healed)
}
