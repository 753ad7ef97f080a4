package e2e

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"sluice/bus/amqp/brokertest"
)

// With no broker the gateway starts, says that it is not ready, refuses what it
// cannot do, and heals when the broker comes.
func TestBrokerDownAtStart(t *testing.T) {
	node := brokertest.Private(t)
	node.Ctl(t, "stop_app")
	const space = "tg"
	g := startGateway(t, node.URL, space)
	if status, err := g.get("/healthz"); err != nil || status != http.StatusOK {
		t.Errorf("/healthz: %d, %v", status, err)
	}
	if status, err := g.get("/readyz"); err != nil || status != http.StatusServiceUnavailable {
		t.Errorf("/readyz: %d, %v", status, err)
	}
	// Nobody can say whose key this is.
	r, err := g.post(t.Context(), completionPath, question("x"))
	if err != nil || r.status != http.StatusServiceUnavailable {
		t.Errorf("a call without a broker: %v, %v", r, err)
	}
	node.Ctl(t, "start_app")
	p := startPlatform(t, node.URL, space)
	p.serve(t, p.topic("request", "text-completion", "demo"), p.topic("response", "text-completion", "demo"), echo)
	p.putFlow(t, adminWorkspace, "demo", p.record("demo"))
	g.awaitReady(t)
	eventually(t, "a call succeeds", func() error { return g.try("healed", time.Minute) })
}

// try makes one call, waits for it so long, and returns why it has failed.
func (g *gateway) try(marker string, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return g.tryIn(ctx, marker)
}

func (g *gateway) tryIn(ctx context.Context, marker string) error {
	r, err := g.post(ctx, completionPath, question(marker))
	if err != nil {
		return err
	}
	got, err := answerOf(r)
	if err == nil && got != marker {
		err = fmt.Errorf("asked for %q and got %q", marker, got)
	}
	return err
}

// SIGTERM: no new calls, the running ones finish, the process ends by itself.
func TestRunningCallsFinishAfterSIGTERM(t *testing.T) {
	const calls = 16
	release := make(chan struct{})
	var inService atomic.Int64
	p := startPlatform(t, brokertest.URL(t))
	p.define(adminWorkspace, "demo", p.record("demo"))
	// As many consumers as calls, because a handler serves one at a time.
	for range calls {
		p.serve(t, p.topic("request", "text-completion", "demo"), p.topic("response", "text-completion", "demo"),
			func(id string, body []byte) ([]message, bool) {
				inService.Add(1)
				<-release
				return echo(id, body)
			}, 1)
	}
	var once sync.Once
	open := func() { once.Do(func() { close(release) }) }
	t.Cleanup(open)
	g := startGateway(t, brokertest.URL(t), p.space)
	g.awaitReady(t)
	var callers sync.WaitGroup
	for i := range calls {
		callers.Go(func() {
			if err := g.try(fmt.Sprintf("call %d", i), time.Minute); err != nil {
				t.Errorf("call %d: %v", i, err)
			}
		})
	}
	eventually(t, "all calls are with the service", func() error {
		if n := inService.Load(); n < calls {
			return fmt.Errorf("%d of %d", n, calls)
		}
		return nil
	})
	if err := g.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	eventually(t, "new connections are refused", func() error {
		c, err := net.Dial("tcp", strings.TrimPrefix(g.url, "http://"))
		if err != nil {
			return nil
		}
		c.Close()
		return fmt.Errorf("connected")
	})
	open()
	callers.Wait()
	eventually(t, "the process has ended", func() error {
		select {
		case <-g.ended:
			return nil
		default:
			return fmt.Errorf("it runs")
		}
	})
}
