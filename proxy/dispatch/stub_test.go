package dispatch

import (
	"context"
	"fmt"
	"testing"

	"sluice/bus"
	"sluice/bus/memory"
	"sluice/codec"
)

// stub is a table over an in-process bus with a text-completion service that
// allocates nothing.
type stub struct {
	bus     *memory.Bus
	pending *Pending
	table   *Table
	request *codec.Request
}

func newStub(t testing.TB) *stub {
	t.Helper()
	pending := NewPending(0)
	s := &stub{bus: memory.New(pending), pending: pending, request: ask(t, "hello")}
	s.table = New(s.bus, pending, Config{})
	s.table.StartFlow("acme", "main", record("main"))
	response, body := topic(t, "response:tg:tc:main"), []byte(part("hello", true))
	ctx := context.Background()
	reply := bus.Message{To: response, Body: body}
	_, err := s.bus.Subscribe(ctx, bus.Consumer{Topic: topic(t, "request:tg:tc:main"), Name: "svc", Handler: func(d *bus.Delivery) {
		reply.ID = d.ID
		_, _ = s.bus.Publish(ctx, &reply)
		d.Ack()
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.table.Close(ctx); err != nil {
			t.Error(err)
		}
		if err := s.bus.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return s
}

// fill defines n more flows over a hundred workspaces and wires one service of
// each.
func (s *stub) fill(t testing.TB, n int) {
	t.Helper()
	for i := range n {
		workspace, id := fmt.Sprint("w", i%100), fmt.Sprint("flow", i)
		s.table.StartFlow(workspace, id, record(fmt.Sprint(workspace, ":", id)))
		w := s.table.wait(Call{})
		svc, err := s.table.acquire(Key{workspace, id, codec.TextCompletion}, &w)
		if err != nil {
			t.Fatal(err)
		}
		svc.leave()
	}
}
