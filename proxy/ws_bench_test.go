package proxy

import (
	"context"
	"net"
	"sync"
	"testing"

	"github.com/fasthttp/websocket"
	"github.com/valyala/fasthttp"

	"sluice/codec"
	"sluice/pool"
	"sluice/proxy/auth"
	"sluice/proxy/dispatch"
)

// benchSockets is how many sockets the benchmarks use at once.
const benchSockets = 256

// answeringBus answers every request from a goroutine that is not the reader's, as
// a bus does.
type answeringBus struct {
	Dispatcher
	sinks chan answerDue
}

type answerDue struct {
	sink  dispatch.Sink
	parts int
}

func newAnsweringBus(workers int) *answeringBus {
	d := &answeringBus{sinks: make(chan answerDue, 4096)}
	for range workers {
		go d.run()
	}
	return d
}

func (d *answeringBus) run() {
	for due := range d.sinks {
		for i := 1; i <= due.parts; i++ {
			part := pool.Acquire(0)
			final := i == due.parts
			if final {
				part.B = append(part.B, `{"response":"hello","error":null,"in_token":1,"out_token":2,"model":"m","end_of_stream":true}`...)
			} else {
				part.B = append(part.B, `{"response":"hello","error":null,"in_token":1,"out_token":2,"model":"m","end_of_stream":false}`...)
			}
			due.sink.Part(part, final)
		}
	}
}

func (d *answeringBus) Wired(dispatch.Key) bool { return true }

func (d *answeringBus) Stream(_ dispatch.Key, req *codec.Request, _ dispatch.Call, sink dispatch.Sink) (dispatch.StreamHandle, error) {
	msg := pool.Acquire(0)
	defer msg.Release()
	out, err := req.AppendMessage(msg.B)
	if err != nil {
		return dispatch.StreamHandle{}, err
	}
	msg.B = out
	parts := 1
	if req.Member("streaming").Truthy() {
		parts = benchParts
	}
	d.sinks <- answerDue{sink, parts}
	return dispatch.StreamHandle{}, nil
}

const benchParts = 64

// bareEcho is the socket library alone: it answers a frame with as many frames as
// the benchmark wants.
func bareEcho(b *testing.B, answer func(c *websocket.Conn, msg []byte) error) (addr string, stop func()) {
	b.Helper()
	up := websocket.FastHTTPUpgrader{CheckOrigin: func(*fasthttp.RequestCtx) bool { return true }}
	srv := &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
		_ = up.Upgrade(ctx, func(c *websocket.Conn) {
			for {
				_, msg, err := c.ReadMessage()
				if err != nil || answer(c, msg) != nil {
					return
				}
			}
		})
	}}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go func() { _ = srv.Serve(ln) }()
	return ln.Addr().String(), func() { _ = srv.Shutdown() }
}

func sluiceSockets(b *testing.B) (addr string, stop func()) {
	b.Helper()
	d := newAnsweringBus(2)
	s := New(Config{Logger: quiet()}, Deps{Dispatcher: d, Authenticator: people, Authoriser: auth.NewRoleTable(nil)})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go func() { _ = s.Serve(ln) }()
	return ln.Addr().String(), func() {
		_ = s.Shutdown(context.Background())
		close(d.sinks)
	}
}

// drive has all sockets ask for and read answers, b.N in all.
func drive(b *testing.B, addr, frame string, answers int) {
	b.Helper()
	var conns []*websocket.Conn
	for range benchSockets {
		c, resp, err := websocket.DefaultDialer.Dial("ws://"+addr+"/api/v1/socket?token=writer", nil)
		if err != nil {
			b.Fatal(err)
		}
		_ = resp.Body.Close()
		conns = append(conns, c)
	}
	each := max(1, b.N/benchSockets/answers)
	var all sync.WaitGroup
	b.ResetTimer()
	for _, c := range conns {
		all.Add(1)
		go func() {
			defer all.Done()
			scrap := make([]byte, 4096)
			for range each {
				if err := c.WriteMessage(websocket.TextMessage, []byte(frame)); err != nil {
					b.Error(err)
					return
				}
				for range answers {
					_, r, err := c.NextReader()
					if err != nil {
						b.Error(err)
						return
					}
					for err == nil {
						_, err = r.Read(scrap)
					}
				}
			}
		}()
	}
	all.Wait()
	b.StopTimer()
	b.ReportMetric(float64(each*answers*benchSockets)/b.Elapsed().Seconds(), "frames/s")
	for _, c := range conns {
		_ = c.Close()
	}
}

var benchAnswer = []byte(answerFrame(`"req-1"`, "hello", true))

// BenchmarkSocketCalls compares calls with a bare echo of frames of that size: the
// target is 0.7 of it.
func BenchmarkSocketCalls(b *testing.B) {
	frame := askFrame(`"req-1"`, "what is this?")
	b.Run("bare", func(b *testing.B) {
		addr, stop := bareEcho(b, func(c *websocket.Conn, _ []byte) error {
			return c.WriteMessage(websocket.TextMessage, benchAnswer)
		})
		defer stop()
		drive(b, addr, frame, 1)
	})
	b.Run("sluice", func(b *testing.B) {
		addr, stop := sluiceSockets(b)
		defer stop()
		drive(b, addr, frame, 1)
	})
}

// BenchmarkSocketStreams compares streamed parts with bare writes of the same
// frames: the target is 0.5 of them.
func BenchmarkSocketStreams(b *testing.B) {
	frame := `{"id":"req-1","service":"text-completion","flow":"f","request":{"system":"s","prompt":"p","streaming":true}}`
	b.Run("bare", func(b *testing.B) {
		addr, stop := bareEcho(b, func(c *websocket.Conn, _ []byte) error {
			for range benchParts {
				if err := c.WriteMessage(websocket.TextMessage, benchAnswer); err != nil {
					return err
				}
			}
			return nil
		})
		defer stop()
		drive(b, addr, frame, benchParts)
	})
	b.Run("sluice", func(b *testing.B) {
		addr, stop := sluiceSockets(b)
		defer stop()
		drive(b, addr, frame, benchParts)
	})
}
