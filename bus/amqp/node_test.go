package amqp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sluice/bus"
	"sluice/bus/amqp/brokertest"
	"sluice/bus/bustest"
)

// TestPrivateNode is what would disturb other tests on a shared broker.
func TestPrivateNode(t *testing.T) {
	t.Parallel()
	node := brokertest.Private(t)
	for _, c := range []struct {
		name string
		run  func(*testing.T, *brokertest.Node)
	}{
		{"constant resources", testConstantResources},
		{"queues as the platform declares them", testQueueArguments},
		{"publishers blocked", testBlocked},
		{"bulk blocked", testBulkBlocked},
		{"bounded queue", testBoundedQueue},
		{"reply queue deleted", testReplyQueueDeleted},
		{"all connections closed", func(t *testing.T, n *brokertest.Node) {
			testDisruption(t, n, func() { n.Ctl(t, "close_all_connections", "--global", "test") })
		}},
		{"broker restarted", func(t *testing.T, n *brokertest.Node) {
			testDisruption(t, n, func() {
				n.Ctl(t, "stop_app")
				n.Ctl(t, "start_app")
			})
		}},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, node) })
	}
}

// census counts what the bus keeps open at the broker.
func census(t *testing.T, n *brokertest.Node) string {
	t.Helper()
	count := func(what string, args ...string) string {
		lines := strings.Fields(n.Ctl(t, append([]string{what, "--no-table-headers"}, args...)...))
		return fmt.Sprint(what, " ", len(lines), "\n")
	}
	return count("list_connections", "pid") + count("list_channels", "pid") + count("list_queues", "-p", "sluice", "pid")
}

func testConstantResources(t *testing.T, n *brokertest.Node) {
	b, s := open(t, Config{URLs: []string{n.URL}, ConsumeConnections: 2}, nil), newSpace(t)
	drain(t, b, s.topic(bus.Request, "0"))
	wire := func(i int) {
		if _, err := b.Subscribe(within(t, time.Minute), bus.Consumer{Topic: s.topic(bus.Response, fmt.Sprint(i))}); err != nil {
			t.Fatal(err)
		}
		send(t, b, bus.Message{To: s.topic(bus.Request, fmt.Sprint(i)), ID: "x"})
	}
	wire(0)
	bulkToMany(t, b, s, 1)
	before := census(t, n)
	if !strings.HasPrefix(before, "list_connections 4\n") { // publish, bulk, 2 consume
		t.Errorf("at the start:\n%s", before)
	}
	for i := range 500 {
		wire(i)
	}
	bulkToMany(t, b, s, 500)
	if after := census(t, n); after != before {
		t.Errorf("with one topic:\n%swith 500 topics:\n%s", before, after)
	}
	bound := 0
	for line := range strings.Lines(n.Ctl(t, "list_bindings", "-p", "sluice", "destination_name", "destination_kind", "source_name")) {
		if f := strings.Fields(line); len(f) == 3 && strings.HasPrefix(f[0], "sluice.replies.") && f[1] == "exchange" && strings.HasPrefix(f[2], string(s)+".response.") {
			bound++
		}
	}
	if bound != 500 {
		t.Errorf("%d of 500 response exchanges are bound to a private exchange", bound)
	}
}

// Whoever declares them otherwise is refused by the broker.
func testQueueArguments(t *testing.T, n *brokertest.Node) {
	b, s := open(t, Config{URLs: []string{n.URL}}, nil), newSpace(t)
	for class := bus.Flow; class <= bus.Notify; class++ {
		topic := s.topic(class, "q")
		drain(t, b, topic)
		if class == bus.Flow {
			send(t, b, bus.Message{To: topic})
		}
	}
	want := map[string]string{
		string(s) + ".flow.q.svc":    "true false false []",
		string(s) + ".request.q.svc": "false false false []",
	}
	private := 0
	for line := range strings.Lines(n.Ctl(t, "list_queues", "-p", "sluice", "--no-table-headers", "name", "durable", "auto_delete", "exclusive", "arguments")) {
		f := strings.Fields(line)
		got := strings.Join(f[1:], " ")
		switch {
		case strings.HasPrefix(f[0], "amq.gen-") && got == "false true true []":
			private++
		case want[f[0]] == got:
			delete(want, f[0])
		case strings.HasPrefix(f[0], string(s)):
			t.Errorf("queue %s is %s", f[0], got)
		}
	}
	if len(want) != 0 || private != 3 { // replies, response, notify
		t.Errorf("%d private queues, missing: %v", private, want)
	}
	exchanges := n.Ctl(t, "list_exchanges", "-p", "sluice", "--no-table-headers", "name", "type", "durable", "auto_delete", "internal", "arguments")
	for class := bus.Flow; class <= bus.Notify; class++ {
		if line := s.topic(class, "q").Exchange + "\tfanout\ttrue\tfalse\tfalse\t[]"; !slices.Contains(strings.Split(exchanges, "\n"), line) {
			t.Errorf("no exchange is %q", line)
		}
	}
}

