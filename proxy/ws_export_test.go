package proxy

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fasthttp/websocket"

	"sluice/bus"
	"sluice/codec"
	"sluice/proxy/dispatch"
)

// bigMessage is message i on the bus, of about n bytes.
func bigMessage(t testing.TB, i, n int) string {
	t.Helper()
	frame := fmt.Sprintf(`{"metadata":{"id":"m%d","root":"%s","collection":"c"},"triples":[]}`, i, strings.Repeat("x", n))
	out, err := codec.AppendImport(nil, codec.Triples, []byte(frame))
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// numberOf is i of such a message; dropped is the number of a notice.
func numberOf(t testing.TB, frame []byte) (i, dropped int) {
	t.Helper()
	var f struct {
		Dropped  int
		Metadata struct{ ID string }
	}
	if err := json.Unmarshal(frame, &f); err != nil {
		t.Fatalf("%v in %.60q", err, frame)
	}
	if f.Dropped > 0 {
		return -1, f.Dropped
	}
	if _, err := fmt.Sscanf(f.Metadata.ID, "m%d", &i); err != nil {
		t.Fatalf("%v in %.60q", err, frame)
	}
	return i, 0
}

func TestExportEveryKind(t *testing.T) {
	r := newStreamRig(t, Config{})
	term := `{"t":"i","i":"x"}`
	for kind, frame := range map[codec.Kind]string{
		codec.Triples:            tripleFrame(1),
		codec.GraphEmbeddings:    `{"metadata":{"id":"m1","collection":"c"},"entities":[{"entity":` + term + `,"vector":[1.5]}]}`,
		codec.DocumentEmbeddings: `{"chunks":[{"chunk_id":"k","vector":[1]}]}`,
		codec.EntityContexts:     `{"metadata":{"id":"m1","collection":"c"},"entities":[{"entity":` + term + `,"context":"text"}]}`,
	} {
		msg, err := codec.AppendImport(nil, kind, []byte(frame))
		if err != nil {
			t.Fatal(err)
		}
		want, err := codec.AppendExport(nil, kind, msg)
		if err != nil {
			t.Fatal(err)
		}
		for _, how := range []string{"", "?overflow=close", "?overflow=drop-oldest", "?overflow=block"} {
			ws := r.mustOpen("/api/v1/flow/f/export/"+kind.String()+how, "reader")
			r.publish("acme", (&flowStream{kind: kind}).iface(), string(msg))
			op, got, err := ws.ReadMessage()
			if err != nil || op != websocket.TextMessage || string(got) != string(want) {
				t.Errorf("%v%s: %s, %v; want %s", kind, how, got, err, want)
			}
			write(t, ws, "ignored")
			sayBye(t, ws)
			wantClose(t, ws, 1000, "")
		}
	}
}

// TestExportIsEncodedOnce shares one encoding among 100 sockets, and one consumer.
func TestExportIsEncodedOnce(t *testing.T) {
	const sockets, messages = 100, 50
	r := newStreamRig(t, Config{})
	all := make([]*websocket.Conn, sockets)
	for i := range all {
		all[i] = r.mustOpen(exportTriples, "reader")
	}
	before := gather(t, "sluice_export_messages_total")[""]
	framesBefore := gather(t, "sluice_export_frames_total")["queued"]
	for i := range messages {
		r.publish("acme", "triples-store", tripleMessage(t, i))
	}
	for _, ws := range all {
		for i := range messages {
			_, msg, err := ws.ReadMessage()
			if err != nil {
				t.Fatal(err)
			}
			if got, _ := numberOf(t, msg); got != i {
				t.Fatalf("frame %d is message %d", i, got)
			}
		}
	}
	if n := gather(t, "sluice_export_messages_total")[""] - before; n != messages {
		t.Errorf("%v messages were encoded for %d", n, messages)
	}
	if n := gather(t, "sluice_export_frames_total")["queued"] - framesBefore; n != messages*sockets {
		t.Errorf("%v frames were queued for %d", n, messages*sockets)
	}
}

// TestExportSkipsWhatCannotBeEncoded goes on behind any number of bad messages
// (G40).
func TestExportSkipsWhatCannotBeEncoded(t *testing.T) {
	r := newStreamRig(t, Config{})
	for _, how := range []string{"", "?overflow=block"} {
		ws := r.mustOpen(exportTriples+how, "reader")
		for range 10 {
			r.publish("acme", "triples-store", `[]`, `{"triples":[]}`, `not JSON`)
		}
		r.publish("acme", "triples-store", tripleMessage(t, 7))
		_, msg, err := ws.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := numberOf(t, msg); got != 7 {
			t.Errorf("message %d", got)
		}
		_ = ws.Close()
	}
}

func TestExportEndsWithItsFlow(t *testing.T) {
	for _, how := range []string{"", "?overflow=drop-oldest", "?overflow=block"} {
		r := newStreamRig(t, Config{})
		ws := r.mustOpen(exportTriples+how, "reader")
		r.publish("acme", "triples-store", tripleMessage(t, 1))
		if _, _, err := ws.ReadMessage(); err != nil {
			t.Fatal(err)
		}
		r.table.StopFlow("acme", "f")
		wantClose(t, ws, 1001, "Flow stopped")
	}
}

func TestExportEndsAtShutdown(t *testing.T) {
	r := newStreamRig(t, Config{})
	var all []*websocket.Conn
	for _, how := range []string{"", "?overflow=drop-oldest", "?overflow=block"} {
		all = append(all, r.mustOpen(exportTriples+how, "reader"))
	}
	done := make(chan struct{})
	go func() { defer close(done); r.stop() }()
	for _, ws := range all {
		wantClose(t, ws, 1001, reasonShutdown)
	}
	<-done
}

// flood publishes n messages of that size as fast as they go, and returns when the
// slowest healthy reader has had all of them.
func flood(t *testing.T, r *streamRig, healthy *websocket.Conn, n, size int) {
	t.Helper()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		for i := range n {
			_, msg, err := healthy.ReadMessage()
			if err != nil {
				t.Errorf("healthy reader: %v", err)
				return
			}
			if got, _ := numberOf(t, msg); got != i {
				t.Errorf("healthy reader: frame %d is message %d", i, got)
				return
			}
		}
	})
	topic, err := bus.ParseTopic(streamTopic("acme", "triples-store"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		m := bus.Message{To: topic, Body: []byte(bigMessage(t, i, size))}
		if _, err := r.bus.Publish(context.Background(), &m); err != nil {
			t.Fatal(err)
		}
	}
}

