//go:build !race

package proxy

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/fasthttp/websocket"

	"sluice/proxy/auth"
)

// BenchmarkImport sends messages through a socket to a bus that settles each at
// once: what the gateway itself costs, without a broker.
func BenchmarkImport(b *testing.B) {
	s, _ := bareStream(b)
	s.authenticator, s.authoriser = people, auth.NewRoleTable(nil)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = s.Shutdown(ctx)
		if err := <-served; err != nil {
			b.Error(err)
		}
	}()
	ws, _, err := websocket.DefaultDialer.Dial("ws://"+ln.Addr().String()+importTriples+"?token=writer&ack=1000", nil) //nolint:bodyclose // a socket has none
	if err != nil {
		b.Fatal(err)
	}
	defer ws.Close()
	go func() {
		for {
			if _, _, err := ws.ReadMessage(); err != nil {
				return
			}
		}
	}()
	frame, err := websocket.NewPreparedMessage(websocket.TextMessage, []byte(tripleFrame(1)))
	if err != nil {
		b.Fatal(err)
	}
	before := gather(b, "sluice_import_messages_total")["ok"]
	b.SetBytes(int64(len(tripleFrame(1))))
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if err := ws.WritePreparedMessage(frame); err != nil {
			b.Fatal(err)
		}
	}
	for gather(b, "sluice_import_messages_total")["ok"]-before < float64(b.N) {
		time.Sleep(time.Millisecond)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}
