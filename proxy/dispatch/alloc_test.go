//go:build !race

package dispatch

import (
	"fmt"
	"runtime"
	"testing"
	"unsafe"

	"sluice/bus"
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
