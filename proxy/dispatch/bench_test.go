package dispatch

import (
	"fmt"
	"testing"

	"sluice/bus"
)

// BenchmarkLookup finds a wired service among many.
func BenchmarkLookup(b *testing.B) {
	for _, flows := range []int{1, 1_000, 100_000} {
		b.Run(fmt.Sprint("flows=", flows), func(b *testing.B) {
			s := newStub(b)
			s.fill(b, flows)
			keys := make([]Key, 1024)
			for i := range keys {
				n := i * 97 % flows
				keys[i] = Key{fmt.Sprint("w", n%100), fmt.Sprint("flow", n), completion.Kind}
			}
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				w := s.table.wait(Call{})
				for i := 0; pb.Next(); i++ {
					svc, err := s.table.acquire(keys[i%len(keys)], &w)
					if err != nil {
						b.Error(err)
						return
					}
					svc.leave()
				}
			})
		})
	}
}

// BenchmarkCorrelation opens a slot, delivers its reply and takes it.
func BenchmarkCorrelation(b *testing.B) {
	p, lane := NewPending(0), new(bus.Lane)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		svc := newTestService()
		for pb.Next() {
			s := p.open(svc)
			s.published(bus.Receipt{Lane: lane, Seq: 1})
			p.Deliver(s.idView(), buffer("{}"))
			part, err := s.next(nil)
			if err != nil {
				b.Error(err)
				return
			}
			part.Release()
			p.close(s)
		}
	})
}

// BenchmarkCall is a whole text-completion over the in-process bus.
func BenchmarkCall(b *testing.B) {
	for _, inFlight := range []int{1, 64} {
		b.Run(fmt.Sprint("inflight=", inFlight), func(b *testing.B) {
			s := newStub(b)
			b.SetParallelism(max(1, inFlight/4))
			b.ReportAllocs()
			if inFlight == 1 {
				dst := make([]byte, 0, 4096)
				for b.Loop() {
					if _, _, err := s.table.Call(completion, s.request, dst, Call{}); err != nil {
						b.Fatal(err)
					}
				}
				return
			}
			b.RunParallel(func(pb *testing.PB) {
				request, dst := ask(b, "hello"), make([]byte, 0, 4096)
				for pb.Next() {
					if _, _, err := s.table.Call(completion, request, dst, Call{}); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}
