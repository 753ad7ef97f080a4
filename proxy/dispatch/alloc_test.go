//go:build !race

package dispatch

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"unsafe"

	"sluice/bus"
	"sluice/bus/memory"
	"sluice/codec"
	"sluice/pool"
)

func TestNothingIsAllocated(t *testing.T) {
	s := newStub(t)
	s.fill(t, 100)
	p, lane := NewPending(0), new(bus.Lane)
	svc := newTestService()
	var id idText
	var slotIndex uint16
	dst := make([]byte, 0, 4096)
	sink := &finals{end: make(chan struct{}, 1)}
	at := New(instantBus{s.bus}, p, Config{})
	defer closeTable(t, at)
	at.StartFlow("acme", "main", record("main"))
	outlet, err := at.Outlet("acme", "main", "triples-store")
	if err != nil {
		t.Fatal(err)
	}
	defer outlet.Close()
	letter, body, signal := work(t), make([]byte, 2048), make(settledSignal, 1)
	export := &feed{encode: func(dst, msg []byte) ([]byte, error) { return append(dst, msg...), nil }}
	delivery := &bus.Delivery{Body: body, Settle: func(*bus.Delivery, bool) {}}
	for range 100 {
		export.add(&tapEntry{tap: drain{}})
	}
	for _, c := range []struct {
		name string
		run  func()
	}{
		{"lookup", func() {
			w := s.table.wait(Call{})
			svc, err := s.table.acquire(completion, &w)
			if err != nil {
				t.Fatal(err)
			}
			svc.leave()
		}},
		{"id encode and decode", func() {
			id.encode(p.prefix, 12, 345)
			slotIndex, _, _ = decodeID(p.prefix, unsafe.String(&id[0], len(id)))
		}},
		{"correlation", func() {
			slot := p.open(svc)
			slot.published(bus.Receipt{Lane: lane, Seq: lane.Accounted() + 1})
			p.Deliver(slot.idView(), buffer("{}"))
			part, err := slot.next(nil)
			if err != nil {
				t.Fatal(err)
			}
			part.Release()
			p.close(slot)
		}},
		{"foreign reply", func() { p.Deliver("7d444840-9dc0-11d1-b245-5ffdce74fad2", buffer("{}")) }},
		{"whole call", func() {
			out, _, err := s.table.Call(completion, s.request, dst, Call{})
			if err != nil || len(out) == 0 {
				t.Fatal(err)
			}
		}},
		{"whole stream", func() {
			if _, err := s.table.Stream(completion, s.request, Call{}, sink); err != nil {
				t.Fatal(err)
			}
			<-sink.end
		}},
		{"streamed work", func() {
			if _, err := at.Stream(load, letter, Call{}, sink); err != nil {
				t.Fatal(err)
			}
			<-sink.end
		}},
		{"imported message", func() {
			if err := outlet.Publish(t.Context(), body, signal, 1); err != nil {
				t.Fatal(err)
			}
			<-signal
		}},
		{"exported message", func() { export.handle(delivery) }},
		{"cancelled stream", func() {
			w := s.table.wait(Call{})
			svc.enter()
			slot := p.openSink(svc, sink, &w)
			h := StreamHandle{slot, slot.generationNow()}
			if err := slot.launched(h.generation, nil); err != nil || !h.Cancel() {
				t.Fatal(err)
			}
		}},
	} {
		if n := testing.AllocsPerRun(1000, c.run); n != 0 {
			t.Errorf("%s: %v allocations", c.name, n)
		}
	}
	_ = slotIndex
}

// instantBus keeps work at once, so that what is counted is ours.
type instantBus struct{ *memory.Bus }

func (instantBus) PublishAsync(_ context.Context, _ *bus.Message, s Settler, token uint64) error {
	s.Settled(token, nil)
	return nil
}

// settledSignal is a Settler that tells of each success.
type settledSignal chan struct{}

func (s settledSignal) Settled(_ uint64, err error) {
	if err != nil {
		panic(err)
	}
	s <- struct{}{}
}

// finals tells of final parts.
type finals struct{ end chan struct{} }

func (f *finals) Part(body *pool.Buffer, final bool) {
	body.Release()
	if final {
		f.end <- struct{}{}
	}
}

func (f *finals) Fail(err error) { panic(err) }

// TestManyFlowsAllocateLittle defines 10,000 flows of 23 interfaces over 100
// workspaces and wires all services of 1,000.
func TestManyFlowsAllocateLittle(t *testing.T) {
	s := newStub(t)
	before := heapBytes()
	for i := range 10_000 {
		workspace, id := fmt.Sprint("w", i%100), fmt.Sprint("flow", i)
		s.table.StartFlow(workspace, id, fullRecord(workspace, id))
	}
	defined := heapBytes()
	for i := range 1000 {
		for kind := codec.TextCompletion; kind <= codec.StructuredDiag; kind++ {
			w := s.table.wait(Call{})
			svc, err := s.table.acquire(Key{fmt.Sprint("w", i%100), fmt.Sprint("flow", i), kind}, &w)
			if err != nil {
				t.Fatal(err)
			}
			svc.leave()
		}
	}
	wired := heapBytes()
	t.Logf("defined: %d KiB, wired: %d KiB", (defined-before)>>10, (wired-defined)>>10)
	if perFlow := (defined - before) / 10_000; perFlow > 6<<10 {
		t.Errorf("a flow takes %d bytes", perFlow)
	}
	if perService := (wired - defined) / 16_000; perService > 4<<10 {
		t.Errorf("a wired service takes %d bytes, the bus's share included", perService)
	}
}

// fullRecord is a flow with every interface there is.
func fullRecord(workspace, id string) codec.FlowRecord {
	r := codec.FlowRecord{Interfaces: map[string]codec.Interface{}}
	for kind := codec.TextCompletion; kind <= codec.StructuredDiag; kind++ {
		rest := ":tg:" + workspace + ":" + kind.String() + ":" + id
		r.Interfaces[kind.String()] = codec.Interface{Request: "request" + rest, Response: "response" + rest}
	}
	for _, name := range []string{
		"document-load", "text-load", "triples-store", "rows-store", "graph-embeddings-store",
		"document-embeddings-store", "entity-contexts-load",
	} {
		r.Interfaces[name] = codec.Interface{Flow: "flow:tg:" + workspace + ":" + name + ":" + id}
	}
	return r
}

func heapBytes() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
