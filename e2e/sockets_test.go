package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fasthttp/websocket"
)

// patience ends tests that have failed.
const patience = time.Minute

// dial opens a WebSocket. The credential goes into the query, as old clients
// have it, or into the header.
func (g *gateway) dial(path, key string, inHeader bool) (*websocket.Conn, error) {
	header := http.Header{}
	url := strings.Replace(g.url, "http", "ws", 1) + path
	switch {
	case inHeader:
		header.Set("Authorization", "Bearer "+key)
	case strings.Contains(url, "?"):
		url += "&token=" + key
	default:
		url += "?token=" + key
	}
	d := websocket.Dialer{HandshakeTimeout: patience}
	ws, res, err := d.Dial(url, header)
	if err != nil && res != nil {
		err = fmt.Errorf("%w: %d", err, res.StatusCode)
	}
	if res != nil {
		res.Body.Close()
	}
	return ws, err
}

// mustDial opens a WebSocket that ends with the test.
func (g *gateway) mustDial(t *testing.T, path, key string) *websocket.Conn {
	t.Helper()
	ws, err := g.dial(path, key, false)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	t.Cleanup(func() { ws.Close() })
	return ws
}

// frame is what the gateway may say on any socket.
type frame struct {
	ID       json.RawMessage
	Response json.RawMessage
	Error    json.RawMessage
	Complete bool
	Ack      *int
	Index    *int
	Metadata struct{ ID string }
}

// errorType is the type of the frame's error, if it has one with a type.
func (f *frame) errorType() string {
	var e struct{ Type string }
	_ = json.Unmarshal(f.Error, &e)
	return e.Type
}

// receive waits for a frame. Only one goroutine of a socket may.
func receive(ws *websocket.Conn) (*frame, error) {
	_ = ws.SetReadDeadline(time.Now().Add(patience))
	_, text, err := ws.ReadMessage()
	if err != nil {
		return nil, err
	}
	f := new(frame)
	if err := json.Unmarshal(text, f); err != nil {
		return nil, fmt.Errorf("frame %q: %w", text, err)
	}
	return f, nil
}

func send(ws *websocket.Conn, text string) error {
	_ = ws.SetWriteDeadline(time.Now().Add(patience))
	return ws.WriteMessage(websocket.TextMessage, []byte(text))
}

func sayGoodbye(ws *websocket.Conn) error {
	return ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(patience))
}

// closeCode is the code that an error of receive says the socket was closed
// with, or 0.
func closeCode(err error) int {
	var closed *websocket.CloseError
	if errors.As(err, &closed) {
		return closed.Code
	}
	return 0
}

// ask makes a streamed completion's frame.
func ask(id, flow, prompt string) string {
	return fmt.Sprintf(`{"id":%s,"service":"text-completion","flow":%q,"request":{"system":"s","prompt":%q,"streaming":true}}`, id, flow, prompt)
}
