package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fasthttp/websocket"

	"sluice/bus"
	"sluice/bus/amqp/brokertest"
)

// stored is the bus message that an import of triples(i) becomes.
func stored(i int) []byte {
	return fmt.Appendf(nil, `{"metadata":{"id":"m%d","root":"","collection":"c"},"triples":[]}`, i)
}

// exporting is an export that somebody reads.
type exporting struct {
	indices chan int
	ended   chan struct{}
	err     error // of the socket, once ended is closed
}

func startExport(t *testing.T, g *gateway, query string) *exporting {
	t.Helper()
	ws := g.mustDial(t, exportPath+query, readerKey)
	e := &exporting{indices: make(chan int, 4096), ended: make(chan struct{})}
	go func() {
		defer close(e.ended)
		for {
			_ = ws.SetReadDeadline(time.Now().Add(2 * patience))
			_, text, err := ws.ReadMessage()
			if err != nil {
				e.err = err
				return
			}
			e.indices <- indexOf(text)
		}
	}()
	t.Cleanup(func() {
		ws.Close()
		<-e.ended
	})
	return e
}

// next is the next message's index.
func (e *exporting) next(t *testing.T) int {
	t.Helper()
	select {
	case i := <-e.indices:
		return i
	case <-e.ended:
		t.Fatalf("the export ended: %v", e.err)
	case <-time.After(patience):
		t.Fatalf("nothing was exported within %v", patience)
	}
	panic("not reached")
}

// A broker that goes away for a while ends no export: messages published once it
// is back arrive on the same socket.
func TestExportsSurviveAnOutage(t *testing.T) {
	t.Parallel()
	node := brokertest.Private(t)
	p := startPlatform(t, node.URL)
	p.define(adminWorkspace, "demo", p.record("demo"))
	store := parkedStore(t, node, p)
	g := startGateway(t, node.URL, p.space)
	g.awaitReady(t)
	exports := []*exporting{startExport(t, g, ""), startExport(t, g, ""), startExport(t, g, "?overflow=block")}
	publish := func(i int) error { return p.publish(&bus.Message{To: store.topic, Body: stored(i)}) }
	for i := range 100 {
		if err := publish(i); err != nil {
			t.Fatal(err)
		}
	}
	for _, e := range exports {
		for i := range 100 {
			if got := e.next(t); got != i {
				t.Fatalf("message %d came as %d", i, got)
			}
		}
	}
	node.Ctl(t, "stop_app")
	eventually(t, "the gateway has noticed", func() error {
		status, err := g.get("/readyz")
		if err == nil && status == 200 {
			err = fmt.Errorf("it is ready")
		}
		return err
	})
	node.Ctl(t, "start_app")
	g.awaitReady(t)
	// What is published before a queue is bound again is not for an export: it is
	// a live tail.
	next := 100
	waiting := exports
	eventually(t, "messages arrive again", func() error {
		if err := publish(next); err != nil {
			return err
		}
		next++
		var still []*exporting
		for _, e := range waiting {
			select {
			case <-e.ended:
				t.Fatalf("an export ended: %v", e.err)
			case <-e.indices:
			default:
				still = append(still, e)
			}
		}
		if waiting = still; len(waiting) > 0 {
			return fmt.Errorf("%d exports get nothing", len(waiting))
		}
		return nil
	})
}

// resources is what sockets might leave behind.
type resources struct {
	queues, bindings, connections, channels string
	descriptors, goroutines, calls, sockets float64
}

func (s *scene) resources(t *testing.T) resources {
	t.Helper()
	count := func(listing string) string { return fmt.Sprint(strings.Count(listing, "\n")) }
	return resources{
		queues:      s.node.Ctl(t, "list_queues", "-p", "sluice", "name"),
		bindings:    s.node.Ctl(t, "list_bindings", "-p", "sluice", "source_name", "destination_name"),
		connections: count(s.node.Ctl(t, "list_connections", "name")),
		channels:    count(s.node.Ctl(t, "list_channels", "name")),
		descriptors: s.g.metric(t, "process_open_fds"),
		goroutines:  s.g.metric(t, "go_goroutines"),
		calls:       s.g.metric(t, "sluice_calls_waiting"),
		sockets:     s.g.metric(t, "sluice_ws_sockets"),
	}
}

