package proxy

import (
	"encoding/base64"
	"strconv"
	"strings"
	"testing"
	"time"

	"sluice/codec"
)

// libraryPart is a part of a document as the librarian sends it.
func libraryPart(content string, final bool) string {
	return `{"error":null,"content":"` + base64.StdEncoding.EncodeToString([]byte(content)) + `","is_final":` + strconv.FormatBool(final) + `}`
}

// documents streams a document of so many pieces of 128 KiB.
func (r *socketRig) documents(pieces int) {
	content := strings.Repeat("d", 128<<10)
	r.serve("request:tg:librarian", "response:tg:librarian", func(body string, reply func(string)) {
		v, _ := codec.ParseValue([]byte(body))
		switch id, _ := v.Get("document_id").String(); string(id) {
		case "missing":
			reply(`{"error":{"type":"not-found","message":"no such document"}}`)
		case "silent":
		default:
			go func() {
				for i := 1; i <= pieces; i++ {
					reply(libraryPart(content, i == pieces))
				}
			}()
		}
	})
}

const streamDocument = `{"id":1,"service":"librarian","request":{"operation":"stream-document","document-id":"d"}}`

// TestSocketDownloadOutrunsItsReader: a document many times the queue's bound
// reaches a client that reads slowly, whole and in order.
func TestSocketDownloadOutrunsItsReader(t *testing.T) {
	const pieces = 100
	r := newSocketRig(t, Config{SocketQueueBytes: 1 << 20})
	r.documents(pieces)
	c := r.dial("?token=writer")
	c.say(streamDocument)
	most := int64(0)
	eventually(t, "the rest waits for the client", func() bool {
		most = max(most, r.server.sockets.queued.Load())
		return most > 256<<10
	})
	for i := range pieces {
		f := c.hear()
		if last := strings.HasSuffix(f, `"complete":true}`); last != (i == pieces-1) || !strings.HasPrefix(f, `{"id":1,"response":{`) {
			t.Fatalf("part %d: %s", i, f[:min(len(f), 100)])
		}
		most = max(most, r.server.sockets.queued.Load())
	}
	if most > 1<<20 {
		t.Errorf("%d bytes waited", most)
	}
	c.say(strings.Replace(streamDocument, `"d"`, `"missing"`, 1))
	c.expect(`{"id":1,"response":{"error":{"type":"not-found","message":"no such document"}},"complete":true}`)
	eventually(t, "no slot is left", func() bool { return r.pending.Waiting() == 0 })
}

func TestSocketDownloadLimit(t *testing.T) {
	r := newSocketRig(t, Config{})
	r.documents(1)
	c := r.dial("?token=writer")
	const most = 32
	for i := range most {
		c.say(`{"id":` + strconv.Itoa(i) + `,"service":"librarian","request":{"operation":"stream-document","document-id":"silent"}}`)
	}
	eventually(t, "all run", func() bool { return r.pending.Waiting() == most })
	c.say(streamDocument)
	c.expect(`{"id":1,"error":{"message":"too many requests in flight, try again later","type":"overloaded"},"complete":true}`)
	_ = c.Close()
	eventually(t, "all are given up", func() bool { return r.pending.Waiting() == 0 && r.socketCount() == 0 })
	d := r.dial("?token=writer")
	d.say(streamDocument)
	if f := d.hear(); !strings.HasSuffix(f, `"complete":true}`) || strings.Contains(f, "error") {
		t.Error(f[:min(len(f), 200)])
	}
}

// TestSocketFlowStops: G29: requests under way end at once.
func TestSocketFlowStops(t *testing.T) {
	r := newSocketRig(t, Config{})
	served := r.completions("acme", nil)
	c := r.dial("?token=writer")
	c.say(askFrame("1", "silent"))
	eventually(t, "it runs", func() bool { return served.Load() == 1 })
	r.table.StopFlow("acme", "f")
	c.expect(`{"id":1,"response":{"error":{"type":"gateway-error","message":"Flow stopped"}},"complete":true}`)
	c.say(askFrame("2", "x"))
	c.expect(`{"id":2,"error":{"message":"Invalid flow acme/f","type":"error"},"complete":true}`)
}

func TestSocketTimeout(t *testing.T) {
	r := newSocketRig(t, Config{PartTimeout: 50 * time.Millisecond})
	r.completions("acme", nil)
	c := r.dial("?token=writer")
	c.say(askFrame("1", "silent"))
	c.expect(`{"id":1,"response":{"error":{"type":"gateway-error","message":"Timeout"}},"complete":true}`)
	d := r.dial("?token=admin")
	d.say(askFrame("2", "nobody is there"))
	d.expect(`{"id":2,"response":{"error":{"type":"gateway-error","message":"no service is listening"}},"complete":true}`)
}

// TestSocketContainsPanics: what a dispatcher's mistake does to one socket it does
// to no other.
func TestSocketContainsPanics(t *testing.T) {
	r := newSocketRig(t, Config{})
	r.completions("acme", nil)
	good, bad := r.dial("?token=writer"), r.dial("?token=writer")
	eventually(t, "both are open", func() bool { return r.socketCount() == 2 })
	for _, c := range r.server.sockets.snapshot(nil) {
		if c.conn.RemoteAddr().String() == bad.LocalAddr().String() {
			c.sendPart(panickingSource{}, nil, true)
		}
	}
	if _, _, err := bad.ReadMessage(); err == nil {
		t.Error("the socket survived")
	}
	good.say(askFrame("1", "x"))
	good.expect(answerFrame("1", "x", true))
	eventually(t, "it is forgotten", func() bool { return r.socketCount() == 1 })
}

type panickingSource struct{}

func (panickingSource) appendPayload([]byte, []byte, bool) []byte { panic("on purpose") }
func (panickingSource) settled(bool)                              {}
