// Package bench measures Sluice: its parts, whole calls on either bus, and the
// same work done by the bare libraries in the same run. Run it with `make bench`;
// BENCHMARKS.md says what came out.
package bench

import (
	"errors"
	"fmt"
	"strconv"
	"testing"

	"sluice/codec"
	"sluice/proxy/dispatch"
)

func BenchmarkCodec(b *testing.B) {
	for _, s := range append(hotSamples(), coldSamples(b)...) {
		b.Run(s.name, func(b *testing.B) {
			dst := make([]byte, 0, 1<<20)
			b.SetBytes(int64(len(s.text)))
			b.ReportAllocs()
			for b.Loop() {
				var err error
				if dst, err = s.run(dst[:0], s.text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAuth(b *testing.B) {
	a := newAuth(b)
	b.Run("hit/parallel", func(b *testing.B) {
		token := []byte(apiKey)
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := a.Authenticate(token); err != nil {
					b.Error(err)
				}
			}
		})
	})
	b.Run("miss", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if _, err := a.Authenticate(strconv.AppendInt([]byte("tg_"), int64(i), 10)); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkLookup finds a flow's interface among others, from all cores at once.
func BenchmarkLookup(b *testing.B) {
	for _, flows := range []int{1, 1000, 100_000} {
		s := newMemoryStack(b)
		names := make([]string, flows)
		for i := range names {
			names[i] = fmt.Sprintf("flow-%06d", i)
			s.table.StartFlow(workspace, names[i], codec.FlowRecord{Interfaces: map[string]codec.Interface{"text-completion": memoryCompletion}})
		}
		b.Run(fmt.Sprintf("flows=%d/parallel", flows), func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for i := 0; pb.Next(); i++ {
					if _, err := s.table.Interface(workspace, names[i*7919%flows], "text-completion"); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}

// BenchmarkForeignReply drops what belongs to another gateway; a reply of ours is
// part of BenchmarkCall.
func BenchmarkForeignReply(b *testing.B) {
	p := dispatch.NewPending(0)
	b.ReportAllocs()
	for b.Loop() {
		p.Deliver("00000000-0000-4000-8000-000000000000", nil)
	}
}

// BenchmarkCall is everything but HTTP: key, capability, workspace, translation,
// the bus in this process and a service on it, and back.
func BenchmarkCall(b *testing.B) {
	s := newMemoryStack(b)
	b.Run("memory/inflight=1", func(b *testing.B) {
		c := s.caller("bench", codec.TextCompletion)
		b.ReportAllocs()
		for b.Loop() {
			if err := c.call(completionBody); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("memory/parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.SetParallelism(16)
		b.RunParallel(func(pb *testing.PB) {
			c := s.caller("bench", codec.TextCompletion)
			for pb.Next() {
				if err := c.call(completionBody); err != nil {
					b.Error(err)
				}
			}
		})
	})
	b.Run("memory/unknown-flow", func(b *testing.B) {
		c := s.caller("nowhere", codec.TextCompletion)
		var unknown *dispatch.UnknownFlowError
		for b.Loop() {
			if err := c.call(completionBody); !errors.As(err, &unknown) {
				b.Fatal(err)
			}
		}
	})
}
