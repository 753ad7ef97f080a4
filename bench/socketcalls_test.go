package bench

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/fasthttp/websocket"
	"github.com/valyala/fasthttp"

	"sluice/proxy"
)

var (
	socketFrame  = `{"id":"req-1","flow":"bench","service":"text-completion","request":` + string(completionBody) + `}`
	socketAnswer = []byte(`{"id":"req-1","response":` + string(completionReply) + `,"complete":true}`)
)

// BenchmarkSocketCalls compares calls over sockets, through the bus in this
// process, with a bare echo of frames of the same sizes; then it keeps 1,000
// sockets of each at half of our rate and reports how long an answer takes, the
// client's own scheduling in the same process included.
func BenchmarkSocketCalls(b *testing.B) {
	rate := map[string]float64{}
	ways := []struct {
		name string
		open func(b *testing.B) string
	}{{"bare", bareSockets}, {"sluice", sluiceSockets}}
	for _, way := range ways {
		b.Run(way.name+"/sockets=256", func(b *testing.B) {
			conns := dialSockets(b, way.open(b), 256)
			b.ResetTimer()
			closedLoop(b, conns)
			b.StopTimer()
			rate[way.name] = float64(b.N) / b.Elapsed().Seconds()
			b.ReportMetric(rate[way.name], "calls/s")
			if bare := rate["bare"]; bare > 0 {
				b.ReportMetric(rate[way.name]/bare, "ratio")
			}
		})
	}
	for _, way := range ways {
		b.Run(way.name+"/sockets=1000/half-load", func(b *testing.B) {
			conns := dialSockets(b, way.open(b), 1000)
			b.ResetTimer()
			h := openLoop(b, conns, rate["sluice"]/2)
			b.StopTimer()
			b.ReportMetric(rate["sluice"]/2, "calls/s")
			b.ReportMetric(float64(h.ValueAtQuantile(50)), "p50-µs")
			b.ReportMetric(float64(h.ValueAtQuantile(99)), "p99-µs")
		})
	}
}

func sluiceSockets(b *testing.B) string {
	s := newMemoryStack(b)
	server := proxy.New(proxy.Config{Logger: slog.New(slog.DiscardHandler)}, proxy.Deps{
		Dispatcher: s.table, FlowStreams: s.table, Authenticator: s.auth, Authoriser: s.decide,
	})
	ln := loopback(b)
	go func() { _ = server.Serve(ln) }()
	b.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = server.Shutdown(ctx)
	})
	return ln.Addr().String()
}

func bareSockets(b *testing.B) string {
	up := websocket.FastHTTPUpgrader{CheckOrigin: func(*fasthttp.RequestCtx) bool { return true }}
	server := &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
		_ = up.Upgrade(ctx, func(c *websocket.Conn) {
			for {
				if _, _, err := c.ReadMessage(); err != nil {
					return
				}
				if c.WriteMessage(websocket.TextMessage, socketAnswer) != nil {
					return
				}
			}
		})
	}}
	ln := loopback(b)
	go func() { _ = server.Serve(ln) }()
	b.Cleanup(func() { _ = ln.Close() })
	return ln.Addr().String()
}

func loopback(b *testing.B) net.Listener {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	return ln
}

func dialSockets(b *testing.B, addr string, n int) []*websocket.Conn {
	conns := make([]*websocket.Conn, n)
	for i := range conns {
		c, resp, err := websocket.DefaultDialer.Dial("ws://"+addr+"/api/v1/socket?token="+apiKey, nil)
		if err != nil {
			b.Fatal(err)
		}
		_ = resp.Body.Close()
		b.Cleanup(func() { _ = c.Close() })
		conns[i] = c
		if err := socketCall(c); err != nil {
			b.Fatal(err)
		}
	}
	return conns
}

func socketCall(c *websocket.Conn) error {
	if err := c.WriteMessage(websocket.TextMessage, []byte(socketFrame)); err != nil {
		return err
	}
	_, r, err := c.NextReader()
	if err != nil {
		return err
	}
	n, err := io.Copy(io.Discard, r)
	if err == nil && n < int64(len(completionReply)/2) {
		err = fmt.Errorf("an answer of %d bytes", n)
	}
	return err
}

// closedLoop makes b.N calls, one at a time per socket.
func closedLoop(b *testing.B, conns []*websocket.Conn) {
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	for _, c := range conns {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if err := socketCall(c); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// openLoop makes b.N calls at a constant rate, spread over the sockets, and
// counts each one's time from when it was due.
func openLoop(b *testing.B, conns []*websocket.Conn, rate float64) *hdrhistogram.Histogram {
	each := make([]*hdrhistogram.Histogram, len(conns))
	start := time.Now().Add(10 * time.Millisecond)
	var wg sync.WaitGroup
	for i, c := range conns {
		each[i] = hdrhistogram.New(1, int64(time.Minute/time.Microsecond), 3)
		wg.Go(func() {
			for n := i; n < b.N; n += len(conns) {
				due := start.Add(time.Duration(float64(n) / rate * float64(time.Second)))
				time.Sleep(time.Until(due))
				if err := socketCall(c); err != nil {
					b.Error(err)
					return
				}
				_ = each[i].RecordValue(max(1, time.Since(due).Microseconds()))
			}
		})
	}
	wg.Wait()
	all := each[0]
	for _, h := range each[1:] {
		all.Merge(h)
	}
	return all
}
