package e2e

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/fasthttp/websocket"

	"sluice/bus/amqp/brokertest"
)

// A broker that goes away ends the calls of a socket, each with one error, and not
// the socket.
func TestSocketsSurviveAnOutage(t *testing.T) {
	t.Parallel()
	node := brokertest.Private(t)
	_, g := demoGateway(t, node.URL, func(id string, body []byte) ([]message, bool) {
		if prompt(body) == "never" {
			return nil, true
		}
		return echo(id, body)
	})
	ws := g.mustDial(t, "/api/v1/socket", readerKey)
	const calls = 16
	for i := range calls {
		if err := send(ws, ask(fmt.Sprint(i), "demo", "never")); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the calls are under way", func() error {
		if n := g.metric(t, "sluice_calls_waiting"); n < calls {
			return fmt.Errorf("%v", n)
		}
		return nil
	})
	node.Ctl(t, "stop_app")
	ended := make(map[string]bool)
	for range calls {
		f, err := receive(ws)
		if err != nil {
			t.Fatal(err)
		}
		if !f.Complete || ended[string(f.ID)] {
			t.Errorf("call %s: %s %s", f.ID, f.Response, f.Error)
		}
		ended[string(f.ID)] = true
	}
	node.Ctl(t, "start_app")
	g.awaitReady(t)
	eventually(t, "a call on the same socket is answered", func() error {
		if err := send(ws, ask(`"after"`, "demo", "x")); err != nil {
			t.Fatal(err)
		}
		f, err := receive(ws)
		if err != nil {
			t.Fatal(err)
		}
		got, err := answerOf(reply{status: http.StatusOK, body: f.Response})
		if err == nil && (got != "x" || string(f.ID) != `"after"` || !f.Complete) {
			err = fmt.Errorf("%s %s", f.ID, f.Response)
		}
		return err
	})
}

// A flow that stops closes the streams that go through it, and only those.
func TestFlowStopClosesItsStreams(t *testing.T) {
	p := startPlatform(t, brokertest.URL(t))
	for _, flow := range []string{"demo", "other"} {
		p.define(adminWorkspace, flow, p.record(flow))
	}
	g := startGateway(t, brokertest.URL(t), p.space)
	g.awaitReady(t)
	other := g.mustDial(t, "/api/v1/flow/other/export/triples", readerKey)
	stopped := []*websocket.Conn{
		g.mustDial(t, importPath, apiKey), g.mustDial(t, importPath+"?ack=10", apiKey),
		g.mustDial(t, exportPath, readerKey), g.mustDial(t, exportPath+"?overflow=block", readerKey),
	}
	p.putFlow(t, adminWorkspace, "demo", "")
	for i, ws := range stopped {
		if _, err := receive(ws); closeCode(err) != websocket.CloseGoingAway {
			t.Errorf("stream %d: %v", i, err)
		}
	}
	if err := sayGoodbye(other); err != nil {
		t.Error(err)
	}
	if _, err := receive(other); closeCode(err) != websocket.CloseNormalClosure {
		t.Errorf("the other flow's export: %v", err)
	}
}
