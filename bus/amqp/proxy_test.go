package amqp

import (
	"crypto/tls"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"
)

// proxy stands between a bus and its broker and plays a bad network. What is said
// to existing connections (stall, swallow, cut) does not concern later ones.
type proxy struct {
	listener net.Listener
	broker   string
	url      string
	tls      *tls.Config // asked of clients after reopen, if set

	mu    sync.Mutex
	pairs []*pair
	done  sync.WaitGroup
}

// pair is one connection through the proxy.
type pair struct {
	client, broker net.Conn
	up, down       valve // towards the broker, towards the client
}

// valve is one direction of a pair.
type valve struct {
	mu      sync.Mutex
	cond    sync.Cond
	stalled bool // reads nothing
	swallow bool // reads and forgets
	closed  bool
}

func newProxy(t testing.TB, amqpURL string) *proxy {
	t.Helper()
	u, err := url.Parse(amqpURL)
	if err != nil {
		t.Fatal("not a URL")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, broker: u.Host}
	u.Host = l.Addr().String()
	p.url = u.String()
	p.done.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		broker, err := net.Dial("tcp", p.broker)
		if err != nil {
			_ = client.Close()
			continue
		}
		c := &pair{client: client, broker: broker}
		c.up.cond.L, c.down.cond.L = &c.up.mu, &c.down.mu
		p.mu.Lock()
		p.pairs = append(p.pairs, c)
		p.mu.Unlock()
		p.done.Go(func() { c.pipe(broker, client, &c.up) })
		p.done.Go(func() { c.pipe(client, broker, &c.down) })
	}
}

func (c *pair) pipe(to io.Writer, from io.Reader, v *valve) {
	defer c.cut()
	buf := make([]byte, 64<<10)
	for {
		if !v.wait() {
			return
		}
		n, err := from.Read(buf)
		if err != nil || !v.wait() {
			return
		}
		if v.swallows() {
			continue
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

func (v *valve) wait() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	for v.stalled && !v.closed {
		v.cond.Wait()
	}
	return !v.closed
}

func (v *valve) swallows() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.swallow
}

func (v *valve) set(change func(v *valve)) {
	v.mu.Lock()
	change(v)
	v.cond.Broadcast()
	v.mu.Unlock()
}

func stall(v *valve)   { v.stalled = true }
func flow(v *valve)    { v.stalled = false }
func swallow(v *valve) { v.swallow = true }

func (c *pair) cut() {
	closed := func(v *valve) { v.closed = true }
	c.up.set(closed)
	c.down.set(closed)
	_ = c.client.Close()
	_ = c.broker.Close()
}

// upstream does change to what clients send on the connections of now.
func (p *proxy) upstream(change func(v *valve)) {
	for _, c := range p.all() {
		c.up.set(change)
	}
}

// downstream does change to what clients get on the connections of now.
func (p *proxy) downstream(change func(v *valve)) {
	for _, c := range p.all() {
		c.down.set(change)
	}
}

// beat sends heartbeats to the clients of now, whose brokers say nothing else,
// until stop.
func (p *proxy) beat() (stop func()) {
	over := make(chan struct{})
	var beating sync.WaitGroup
	beating.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-over:
				return
			case <-tick.C:
			}
			for _, c := range p.all() {
				_, _ = c.client.Write([]byte{8, 0, 0, 0, 0, 0, 0, 0xce})
			}
		}
	})
	return func() {
		close(over)
		beating.Wait()
	}
}

func (p *proxy) all() []*pair {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]*pair(nil), p.pairs...)
}

// cut drops the connections of now.
func (p *proxy) cut() {
	for _, c := range p.all() {
		c.cut()
	}
}

// close also refuses what comes later.
func (p *proxy) close() {
	_ = p.listener.Close()
	p.cut()
	p.done.Wait()
}

// reopen listens again where close had stopped.
func (p *proxy) reopen(t testing.TB) {
	t.Helper()
	l, err := net.Listen("tcp", p.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if p.tls != nil {
		l = tls.NewListener(l, p.tls)
	}
	p.listener = l
	p.done.Go(p.accept)
}
