package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fasthttp/websocket"

	"sluice/bus"
	"sluice/bus/amqp/brokertest"
)

const (
	importPath = "/api/v1/flow/demo/import/triples"
	exportPath = "/api/v1/flow/demo/export/triples"
	// imported is how many messages an import has at least.
	imported = 10_000
)

// triples is message i of an import.
func triples(i int) string {
	return fmt.Sprintf(`{"metadata":{"id":"m%d","metadata":[],"collection":"c"},"triples":[{"s":{"t":"i","i":"s%d"},"p":{"t":"i","i":"p"},"o":{"t":"l","v":"o"}}]}`, i, i)
}

// indexOf is the number in a message's metadata, on the bus or in an export.
func indexOf(body []byte) int {
	var m struct{ Metadata struct{ ID string } }
	if json.Unmarshal(body, &m) != nil {
		return -1
	}
	i, err := strconv.Atoi(strings.TrimPrefix(m.Metadata.ID, "m"))
	if err != nil {
		return -1
	}
	return i
}

// report is what the gateway has said of an import.
type report struct {
	mu      sync.Mutex
	settled int // messages 0 to settled-1 are settled
	failed  map[int]bool
	first   chan struct{} // closed with the first settled message
	ended   chan struct{}
	err     error // of the socket, once ended is closed
}

// listen reads an import's socket until it ends.
func listen(ws *websocket.Conn) *report {
	r := &report{failed: make(map[int]bool), first: make(chan struct{}), ended: make(chan struct{})}
	go func() {
		defer close(r.ended)
		for {
			f, err := receive(ws)
			if err != nil {
				r.err = err
				return
			}
			r.note(f)
		}
	}()
	return r
}

func (r *report) note(f *frame) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case f.Ack != nil && *f.Ack >= r.settled:
		if r.settled == 0 {
			close(r.first)
		}
		r.settled = *f.Ack + 1
	case f.Index != nil:
		r.failed[*f.Index] = true
	}
}

// store is the durable queue of the flow's triple store, whose service is down:
// what is in it can be counted.
type store struct {
	node  *brokertest.Node
	p     *platform
	topic bus.Topic
}

// parkedStore makes the queue.
func parkedStore(t *testing.T, node *brokertest.Node, p *platform) *store {
	t.Helper()
	s := &store{node, p, mustTopic(t, p.topic("flow", "triples-store", "demo"))}
	eventually(t, "the store's queue exists", func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		sub, err := p.bus.Subscribe(ctx, bus.Consumer{Topic: s.topic, Name: "e2e", Handler: func(d *bus.Delivery) { d.Ack() }})
		if err != nil {
			return err
		}
		return sub.Close(ctx)
	})
	return s
}

// count asks the broker.
func (s *store) count(t *testing.T) int {
	t.Helper()
	for line := range strings.Lines(s.node.Ctl(t, "list_queues", "-p", "sluice", "name", "messages")) {
		name, n, _ := strings.Cut(strings.TrimSpace(line), "\t")
		if name != s.topic.Queue("e2e") {
			continue
		}
		count, err := strconv.Atoi(n)
		if err != nil {
			t.Fatal(err)
		}
		return count
	}
	t.Fatal("the store has no queue")
	return 0
}

// drain takes n messages out of the queue and returns how often each index was
// among them.
func (s *store) drain(t *testing.T, n int) map[int]int {
	t.Helper()
	var mu sync.Mutex
	indices, total := make(map[int]int), 0
	s.p.consume(t, s.p.topic("flow", "triples-store", "demo"), func(d *bus.Delivery) {
		mu.Lock()
		indices[indexOf(d.Body)]++
		total++
		mu.Unlock()
		d.Ack()
	})
	eventually(t, "the queue is empty", func() error {
		mu.Lock()
		defer mu.Unlock()
		if total < n {
			return fmt.Errorf("%d of %d", total, n)
		}
		return nil
	})
	mu.Lock()
	defer mu.Unlock()
	return indices
}

// importing is an import in the middle of which something happens.
type importing struct {
	store *store
	g     *gateway
	ws    *websocket.Conn
	told  *report
	// over is closed, once, when what was to happen has happened: until then
	// messages are sent, more than there have to be if it takes that long.
	over chan struct{}
	// sent is closed when count messages were written and sendErr is known.
	sent    chan struct{}
	count   int
	sendErr error
}

// startImport sends everything as fast as it goes and waits for the first word
// about it, if there will be any.
func startImport(t *testing.T, node *brokertest.Node, query string) *importing {
	t.Helper()
	p := startPlatform(t, node.URL)
	p.define(adminWorkspace, "demo", p.record("demo"))
	im := &importing{
		store: parkedStore(t, node, p), g: startGateway(t, node.URL, p.space),
		over: make(chan struct{}), sent: make(chan struct{}),
	}
	im.g.awaitReady(t)
	im.ws = im.g.mustDial(t, importPath+query, apiKey)
	im.told = listen(im.ws)
	go im.send()
	t.Cleanup(func() {
		im.ws.Close() // ends send, too
		<-im.sent
		<-im.told.ended
	})
	if query != "" {
		await(t, im.told.first, "something is settled")
	}
	return im
}

