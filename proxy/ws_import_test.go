package proxy

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fasthttp/websocket"

	"sluice/bus"
	"sluice/codec"
)

// ackOf is the number of an ack, -1 for other frames.
func ackOf(frame string) int {
	var f struct{ Ack *int }
	if json.Unmarshal([]byte(frame), &f) != nil || f.Ack == nil {
		return -1
	}
	return *f.Ack
}

func TestImportEveryKind(t *testing.T) {
	r := newStreamRig(t, Config{})
	term := `{"t":"i","i":"x"}`
	for kind, frame := range map[codec.Kind]string{
		codec.Triples:            tripleFrame(1),
		codec.GraphEmbeddings:    `{"metadata":{"id":"m1","collection":"c"},"entities":[{"entity":` + term + `,"vector":[1.5]}]}`,
		codec.DocumentEmbeddings: `{"chunks":[{"chunk_id":"k","vector":[1]}]}`,
		codec.EntityContexts:     `{"metadata":{"id":"m1","collection":"c"},"entities":[{"entity":` + term + `,"context":"text"}]}`,
		codec.Rows:               `{"metadata":{"id":"m1","collection":"c"},"schema_name":"s","values":{"a":1}}`,
	} {
		want, err := codec.AppendImport(nil, kind, []byte(frame))
		if err != nil {
			t.Fatal(err)
		}
		iface := (&flowStream{kind: kind}).iface()
		store := r.consume("acme", iface)
		ws := r.mustOpen("/api/v1/flow/f/import/"+kind.String(), "writer")
		write(t, ws, frame)
		if err := ws.WriteMessage(websocket.BinaryMessage, []byte(frame)); err != nil {
			t.Fatal(err)
		}
		sayBye(t, ws)
		wantClose(t, ws, 1000, "")
		eventually(t, "both messages arrive", func() bool { return len(store.all()) == 2 })
		for _, got := range store.all() {
			if got != string(want) {
				t.Errorf("%v: %s, want %s", kind, got, want)
			}
		}
	}
}

// TestImportKeepsOrder sends 10,000 messages over a bus in this process: they are
// all there, in order, when the close is echoed.
func TestImportKeepsOrder(t *testing.T) {
	const total = 10_000
	r := newStreamRig(t, Config{})
	store := r.consume("acme", "triples-store")
	ws := r.mustOpen(importTriples, "writer")
	for i := range total {
		write(t, ws, tripleFrame(i))
	}
	sayBye(t, ws)
	wantClose(t, ws, 1000, "")
	eventually(t, "everything arrives", func() bool { return len(store.all()) == total })
	for i, got := range store.all() {
		if want := fmt.Sprintf(`"id":"m%d"`, i); !strings.Contains(got, want) {
			t.Fatalf("message %d is %s", i, got)
		}
	}
}

// TestImportAcks settles 10,000 messages in random order: acks never claim what is
// not settled, come every N messages, and cover everything at the end.
func TestImportAcks(t *testing.T) {
	const total, every = 10_000, 100
	r := newStreamRig(t, Config{})
	r.bus.hold()
	ws := r.mustOpen(importTriples+"?ack=100", "writer")
	written := make(chan error, 1)
	go func() {
		for i := range total {
			if err := ws.WriteMessage(websocket.TextMessage, []byte(tripleFrame(i))); err != nil {
				written <- err
				return
			}
		}
		bye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
		written <- ws.WriteControl(websocket.CloseMessage, bye, time.Now().Add(patience))
	}()
	acks := make(chan int, total)
	closed := make(chan string, 1)
	go func() {
		defer close(acks)
		for {
			_, msg, err := ws.ReadMessage()
			if err != nil {
				closed <- err.Error()
				return
			}
			acks <- ackOf(string(msg))
		}
	}()
	settled, seen := make([]bool, total), 0
	last := -1
	for seen < total {
		batch := r.bus.take(t, 1)
		if len(batch) > windowMessages {
			t.Fatalf("%d messages on their way", len(batch))
		}
		shuffle(batch)
		for _, s := range batch {
			settled[s.token] = true
			s.to.Settled(s.token, nil)
			seen++
		}
		for more := true; more; {
			select {
			case n, open := <-acks:
				if !open { // the last ack may be read, and the socket closed, before this
					more = false
					break
				}
				if n < last+every && n != total-1 {
					t.Fatalf("ack of %d after %d", n, last)
				}
				last = n
				for i := range n + 1 {
					if !settled[i] {
						t.Fatalf("ack of %d, but %d is not settled", n, i)
					}
				}
			default:
				more = false
			}
		}
	}
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	for n := range acks {
		if n <= last {
			t.Errorf("ack of %d after %d", n, last)
		}
		last = n
	}
	if last != total-1 {
		t.Errorf("the last ack is %d", last)
	}
	if got := <-closed; got != "websocket: close 1000 (normal)" {
		t.Errorf("closed with %s", got)
	}
}