// TestExportSlowReaderIsClosed: the others and the publisher go on.
func TestExportSlowReaderIsClosed(t *testing.T) {
	r := newStreamRig(t, Config{SocketQueueBytes: 1 << 20, WriteStall: 2 * time.Second})
	slow, healthy := r.mustOpenSlow(exportTriples, "reader"), r.mustOpen(exportTriples+"?overflow=block", "reader")
	before := gather(t, "sluice_export_frames_total")["dropped"]
	flood(t, r, healthy, 400, 32<<10)
	eventually(t, "the slow one is gone", func() bool { return len(r.server.sockets.snapshot(nil)) == 1 })
	for {
		if _, _, err := slow.ReadMessage(); err != nil {
			break
		}
	}
	if n := gather(t, "sluice_export_frames_total")["dropped"] - before; n < 1 {
		t.Errorf("%v frames dropped", n)
	}
}

// TestExportSlowReaderIsTold reads the 1013 of a queue that was too long for
// a moment only.
func TestExportSlowReaderIsTold(t *testing.T) {
	r := newStreamRig(t, Config{SocketQueueBytes: 1 << 10})
	ws := r.mustOpen(exportTriples, "reader")
	eventually(t, "the socket is open", func() bool { return len(r.server.sockets.snapshot(nil)) == 1 })
	c := r.server.sockets.snapshot(nil)[0]
	c.out.bytes.Add(1 << 10) // as if so much were being written
	r.publish("acme", "triples-store", tripleMessage(t, 1))
	wantClose(t, ws, 1013, reasonSlow)
	c.out.bytes.Add(-1 << 10)
}