func (im *importing) send() {
	defer close(im.sent)
	for enough := false; !enough; im.count++ {
		if im.sendErr = send(im.ws, triples(im.count)); im.sendErr != nil {
			return
		}
		select {
		case <-im.over:
			enough = im.count+1 >= imported
		default:
		}
	}
}

func await(t *testing.T, c <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		t.Fatalf("%s: not within %v", what, patience)
	}
}

// balance ends an import: every message reported as settled is in the queue.
func (im *importing) balance(t *testing.T) {
	t.Helper()
	await(t, im.sent, "the client has noticed")
	n := im.store.count(t)
	indices := im.store.drain(t, n)
	im.told.mu.Lock()
	defer im.told.mu.Unlock()
	lost := 0
	for i := range im.told.settled {
		if indices[i] == 0 && !im.told.failed[i] {
			lost++
		}
	}
	t.Logf("settled %d (failed %d) of %d, in the queue %d with %d different; socket: %v",
		im.told.settled, len(im.told.failed), im.count, n, len(indices), im.told.err)
	if lost > 0 {
		t.Errorf("%d messages were reported as settled and are not in the queue", lost)
	}
	if n > len(indices) {
		t.Errorf("%d messages are in the queue twice: nothing was to be sent again", n-len(indices))
	}
	if indices[-1] > 0 {
		t.Errorf("%d messages were never sent", indices[-1])
	}
}

// 10,000 imports in flight, and something happens.
func TestImportsInFlight(t *testing.T) {
	t.Parallel()
	node := brokertest.Private(t)

	t.Run("SIGTERM", func(t *testing.T) {
		im := startImport(t, node, "?ack=1")
		if err := im.g.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		await(t, im.told.ended, "the socket ends")
		if code := closeCode(im.told.err); code != websocket.CloseGoingAway {
			t.Errorf("closed with %v", im.told.err)
		}
		await(t, im.g.ended, "the gateway ends")
		im.balance(t)
	})

	for _, query := range []string{"", "?ack=100"} {
		t.Run("client close "+query, func(t *testing.T) {
			im := startImport(t, node, query)
			close(im.over)
			await(t, im.sent, "everything is sent")
			if err := errors.Join(im.sendErr, sayGoodbye(im.ws)); err != nil {
				t.Fatal(err)
			}
			await(t, im.told.ended, "the socket ends")
			if code := closeCode(im.told.err); code != websocket.CloseNormalClosure {
				t.Errorf("closed with %v", im.told.err)
			}
			if n := im.told.settled; query != "" && n != im.count {
				t.Errorf("%d of %d reported as settled", n, im.count)
			}
			im.told.settled = im.count // is what the clean close says
			im.balance(t)
		})
	}

	t.Run("client gone", func(t *testing.T) {
		im := startImport(t, node, "?ack=1")
		_ = im.ws.NetConn().Close()
		await(t, im.told.ended, "the socket ends")
		eventually(t, "the gateway has noticed", func() error {
			if n := im.g.metric(t, "sluice_ws_sockets"); n != 0 {
				return fmt.Errorf("%v sockets", n)
			}
			return nil
		})
		im.balance(t)
	})

	t.Run("broker restart", func(t *testing.T) {
		im := startImport(t, node, "?ack=1")
		im.outage(t)
		close(im.over)
		await(t, im.sent, "everything is sent")
		if err := errors.Join(im.sendErr, sayGoodbye(im.ws)); err != nil {
			t.Errorf("the restart ended the socket: %v", err)
		}
		await(t, im.told.ended, "the socket ends")
		if im.told.settled != im.count {
			t.Errorf("the gateway has said what became of %d out of %d", im.told.settled, im.count)
		}
		im.balance(t)
	})

	t.Run("broker restart without acknowledgements", func(t *testing.T) {
		im := startImport(t, node, "")
		eventually(t, "messages are in the queue", func() error {
			if im.store.count(t) == 0 {
				return errors.New("none")
			}
			return nil
		})
		im.outage(t)
		close(im.over)
		await(t, im.told.ended, "the socket ends")
		// It was in the middle of things: nobody can say what became of all of them.
		if code := closeCode(im.told.err); code != websocket.CloseInternalServerErr {
			t.Errorf("closed with %v", im.told.err)
		}
		im.balance(t)
	})
}

// outage stops the broker and starts it again, in the middle of the import.
func (im *importing) outage(t *testing.T) {
	t.Helper()
	im.store.node.Ctl(t, "stop_app")
	im.store.node.Ctl(t, "start_app")
	im.g.awaitReady(t)
	if n := im.g.metric(t, "sluice_bus_connections_lost_total"); n < 1 {
		t.Error("the gateway has not noticed")
	}
	eventually(t, "the services are back", im.store.p.bus.Ready)
}