func TestImportAckArithmetic(t *testing.T) {
	r := newStreamRig(t, Config{})
	r.bus.hold()
	ws := r.mustOpen(importTriples+"?ack=3", "writer")
	for i := range 8 {
		write(t, ws, tripleFrame(i))
	}
	waiting := r.bus.take(t, 8)
	for _, i := range []int{1, 2, 0, 4, 5, 3} { // acks 2 with 0, and 5 with 3
		waiting[i].to.Settled(waiting[i].token, nil)
	}
	sayBye(t, ws)
	waiting[7].to.Settled(7, nil)
	waiting[6].to.Settled(6, nil)
	frames := wantClose(t, ws, 1000, "")
	if got, want := strings.Join(frames, " "), `{"ack":2} {"ack":5} {"ack":7}`; got != want {
		t.Errorf("acks %s, want %s", got, want)
	}
}

func TestImportAckReportsFailures(t *testing.T) {
	r := newStreamRig(t, Config{})
	r.bus.hold()
	ws := r.mustOpen(importTriples+"?ack=1", "writer")
	write(t, ws, tripleFrame(0))
	write(t, ws, `{"triples":[]}`)
	write(t, ws, `{`)
	write(t, ws, tripleFrame(3))
	write(t, ws, tripleFrame(4))
	waiting := r.bus.take(t, 3)
	waiting[1].to.Settled(3, bus.ErrUnroutable)
	waiting[2].to.Settled(4, fmt.Errorf("%w: connection lost to 10.1.2.3", bus.ErrOutcomeUnknown))
	waiting[0].to.Settled(0, nil)
	r.bus.fail(bus.ErrUnavailable)
	write(t, ws, tripleFrame(5))
	sayBye(t, ws)
	frames := wantClose(t, ws, 1000, "")
	want := []string{
		`{"error":"missing required member \"metadata\"","index":1}`,
		`{"error":"invalid JSON at byte 1: expected a member name in double quotes","index":2}`,
		`{"error":"no service is listening","index":3}`,
		`{"error":"outcome unknown","index":4}`,
		`{"ack":4}`,
		`{"error":"message bus unavailable","index":5}`,
		`{"ack":5}`,
	}
	if len(frames) != len(want) {
		t.Fatalf("frames %q", frames)
	}
	for i := range want {
		if frames[i] != want[i] {
			t.Errorf("frame %d is %s, want %s", i, frames[i], want[i])
		}
	}
}