// TestExportDropsOldest: every message is received, or reported as dropped, and
// the order is kept.
func TestExportDropsOldest(t *testing.T) {
	const total = 400
	r := newStreamRig(t, Config{SocketQueueBytes: 1 << 20})
	slow, healthy := r.mustOpenSlow(exportTriples+"?overflow=drop-oldest", "reader"), r.mustOpen(exportTriples+"?overflow=block", "reader")
	flood(t, r, healthy, total, 32<<10)
	received, dropped, last := 0, 0, -1
	for received+dropped < total {
		_, msg, err := slow.ReadMessage()
		if err != nil {
			t.Fatalf("after %d messages and %d drops: %v", received, dropped, err)
		}
		i, n := numberOf(t, msg)
		dropped += n
		if n > 0 {
			continue
		}
		if i <= last {
			t.Fatalf("message %d after %d", i, last)
		}
		last = i
		received++
	}
	if dropped == 0 || last != total-1 {
		t.Errorf("%d dropped, the last one is %d", dropped, last)
	}
	sayBye(t, slow)
	wantClose(t, slow, 1000, fmt.Sprintf("%d messages dropped", dropped))
}

// TestExportBlocks: a reader that is slow, but reads, misses nothing.
func TestExportBlocks(t *testing.T) {
	const total = 300
	r := newStreamRig(t, Config{SocketQueueBytes: 1 << 20})
	slow, healthy := r.mustOpenSlow(exportTriples+"?overflow=block", "reader"), r.mustOpen(exportTriples+"?overflow=block", "reader")
	flood(t, r, healthy, total, 32<<10)
	for i := range total {
		_, msg, err := slow.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := numberOf(t, msg); got != i {
			t.Fatalf("frame %d is message %d", i, got)
		}
	}
	if n := r.server.sockets.queued.Load(); n > 2<<20 {
		t.Errorf("%d bytes are queued", n)
	}
}

func TestExportAtMostSixteenBlock(t *testing.T) {
	r := newStreamRig(t, Config{})
	var all []*websocket.Conn
	for range 16 {
		all = append(all, r.mustOpen(exportTriples+"?overflow=block", "reader"))
	}
	if _, status, body := r.open(exportTriples+"?overflow=block", "reader"); status != 503 ||
		body != `{"error": "too many blocking exports, try again later"}` {
		t.Errorf("%d %s", status, body)
	}
	ws := r.mustOpen(exportTriples+"?overflow=block", "")
	write(t, ws, `{"type":"auth","token":"reader"}`)
	wantClose(t, ws, 1013, "too many blocking exports, try again later")
	sayBye(t, all[0])
	wantClose(t, all[0], 1000, "")
	eventually(t, "there is room again", func() bool {
		ws, _, _ := r.open(exportTriples+"?overflow=block", "reader")
		return ws != nil
	})
}

// TestExportSendsOneFrameOfAnySize: a frame above the budget is sent when nothing
// else waits.
func TestExportSendsOneFrameOfAnySize(t *testing.T) {
	r := newStreamRig(t, Config{SocketQueueBytes: 1 << 16})
	for _, how := range []string{"", "?overflow=drop-oldest", "?overflow=block"} {
		ws := r.mustOpen(exportTriples+how, "reader")
		r.publish("acme", "triples-store", bigMessage(t, 1, 4<<20))
		_, msg, err := ws.ReadMessage()
		if err != nil || len(msg) < 4<<20 {
			t.Fatalf("%s: %d bytes, %v", how, len(msg), err)
		}
		_ = ws.Close()
	}
}

