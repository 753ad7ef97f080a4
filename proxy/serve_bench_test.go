package proxy

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"testing"

	"sluice/proxy/auth"
)

// BenchmarkServe is a whole request over a real socket, one connection for each
// goroutine, with a dispatcher that answers at once.
func BenchmarkServe(b *testing.B) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s := New(Config{Logger: quiet()}, Deps{
		Dispatcher: new(fakeDispatcher), Authenticator: people, Authoriser: auth.NewRoleTable(nil),
	})
	go func() { _ = s.Serve(ln) }()
	defer s.Shutdown(context.Background())
	request := post(completionPath, "admin", completion)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			b.Error(err)
			return
		}
		defer c.Close()
		in := bufio.NewReader(c)
		for pb.Next() {
			_, _ = io.WriteString(c, request)
			resp, err := http.ReadResponse(in, nil)
			if err != nil || resp.StatusCode != http.StatusOK {
				b.Error(resp, err)
				return
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
	})
}
