//go:build !race

package proxy

import (
	"context"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"sluice/bus"
	"sluice/bus/memory"
	"sluice/codec"
	"sluice/pool"
	"sluice/proxy/dispatch"
)

// devNull is a connection that takes everything at once and has nothing to say.
type devNull struct {
	net.Conn
	taken atomic.Int64
}

func (d *devNull) Write(p []byte) (int, error) {
	d.taken.Add(int64(len(p)))
	return len(p), nil
}
func (*devNull) Close() error                     { return nil }
func (*devNull) SetWriteDeadline(time.Time) error { return nil }

// bareConn is a socket over nothing.
func bareConn(s *Server, kind socketKind) *wsConn {
	return newWSConn(s.sockets, newConn(new(devNull), newRegistry(), time.Hour), &admission{kind: kind})
}

// promptBus settles whatever is published in bulk at once.
type promptBus struct{ *memory.Bus }

func (promptBus) PublishAsync(_ context.Context, _ *bus.Message, s bus.Settler, token uint64) error {
	s.Settled(token, nil)
	return nil
}

func bareStream(t testing.TB) (*Server, *flowStream) {
	t.Helper()
	pending := dispatch.NewPending(0)
	b := promptBus{memory.New(pending)}
	table := dispatch.New(b, pending, dispatch.Config{Log: quiet()})
	t.Cleanup(func() {
		_ = table.Close(context.Background())
		_ = b.Close(context.Background())
	})
	table.StartFlow("acme", "f", streamRecord("acme", "triples-store"))
	s := New(Config{Logger: quiet()}, Deps{FlowStreams: table})
	f := &flowStream{server: s, kind: codec.Triples, flow: "f"}
	f.target.Name = "acme"
	return s, f
}

// TestImportAllocatesNothing takes messages the whole way to the bus and back.
func TestImportAllocatesNothing(t *testing.T) {
	s, f := bareStream(t)
	i := newImporter(f, 1)
	i.c = bareConn(s, importSocket)
	i.c.handler = i
	if err := i.open(); err != nil {
		t.Fatal(err)
	}
	defer i.cutOff()
	frame := []byte(tripleFrame(1))
	message := func() {
		msg := pool.Acquire(len(frame))
		msg.B = append(msg.B, frame...)
		i.take(msg)
		for i.c.queued() > 0 || !settledAll(i) {
			runtime.Gosched()
		}
	}
	for range 2000 {
		message()
	}
	if n := testing.AllocsPerRun(2000, message); n != 0 {
		t.Errorf("%v allocations per message with its ack", n)
	}
}

func settledAll(i *importer) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.window.base == i.next
}

// TestExportFanOutAllocatesNothing encodes a message and sends it to 20 sockets.
func TestExportFanOutAllocatesNothing(t *testing.T) {
	s, f := bareStream(t)
	taps := make([]*exporter, 20)
	for k := range taps {
		e := newExporter(f, overflowClose)
		e.c = bareConn(s, exportSocket)
		e.c.handler = e
		e.attach()
		taps[k] = e
	}
	encode := encoders[codec.Triples]
	msg := []byte(tripleMessage(t, 1))
	fanOut := func() {
		body := pool.Acquire(len(msg))
		out, err := encode(body.B, msg)
		if err != nil {
			t.Fatal(err)
		}
		body.B = out
		frame := dispatch.NewFrame(body)
		for _, e := range taps {
			e.Offer(frame)
		}
		frame.Release()
		for _, e := range taps {
			for e.c.queued() > 0 {
				runtime.Gosched()
			}
		}
	}
	for range 1000 {
		fanOut()
	}
	if n := testing.AllocsPerRun(1000, fanOut); n != 0 {
		t.Errorf("%v allocations per message to %d sockets", n, len(taps))
	}
}