// TestExportMissesNothingAfterTheUpgrade publishes as soon as there is an answer.
func TestExportMissesNothingAfterTheUpgrade(t *testing.T) {
	r := newStreamRig(t, Config{})
	for i := range 50 {
		how := []string{"", "?overflow=block"}[i%2]
		ws := r.mustOpen(exportTriples+how, "reader")
		r.publish("acme", "triples-store", tripleMessage(t, i))
		for got := -1; got != i; { // older ones may be on their way
			_, msg, err := ws.ReadMessage()
			if err != nil {
				t.Fatal(err)
			}
			if got, _ = numberOf(t, msg); got > i {
				t.Fatalf("message %d instead of %d", got, i)
			}
		}
		_ = ws.Close()
	}
}

// TestExportsLeaveNothing opens and drops many: no consumer stays (G46).
func TestExportsLeaveNothing(t *testing.T) {
	r := newStreamRig(t, Config{})
	var wg sync.WaitGroup
	for n := range 100 {
		wg.Go(func() {
			how := []string{"", "?overflow=drop-oldest"}[n%2]
			ws := r.mustOpen(exportTriples+how, "reader")
			if n%3 == 0 {
				sayBye(t, ws)
			}
			_ = ws.NetConn().Close()
		})
	}
	wg.Wait()
	eventually(t, "all are gone", func() bool { return len(r.server.sockets.snapshot(nil)) == 0 })
	eventually(t, "the consumers are gone", func() bool { return gatherGauge(t, "sluice_export_consumers") == 0 })
}

// TestExportFramesThatComeEarly are kept for a socket that is not there yet.
func TestExportFramesThatComeEarly(t *testing.T) {
	r := newStreamRig(t, Config{SocketQueueBytes: 1 << 16})
	f := &flowStream{server: r.server, kind: codec.Triples, flow: "f"}
	f.target.Name = "acme"
	for _, how := range []overflow{overflowClose, overflowDrop} {
		e := newExporter(f, how)
		if err := e.open(); err != nil {
			t.Fatal(err)
		}
		for i := range 10 {
			r.publish("acme", "triples-store", bigMessage(t, i, 16<<10))
		}
		held := func() int {
			e.mu.Lock()
			defer e.mu.Unlock()
			return len(e.early)
		}
		eventually(t, "some are kept", func() bool { return held() == 3 })
		eventually(t, "the rest is not", func() bool {
			e.mu.Lock()
			defer e.mu.Unlock()
			return e.late || e.drops.total.Load() == 7
		})
		e.stop()
		e.stop()
		if n := held(); n != 0 {
			t.Errorf("%d frames are kept by nobody", n)
		}
	}
}

// TestExportFramesAreCountedOnce: what many sockets share fills the process's
// budget once, so nobody is closed for it.
func TestExportFramesAreCountedOnce(t *testing.T) {
	const sockets, messages = 50, 8
	r := newStreamRig(t, Config{SocketBudgetBytes: 2 << 20})
	var conns []*websocket.Conn
	for range sockets {
		conns = append(conns, r.mustOpen(exportTriples, "reader"))
	}
	before := gather(t, "sluice_ws_evicted_total")[""]
	for i := range messages {
		r.publish("acme", "triples-store", bigMessage(t, i, 128<<10))
	}
	for _, ws := range conns {
		for i := range messages {
			_, msg, err := ws.ReadMessage()
			if err != nil {
				t.Fatalf("message %d: %v", i, err)
			}
			if got, _ := numberOf(t, msg); got != i {
				t.Fatalf("message %d instead of %d", got, i)
			}
		}
	}
	if n := gather(t, "sluice_ws_evicted_total")[""] - before; n != 0 {
		t.Errorf("%v sockets were closed", n)
	}
	eventually(t, "no frame is held", func() bool { return dispatch.FrameBytes() == 0 })
}