// TestImportEndsWithTheReason covers how imports end (G37, G38).
func TestImportEndsWithTheReason(t *testing.T) {
	for _, c := range []struct {
		name   string
		do     func(r *streamRig, ws *websocket.Conn)
		code   int
		reason string
	}{
		{"frame without metadata", func(_ *streamRig, ws *websocket.Conn) {
			write(t, ws, `{"triples":[]}`)
		}, 1007, `message 2: missing required member "metadata"`},
		{"not JSON", func(_ *streamRig, ws *websocket.Conn) {
			write(t, ws, `nothing`)
		}, 1007, `message 2: invalid JSON at byte 0: expected a value`},
		{"not UTF-8", func(_ *streamRig, ws *websocket.Conn) {
			write(t, ws, "\"\xff\"")
		}, 1007, "message 2: text is not UTF-8"},
		{"not UTF-8, an earlier one never confirmed", func(r *streamRig, ws *websocket.Conn) {
			write(t, ws, tripleFrame(2))
			r.bus.take(t, 1)
			write(t, ws, "\"\xff\"")
		}, 1011, "unconfirmed from message 2 on"},
		{"client closes", func(_ *streamRig, ws *websocket.Conn) { sayBye(t, ws) }, 1000, ""},
		{"flow stops", func(r *streamRig, _ *websocket.Conn) { r.table.StopFlow("acme", "f") }, 1001, "Flow stopped"},
		{"flow moves", func(r *streamRig, _ *websocket.Conn) {
			r.table.StartFlow("acme", "f", codec.FlowRecord{Interfaces: map[string]codec.Interface{
				"triples-store": {Flow: "flow:tg:elsewhere"},
			}})
		}, 1001, "Flow stopped"},
		{"flow stops with messages queued", func(r *streamRig, ws *websocket.Conn) {
			for i := range windowMessages + 10 {
				write(t, ws, tripleFrame(2+i))
			}
			waiting := r.bus.take(t, windowMessages)
			eventually(t, "the rest is read", func() bool { return queuedImports(r) == 10 })
			r.table.StopFlow("acme", "f")
			eventually(t, "the import ends", func() bool { return importsEnding(r) == 1 })
			for _, s := range waiting {
				s.to.Settled(s.token, nil)
			}
		}, 1001, "Flow stopped before message 1026"},
		{"no queue", func(r *streamRig, ws *websocket.Conn) {
			r.bus.fail(nil)
			write(t, ws, tripleFrame(2))
			for _, s := range r.bus.take(t, 1) {
				s.to.Settled(s.token, bus.ErrUnroutable)
			}
		}, 1011, "message 2: no service is listening"},
		{"outcome unknown", func(r *streamRig, ws *websocket.Conn) {
			write(t, ws, tripleFrame(2))
			write(t, ws, tripleFrame(3))
			waiting := r.bus.take(t, 2)
			waiting[1].to.Settled(3, bus.ErrOutcomeUnknown)
			waiting[0].to.Settled(2, bus.ErrOutcomeUnknown)
		}, 1011, "message 2: outcome unknown"},
		{"bus away", func(r *streamRig, ws *websocket.Conn) {
			r.bus.fail(bus.ErrUnavailable)
			write(t, ws, tripleFrame(2))
		}, 1011, "message 2: message bus unavailable"},
		{"never confirmed", func(r *streamRig, ws *websocket.Conn) {
			write(t, ws, tripleFrame(2))
			write(t, ws, tripleFrame(3))
			r.bus.take(t, 2)[1].to.Settled(3, nil)
			sayBye(t, ws)
		}, 1011, "unconfirmed from message 2 on"},
		{"bad frame, an earlier one never confirmed", func(r *streamRig, ws *websocket.Conn) {
			write(t, ws, tripleFrame(2))
			r.bus.take(t, 1)
			write(t, ws, `[]`)
		}, 1011, "unconfirmed from message 2 on"},
		{"bad frame, an earlier one fails", func(r *streamRig, ws *websocket.Conn) {
			write(t, ws, tripleFrame(2))
			s := r.bus.take(t, 1)[0]
			write(t, ws, `[]`)
			s.to.Settled(2, bus.ErrUnroutable)
		}, 1011, "message 2: no service is listening"},
		{"shutdown", func(r *streamRig, ws *websocket.Conn) {
			write(t, ws, tripleFrame(2))
			s := r.bus.take(t, 1)[0]
			go r.stop()
			eventually(t, "it drains", r.server.draining.Load)
			s.to.Settled(2, nil)
		}, 1001, reasonShutdown},
	} {
		t.Run(c.name, func(t *testing.T) {
			wait := patience // what is never confirmed is waited for as long
			if strings.HasPrefix(c.reason, "unconfirmed") {
				wait = 100 * time.Millisecond
			}
			r := newStreamRig(t, Config{ImportConfirmWait: wait, SocketPing: 400 * time.Millisecond})
			r.bus.hold()
			ws := r.mustOpen(importTriples, "writer")
			write(t, ws, tripleFrame(0))
			write(t, ws, tripleFrame(1))
			for _, s := range r.bus.take(t, 2) {
				s.to.Settled(s.token, nil)
			}
			c.do(r, ws)
			wantClose(t, ws, c.code, c.reason)
			r.stop()
			r.bus.mu.Lock()
			defer r.bus.mu.Unlock()
			if len(r.bus.bodies) < 2 || r.bus.bodies[0] != tripleMessage(t, 0) || r.bus.bodies[1] != tripleMessage(t, 1) {
				t.Errorf("published %q", r.bus.bodies)
			}
		})
	}
}

