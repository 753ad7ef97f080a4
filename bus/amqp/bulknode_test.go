package amqp

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"sluice/bus"
	"sluice/bus/amqp/brokertest"
)

// testBulkBlocked is a case of TestPrivateNode: importers wait, nothing is lost.
func testBulkBlocked(t *testing.T, n *brokertest.Node) {
	s, o := newSpace(t), newOutcomes()
	b := open(t, Config{URLs: []string{n.URL}}, nil)
	m := bus.Message{To: s.topic(bus.Flow, "q"), Body: []byte("{}")}
	seen := drain(t, b, m.To)
	n.Ctl(t, "set_vm_memory_high_watermark", "0.0000001")
	taken := fill(t, b, m, o)
	waited := make(chan error, 1)
	go func() { waited <- b.PublishAsync(within(t, time.Minute), &m, o, taken) }()
	n.Ctl(t, "set_vm_memory_high_watermark", "0.4")
	if err := <-waited; err != nil {
		t.Errorf("who waited: %v", err)
	}
	for i := range taken + 1 {
		if err := o.of(t, i); err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
	}
	until(t, "all arrived", func() bool { return seen.Load() == int64(taken)+1 })
}

// testBoundedQueue is a case of TestPrivateNode.
func testBoundedQueue(t *testing.T, n *brokertest.Node) {
	b, s := open(t, Config{URLs: []string{n.URL}}, nil), newSpace(t)
	for _, name := range []string{"", "shared"} {
		c := bus.Consumer{Topic: s.topic(bus.Flow, "q"), Name: name, MaxBytes: 123456, Handler: func(d *bus.Delivery) { d.Ack() }}
		if _, err := b.Subscribe(within(t, time.Minute), c); err != nil {
			t.Fatal(err)
		}
	}
	list := n.Ctl(t, "list_queues", "-p", "sluice", "--no-table-headers", "name", "arguments")
	bounded := 0
	for line := range strings.Lines(list) {
		if !strings.Contains(line, "123456") {
			continue
		}
		bounded++
		if !strings.HasPrefix(line, "amq.gen-") || !strings.Contains(line, `{"x-max-length-bytes",123456}`) || !strings.Contains(line, `{"x-overflow","drop-head"}`) {
			t.Errorf("bounded: %s", line)
		}
	}
	if bounded != 1 {
		t.Errorf("%d queues are bounded:\n%s", bounded, list)
	}
}

// bulkToMany publishes in bulk to n topics that nobody reads.
func bulkToMany(t *testing.T, b *Bus, s space, n int) {
	t.Helper()
	o := newOutcomes()
	for i := range n {
		sendBulk(t, b, bus.Message{To: s.topic(bus.Flow, fmt.Sprint(i))}, o, uint64(i))
	}
	for i := range n {
		if err := o.of(t, uint64(i)); !errors.Is(err, bus.ErrUnroutable) {
			t.Errorf("message %d: %v", i, err)
		}
	}
}
