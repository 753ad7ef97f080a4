package proxy

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/bus"
	"sluice/codec"
)

// benchClient counts the bytes that reach it.
type benchClient struct{ got atomic.Int64 }

// BenchmarkExport publishes messages to one stream that so many sockets export,
// and then writes the same frames to the very same sockets, one write each, with
// nothing in between. It reports frames a second and the ratio of the two, and how
// many frames leave in one write.
func BenchmarkExport(b *testing.B) {
	for _, sockets := range []int{100, 1000} {
		b.Run(fmt.Sprintf("sockets=%d", sockets), func(b *testing.B) { benchmarkExport(b, sockets) })
	}
}

func benchmarkExport(b *testing.B, sockets int) {
	r := newStreamRig(b, Config{})
	clients := make([]*benchClient, sockets)
	for i := range clients {
		clients[i] = new(benchClient)
		ws := r.mustOpen(exportTriples, "reader")
		_ = ws.SetReadDeadline(time.Time{})
		wire := ws.NetConn()
		go func() {
			scratch := make([]byte, 64<<10)
			for {
				n, err := wire.Read(scratch)
				if err != nil {
					return
				}
				clients[i].got.Add(int64(n))
			}
		}()
	}
	for len(r.server.sockets.snapshot(nil)) < sockets {
		time.Sleep(time.Millisecond)
	}
	msg := []byte(tripleMessage(b, 1))
	frame, err := encoders[codec.Triples](nil, msg)
	if err != nil {
		b.Fatal(err)
	}
	topic, err := bus.ParseTopic(streamTopic("acme", "triples-store"))
	if err != nil {
		b.Fatal(err)
	}

	writes := gather(b, "sluice_ws_writes_total")[""]
	start := time.Now()
	b.ResetTimer()
	for i := range b.N {
		if _, err := r.bus.Publish(context.Background(), &bus.Message{To: topic, Body: msg}); err != nil {
			b.Fatal(err)
		}
		if i%64 == 63 {
			awaitBytes(clients, int64(i-255)*int64(len(frame)))
		}
	}
	awaitBytes(clients, int64(b.N)*int64(len(frame)))
	b.StopTimer()
	exported := time.Since(start)
	writes = gather(b, "sluice_ws_writes_total")[""] - writes

	start = time.Now()
	var wg sync.WaitGroup
	for _, c := range r.server.sockets.snapshot(nil) {
		wg.Go(func() {
			for range b.N {
				if _, err := c.conn.Conn.Write(frame); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	awaitBytes(clients, 2*int64(b.N)*int64(len(frame)))
	bare := time.Since(start)

	frames := float64(b.N) * float64(sockets)
	b.ReportMetric(frames/exported.Seconds(), "frames/s")
	b.ReportMetric(frames/bare.Seconds(), "bare-frames/s")
	b.ReportMetric(bare.Seconds()/exported.Seconds(), "ratio")
	b.ReportMetric(frames/writes, "frames/write")
}

// awaitBytes waits until every client has that many bytes.
func awaitBytes(clients []*benchClient, bytes int64) {
	for _, c := range clients {
		for c.got.Load() < bytes {
			runtime.Gosched()
		}
	}
}