func testBlocked(t *testing.T, n *brokertest.Node) {
	rec, s := bustest.NewRecorder(), newSpace(t)
	b := open(t, Config{URLs: []string{n.URL}}, rec)
	request, flow := s.topic(bus.Request, "q"), s.topic(bus.Flow, "q")
	seen := drain(t, b, request)
	drain(t, b, flow)
	send(t, b, bus.Message{To: request, ID: "x"})
	send(t, b, bus.Message{To: flow})
	n.Ctl(t, "set_vm_memory_high_watermark", "0.0000001")
	until(t, "publishers are told", func() bool { return errors.Is(b.Ready(), bus.ErrBusy) })
	for _, m := range []bus.Message{{To: request, ID: "y"}, {To: flow}} {
		if _, err := b.Publish(within(t, time.Minute), &m); !errors.Is(err, bus.ErrBusy) {
			t.Errorf("publish to %s: %v", m.To.Class, err)
		}
	}
	// What consumes is not blocked: bindings can still be made.
	if _, err := b.Subscribe(within(t, time.Minute), bus.Consumer{Topic: s.topic(bus.Response, "q")}); err != nil {
		t.Errorf("subscribe: %v", err)
	}
	n.Ctl(t, "set_vm_memory_high_watermark", "0.4")
	until(t, "publishers may go on", func() bool { return b.Ready() == nil })
	send(t, b, bus.Message{To: request, ID: "z"})
	send(t, b, bus.Message{To: flow})
	until(t, "requests arrive", func() bool { return seen.Load() == 2 })
	if len(rec.Lanes()) != 0 || rec.Interruptions() != 0 {
		t.Error("a blocked connection was taken for a lost one")
	}
}

func testReplyQueueDeleted(t *testing.T, n *brokertest.Node) {
	rec, s := bustest.NewRecorder(), newSpace(t)
	b := open(t, Config{URLs: []string{n.URL}}, rec)
	topic := s.topic(bus.Response, "r")
	if _, err := b.Subscribe(within(t, time.Minute), bus.Consumer{Topic: topic}); err != nil {
		t.Fatal(err)
	}
	n.Ctl(t, "delete_queue", "-p", "sluice", b.consumers[0].session.Load().queue)
	until(t, "the loss is reported", func() bool { return rec.Interruptions() == 1 })
	until(t, "the bus is ready again", func() bool { return b.Ready() == nil })
	send(t, b, bus.Message{To: topic, ID: "after"})
	until(t, "replies arrive", func() bool { return len(rec.Bodies("after")) == 1 })
}

// testDisruption has calls and work in flight while disrupt runs: all of them end
// one way or the other, and everything works again afterwards.
func testDisruption(t *testing.T, n *brokertest.Node, disrupt func()) {
	rec, s := bustest.NewRecorder(), newSpace(t)
	b := open(t, Config{URLs: []string{n.URL}}, rec)
	requests, replies, flow := s.topic(bus.Request, "q"), s.topic(bus.Response, "r"), s.topic(bus.Flow, "w")
	serve(t, b, requests, replies)
	worked := drain(t, b, flow)
	if _, err := b.Subscribe(within(t, time.Minute), bus.Consumer{Topic: replies}); err != nil {
		t.Fatal(err)
	}
	stop, done := make(chan struct{}), make(chan struct{})
	var confirmed atomic.Int64
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			m := bus.Message{To: requests, ReplyTo: replies, ID: fmt.Sprint("call", i)}
			_, _ = b.Publish(within(t, time.Minute), &m)
			m = bus.Message{To: flow}
			if _, err := b.Publish(within(t, time.Minute), &m); err == nil {
				confirmed.Add(1)
			}
		}
	}()
	until(t, "traffic flows", func() bool { return worked.Load() > 10 })
	disrupt()
	until(t, "the loss is reported", func() bool { return rec.Interruptions() > 0 && len(rec.Lanes()) > 0 })
	until(t, "the bus is ready again", func() bool { return b.Ready() == nil })
	close(stop)
	<-done
	attempt := 0
	until(t, "a call succeeds", func() bool {
		id := fmt.Sprint("after", attempt/200)
		m := bus.Message{To: requests, ReplyTo: replies, ID: id}
		if attempt%200 == 0 {
			_, _ = b.Publish(within(t, time.Minute), &m)
		}
		attempt++
		return len(rec.Bodies(id)) > 0
	})
	// Delivery is at least once: nothing confirmed is missing.
	until(t, "all confirmed work arrives", func() bool { return worked.Load() >= confirmed.Load() })
}

// serve answers each request with an empty body.
func serve(t testing.TB, b *Bus, requests, replies bus.Topic) {
	t.Helper()
	s, err := b.Subscribe(within(t, time.Minute), bus.Consumer{Topic: requests, Name: "echo", Handler: func(d *bus.Delivery) {
		m := bus.Message{To: replies, ID: d.ID}
		if _, err := b.Publish(context.Background(), &m); err != nil {
			d.Requeue()
			return
		}
		d.Ack()
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close(context.Background()) })
}