// TestImportWaitsForAllAtClose closes with everything still unsettled.
func TestImportWaitsForAllAtClose(t *testing.T) {
	const total = windowMessages
	r := newStreamRig(t, Config{})
	r.bus.hold()
	ws := r.mustOpen(importTriples, "writer")
	for i := range total {
		write(t, ws, tripleFrame(i))
	}
	sayBye(t, ws)
	waiting := r.bus.take(t, total)
	shuffle(waiting)
	for k, s := range waiting {
		if k == total-1 {
			eventually(t, "the client's close is seen", func() bool { return importsEnding(r) == 1 })
			if importsOver(r) != 0 {
				t.Fatal("closed although one message is unsettled")
			}
		}
		s.to.Settled(s.token, nil)
	}
	wantClose(t, ws, 1000, "")
}

// importsEnding counts imports that take nothing more, importsOver those that are
// done.
func importsEnding(r *streamRig) (n int) {
	for _, c := range r.server.sockets.snapshot(nil) {
		if i, ok := c.handler.(*importer); ok {
			i.mu.Lock()
			if i.ending.code != 0 {
				n++
			}
			i.mu.Unlock()
		}
	}
	return n
}

func importsOver(r *streamRig) (n int) {
	for _, c := range r.server.sockets.snapshot(nil) {
		if i, ok := c.handler.(*importer); ok {
			select {
			case <-i.over:
				n++
			default:
			}
		}
	}
	return n
}

// TestImportGoesOnAfterTheClientVanished publishes what was read.
func TestImportGoesOnAfterTheClientVanished(t *testing.T) {
	r := newStreamRig(t, Config{})
	r.bus.hold()
	ws := r.mustOpen(importTriples, "writer")
	for i := range windowMessages + 500 {
		write(t, ws, tripleFrame(i))
	}
	first := r.bus.take(t, windowMessages)
	eventually(t, "the rest is read", func() bool { return r.server.importing.Load() > 0 && queuedImports(r) == 500 })
	_ = ws.NetConn().Close()
	for _, s := range first {
		s.to.Settled(s.token, nil)
	}
	for _, s := range r.bus.take(t, 500) {
		s.to.Settled(s.token, nil)
	}
	eventually(t, "the socket is gone", func() bool { return len(r.server.sockets.snapshot(nil)) == 0 })
}

func queuedImports(r *streamRig) (n int) {
	for _, c := range r.server.sockets.snapshot(nil) {
		if i, ok := c.handler.(*importer); ok {
			i.mu.Lock()
			n += i.queue.len()
			i.mu.Unlock()
		}
	}
	return n
}

