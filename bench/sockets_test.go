//go:build !race

package bench

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fasthttp/websocket"

	"sluice/proxy"
)

const (
	socketServerEnv = "SLUICE_BENCH_SOCKET_SERVER"
	socketClientEnv = "SLUICE_BENCH_SOCKET_CLIENT"

	wantedSockets     = 15_000
	maxBytesPerSocket = 12 << 10
)

// TestFootprintOfIdleSockets opens up to 15,000 authenticated sockets from
// another process and looks at what each adds to the resident memory of a gateway
// that is a process of its own.
func TestFootprintOfIdleSockets(t *testing.T) {
	switch {
	case os.Getenv(socketServerEnv) != "":
		serveSockets(t)
		return
	case os.Getenv(socketClientEnv) != "":
		holdSockets(t)
		return
	}
	sockets := min(wantedSockets, descriptors(t)-1000)
	server := startChild(t, socketServerEnv+"=1")
	addr := server.hear(t, "listening ")
	before := server.resident(t)
	client := startChild(t, socketClientEnv+"="+addr+" "+strconv.Itoa(sockets))
	client.hear(t, "open")
	each := (server.resident(t) - before) / sockets
	t.Logf("%d sockets, %d bytes resident each", sockets, each)
	if each > maxBytesPerSocket {
		t.Errorf("%d bytes resident for each of %d idle sockets, at most %d are allowed", each, sockets, maxBytesPerSocket)
	}
}

// descriptors is how many this process may have open; Go has raised it as far as
// it can be.
func descriptors(t *testing.T) int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	return int(float64(min(limit.Cur, 1<<20)) * 0.9)
}

// child is this test in another process, spoken to a line at a time.
type child struct {
	in  io.Writer
	out *bufio.Scanner
}

func startChild(t *testing.T, env string) *child {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=5m")
	cmd.Env = append(os.Environ(), env)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close() // the child ends with its standard input
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	return &child{in, bufio.NewScanner(out)}
}

// hear waits for a line that begins with prefix and returns the rest of it.
func (c *child) hear(t *testing.T, prefix string) string {
	t.Helper()
	for c.out.Scan() {
		if rest, ok := strings.CutPrefix(c.out.Text(), prefix); ok {
			return rest
		}
	}
	t.Fatalf("the child ended without saying %q", prefix)
	return ""
}

func (c *child) resident(t *testing.T) int {
	t.Helper()
	if _, err := io.WriteString(c.in, "rss\n"); err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(c.hear(t, "rss="))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// serveSockets is a gateway on the bus in this process.
func serveSockets(t *testing.T) {
	s := newMemoryStack(t)
	server := proxy.New(proxy.Config{Logger: slog.New(slog.DiscardHandler), MaxUnauthenticated: wantedSockets}, proxy.Deps{
		Dispatcher: s.table, FlowStreams: s.table, Authenticator: s.auth, Authoriser: s.decide,
	})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		if err := server.Serve(ln); err != nil {
			t.Error(err)
		}
	}()
	fmt.Printf("listening %s\n", ln.Addr())
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		debug.FreeOSMemory()
		debug.FreeOSMemory()
		fmt.Printf("rss=%d\n", residentBytes(t))
	}
	os.Exit(0) // with the sockets still open
}

// holdSockets opens sockets, authenticates each, and keeps them until its standard
// input ends.
func holdSockets(t *testing.T) {
	addr, count, _ := strings.Cut(os.Getenv(socketClientEnv), " ")
	n, err := strconv.Atoi(count)
	if err != nil {
		t.Fatal(err)
	}
	const dialers = 16
	open := make([]*websocket.Conn, n)
	var wg sync.WaitGroup
	for d := range dialers {
		wg.Go(func() {
			for i := d; i < n; i += dialers {
				if open[i], err = dialSocket(addr, i); err != nil {
					fmt.Fprintln(os.Stderr, "dialling:", err)
					os.Exit(1)
				}
			}
		})
	}
	wg.Wait()
	fmt.Println("open")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
	}
	os.Exit(0)
}

func dialSocket(addr string, i int) (*websocket.Conn, error) {
	// Loopback has some 28,000 ports for connections between two addresses.
	local := &net.TCPAddr{IP: net.IPv4(127, 0, byte(i>>12), 2)}
	dialer := websocket.Dialer{
		HandshakeTimeout: 30 * time.Second, ReadBufferSize: 256, WriteBufferSize: 256,
		NetDial: (&net.Dialer{LocalAddr: local}).Dial,
	}
	conn, resp, err := dialer.Dial("ws://"+addr+"/api/v1/socket", nil)
	if err != nil {
		return nil, err
	}
	resp.Body.Close()
	if err := conn.WriteMessage(websocket.TextMessage, []byte(`{"type":"auth","token":"`+apiKey+`"}`)); err != nil {
		return nil, err
	}
	if _, answer, err := conn.ReadMessage(); err != nil || !strings.Contains(string(answer), "auth-ok") {
		return nil, fmt.Errorf("authenticating: %s %w", answer, err)
	}
	return conn, nil
}