// left says what r has that base has not. The runtime's own goroutines and
// descriptors come and go by ones.
func (r resources) left(base resources) error {
	const few = 8
	switch {
	case r.queues != base.queues:
		return fmt.Errorf("queues\n%sthere were\n%s", r.queues, base.queues)
	case r.bindings != base.bindings:
		return fmt.Errorf("bindings\n%sthere were\n%s", r.bindings, base.bindings)
	case r.connections != base.connections || r.channels != base.channels:
		return fmt.Errorf("%s connections and %s channels, there were %s and %s", r.connections, r.channels, base.connections, base.channels)
	case r.descriptors > base.descriptors+few:
		return fmt.Errorf("%v descriptors, there were %v", r.descriptors, base.descriptors)
	case r.goroutines > base.goroutines+few:
		return fmt.Errorf("%v goroutines, there were %v", r.goroutines, base.goroutines)
	case r.calls > 0 || r.sockets > 0:
		return fmt.Errorf("%v calls and %v sockets", r.calls, r.sockets)
	}
	return nil
}

// visits are what a socket may come for, by number.
var visits = []func(g *gateway, i int) error{
	func(g *gateway, i int) error { // a call, answered
		return g.visit("/api/v1/socket", func(ws *websocket.Conn) error {
			if err := send(ws, ask(fmt.Sprint(i), "demo", "x")); err != nil {
				return err
			}
			_, err := receive(ws)
			return err
		})
	},
	func(g *gateway, i int) error { // a call that nobody waits for
		return g.visit("/api/v1/socket", func(ws *websocket.Conn) error {
			if err := send(ws, ask(fmt.Sprint(i), "demo", "never")); err != nil {
				return err
			}
			return ws.NetConn().Close()
		})
	},
	func(g *gateway, i int) error {
		return g.visit(importPath+"?ack=1", func(ws *websocket.Conn) error {
			if err := send(ws, triples(i)); err != nil {
				return err
			}
			_, err := receive(ws)
			return err
		})
	},
	func(g *gateway, i int) error { // an import cut off
		return g.visit(importPath, func(ws *websocket.Conn) error {
			if err := send(ws, triples(i)); err != nil {
				return err
			}
			return ws.NetConn().Close()
		})
	},
	func(g *gateway, _ int) error {
		return g.visit(exportPath, func(*websocket.Conn) error { return nil })
	},
	func(g *gateway, i int) error { // only so many at once have a queue of their own
		query := "?overflow=drop-oldest"
		if i%60 == 5 {
			query = "?overflow=block"
		}
		return g.visit(exportPath+query, func(ws *websocket.Conn) error { return ws.NetConn().Close() })
	},
}

// visit opens a socket, does something with it and closes it as far as it is open.
func (g *gateway) visit(path string, do func(*websocket.Conn) error) error {
	ws, err := g.dial(path, apiKey, true)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	defer ws.Close()
	if err := do(ws); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if sayGoodbye(ws) != nil {
		return nil // it was cut off
	}
	for {
		if _, err := receive(ws); closeCode(err) == websocket.CloseNormalClosure {
			return nil
		} else if err != nil {
			return fmt.Errorf("%s: goodbye: %w", path, err)
		}
	}
}

// 1,000 sockets came and went: nothing is left of them, here or at the broker.
func TestNothingIsLeftOfSockets(t *testing.T) {
	t.Parallel()
	node := brokertest.Private(t)
	p := startPlatform(t, node.URL)
	p.define(adminWorkspace, "demo", p.record("demo"))
	parkedStore(t, node, p)
	p.serve(t, p.topic("request", "text-completion", "demo"), p.topic("response", "text-completion", "demo"),
		func(id string, body []byte) ([]message, bool) {
			if prompt(body) == "never" {
				return nil, true
			}
			return echo(id, body)
		})
	g := startGateway(t, node.URL, p.space)
	g.awaitReady(t)
	s := &scene{node: node, p: p, g: g}
	crowd := func(from, to int) {
		t.Helper()
		numbers := make(chan int)
		failures := make(chan error, to)
		done := make(chan struct{})
		const abreast = 50
		for range abreast {
			go func() {
				for i := range numbers {
					if err := visits[i%len(visits)](g, i); err != nil {
						failures <- err
					}
				}
				done <- struct{}{}
			}()
		}
		for i := from; i < to; i++ {
			numbers <- i
		}
		close(numbers)
		for range abreast {
			<-done
		}
		close(failures)
		for err := range failures {
			t.Error(err)
		}
		eventually(t, "no socket is open", func() error {
			if n := g.metric(t, "sluice_ws_sockets"); n > 0 {
				return fmt.Errorf("%v", n)
			}
			return nil
		})
	}
	crowd(0, len(visits)) // what is wired for good
	eventually(t, "no call is left", func() error { return g.idle(t) })
	base := s.resources(t)
	crowd(len(visits), len(visits)+1000)
	g.client.CloseIdleConnections()
	eventually(t, "nothing is left", func() error { return s.resources(t).left(base) })
}