// bigFrame is a message of about n bytes.
func bigFrame(n int) string {
	return `{"metadata":{"id":"` + strings.Repeat("x", n) + `","collection":"c"},"triples":[]}`
}

// TestImportPausesReading fills the window, and then what is read beyond it; pings
// behind the first are still answered, and the rest is not read.
func TestImportPausesReading(t *testing.T) {
	const each = 1 << 20
	r := newStreamRig(t, Config{})
	r.bus.hold()
	ws := r.mustOpen(importTriples+"?ack=1", "writer")
	pongs := make(chan string, 4)
	ws.SetPongHandler(func(text string) error { pongs <- text; return nil })
	frames := make(chan []string, 1)
	go func() {
		got, _, _ := readAll(t, ws)
		frames <- got
	}()
	for range 12 { // 7 in the window, the rest beyond it
		write(t, ws, bigFrame(each))
	}
	if err := ws.WriteControl(websocket.PingMessage, []byte("still there?"), time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if got := <-pongs; got != "still there?" {
		t.Errorf("pong %q", got)
	}
	first := r.bus.take(t, 7)
	if len(first) != 7 {
		t.Errorf("%d messages of 1 MiB are on their way", len(first))
	}
	sent := make(chan error, 1)
	go func() {
		for range 40 {
			if err := ws.WriteMessage(websocket.TextMessage, []byte(bigFrame(each))); err != nil {
				sent <- err
				return
			}
		}
		bye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
		sent <- ws.WriteControl(websocket.CloseMessage, bye, time.Now().Add(patience))
	}()
	eventually(t, "reading pauses", func() bool { return queuedImports(r) >= 8 })
	for settled := 0; ; {
		for _, s := range first {
			s.to.Settled(s.token, nil)
			settled++
		}
		if settled == 52 {
			break
		}
		if n := r.server.importing.Load(); n > importBacklogBytes+2*each {
			t.Fatalf("%d bytes are queued", n)
		}
		first = r.bus.take(t, 1)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	got := <-frames
	if len(got) == 0 || ackOf(got[len(got)-1]) != 51 {
		t.Errorf("the last of %d frames is no ack of 51", len(got))
	}
}

// TestImportOfManySharesMemory stops reading when all imports together hold too
// much, but never an import that holds nothing.
func TestImportOfManySharesMemory(t *testing.T) {
	r := newStreamRig(t, Config{SocketBudgetBytes: 1 << 20})
	r.server.importing.Add(2 << 20)
	defer r.server.importing.Add(-2 << 20)
	store := r.consume("acme", "triples-store")
	ws := r.mustOpen(importTriples, "writer")
	for i := range 100 {
		write(t, ws, tripleFrame(i))
	}
	sayBye(t, ws)
	wantClose(t, ws, 1000, "")
	eventually(t, "everything arrives", func() bool { return len(store.all()) == 100 })
}

func TestImportClosesWhoDoesNotReadAcks(t *testing.T) {
	r := newStreamRig(t, Config{SocketQueueBytes: 1 << 10})
	r.bus.hold()
	ws := r.mustOpen(importTriples+"?ack=1", "writer")
	for i := range 100 {
		write(t, ws, tripleFrame(i))
	}
	// All at once: the writer does not get to empty the queue in between.
	eventually(t, "everything is on its way", func() bool { return r.bus.count() == 100 })
	conn := r.server.sockets.snapshot(nil)[0]
	conn.out.mu.Lock()
	conn.out.bytes.Add(1 << 10) // as if so much were being written
	conn.out.mu.Unlock()
	for _, s := range r.bus.take(t, 100) {
		s.to.Settled(s.token, nil)
	}
	wantClose(t, ws, 1013, reasonSlow)
	conn.out.bytes.Add(-1 << 10)
}

func TestImportTakesLargeFrames(t *testing.T) {
	r := newStreamRig(t, Config{})
	store := r.consume("acme", "triples-store")
	ws := r.mustOpen(importTriples, "writer")
	write(t, ws, bigFrame(20<<20))
	sayBye(t, ws)
	wantClose(t, ws, 1000, "")
	eventually(t, "it arrives", func() bool { return len(store.all()) == 1 })
}

func TestImportMetrics(t *testing.T) {
	r := newStreamRig(t, Config{})
	before := gather(t, "sluice_import_messages_total")
	r.consume("acme", "triples-store")
	ws := r.mustOpen(importTriples+"?ack=1", "writer")
	write(t, ws, tripleFrame(0))
	write(t, ws, `[]`)
	sayBye(t, ws)
	wantClose(t, ws, 1000, "")
	after := gather(t, "sluice_import_messages_total")
	for result, want := range map[string]float64{"ok": 1, "invalid": 1, "unroutable": 0} {
		if got := after[result] - before[result]; got != want {
			t.Errorf("%s: %v, want %v", result, got, want)
		}
	}
}

// TestImportsComeAndGo opens and closes imports in every way at once.
func TestImportsComeAndGo(t *testing.T) {
	r := newStreamRig(t, Config{})
	r.consume("acme", "triples-store")
	for n := range 50 {
		ws := r.mustOpen(importTriples, "writer")
		write(t, ws, tripleFrame(n))
		switch n % 3 {
		case 0:
			_ = ws.NetConn().Close()
		case 1:
			sayBye(t, ws)
			wantClose(t, ws, 1000, "")
		case 2:
			write(t, ws, `[]`)
			wantClose(t, ws, 1007, "message 1: the frame must be a JSON object")
		}
	}
	eventually(t, "all are gone", func() bool { return len(r.server.sockets.snapshot(nil)) == 0 })
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := r.server.Shutdown(ctx); err != nil {
		t.Error(err)
	}
}

// TestImportShutdownInFlight ends the server with 10,000 messages in flight: what
// was reported as settled is in the queue.
func TestImportShutdownInFlight(t *testing.T) {
	const total = 10_000
	r := newStreamRig(t, Config{})
	store := r.consume("acme", "triples-store")
	ws := r.mustOpen(importTriples+"?ack=1", "writer")
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for i := range total {
			if ws.WriteMessage(websocket.TextMessage, []byte(tripleFrame(i))) != nil {
				return
			}
		}
	}()
	if _, _, err := ws.ReadMessage(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = r.server.Shutdown(context.Background()) }() // the bus goes on
	frames := wantClose(t, ws, 1001, reasonShutdown)
	_ = ws.Close()
	<-sent
	<-done
	acked := 0
	if len(frames) > 0 {
		acked = ackOf(frames[len(frames)-1])
	}
	eventually(t, "what is settled arrives", func() bool { return len(store.all()) > acked })
	got := store.all()
	for i := range acked + 1 {
		if want := fmt.Sprintf(`"id":"m%d"`, i); !strings.Contains(got[i], want) {
			t.Fatalf("message %d is %s", i, got[i])
		}
	}
}

// TestImportContainsPanics: one costs its socket, and nothing stays behind.
func TestImportContainsPanics(t *testing.T) {
	r := newStreamRig(t, Config{ImportConfirmWait: 50 * time.Millisecond})
	r.mayPanic.Store(true)
	ws := r.mustOpen(importTriples, "writer")
	r.bus.fail(errPanic)
	for i := range 10 { // the socket may be closed before the last one
		_ = ws.WriteMessage(websocket.TextMessage, []byte(tripleFrame(i)))
	}
	wantClose(t, ws, 1011, reasonInternal)
	eventually(t, "it is gone", func() bool { return len(r.server.sockets.snapshot(nil)) == 0 })
	r.bus.fail(nil)
	r.consume("acme", "triples-store")
	ws = r.mustOpen(importTriples, "writer")
	write(t, ws, tripleFrame(0))
	sayBye(t, ws)
	wantClose(t, ws, 1000, "")
}
