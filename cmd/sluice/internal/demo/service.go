package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"

	"sluice/bus"
)

// subscription is the queue name of every demo service: two platforms on one
// broker would compete, not answer twice.
const subscription = "sluice-dev"

// pair is where a service listens and where it answers, as topic ids.
type pair struct{ request, response string }

// answer handles one request. It sends any number of parts; a returned error
// becomes a last part that reports it.
type answer func(ctx context.Context, body []byte, send func(part any)) error

// fault is an error as the bus carries it.
type fault struct {
	Type    string `json:"type"`
	Message string `json:"message"`
}

func (f *fault) Error() string { return f.Type + ": " + f.Message }

func faultf(kind, format string, args ...any) error {
	return &fault{kind, fmt.Sprintf(format, args...)}
}

// failed is the part that reports a fault.
type failed struct {
	Error *fault `json:"error"`
}

// serve answers the requests on a pair of topics until the subscription closes.
func (p *Platform) serve(ctx context.Context, at pair, a answer) (bus.Subscription, error) {
	request, err := bus.ParseTopic(at.request)
	if err != nil {
		return nil, err
	}
	response, err := bus.ParseTopic(at.response)
	if err != nil {
		return nil, err
	}
	return p.bus.Subscribe(ctx, bus.Consumer{Topic: request, Name: subscription, Handler: func(d *bus.Delivery) {
		defer d.Ack()
		if d.ID == "" {
			p.log.Warn("request without id dropped", "topic", request.Exchange)
			return
		}
		p.reply(response, d, a)
	}})
}

func (p *Platform) reply(response bus.Topic, d *bus.Delivery, a answer) {
	send := func(part any) {
		body, err := json.Marshal(part)
		if err != nil {
			p.log.Error("reply not encoded", "topic", response.Exchange, "error", err)
			return
		}
		p.publish(&bus.Message{To: response, ID: d.ID, Body: body})
	}
	if err := p.guard(func(ctx context.Context) error { return a(ctx, d.Body, send) }); err != nil {
		send(failed{asFault(err)})
	}
}

// consume hands each message of a flow topic to take. A message that take cannot
// use is logged and gone: delivered again it would fail again.
func (p *Platform) consume(ctx context.Context, topic string, take func(ctx context.Context, body []byte) error) (bus.Subscription, error) {
	t, err := bus.ParseTopic(topic)
	if err != nil {
		return nil, err
	}
	return p.bus.Subscribe(ctx, bus.Consumer{Topic: t, Name: subscription, Handler: func(d *bus.Delivery) {
		defer d.Ack()
		if err := p.guard(func(ctx context.Context) error { return take(ctx, d.Body) }); err != nil {
			p.log.Warn("message dropped", "topic", t.Exchange, "bytes", len(d.Body), "error", err)
		}
	}})
}

// guard keeps a client's input from ending the process: handlers run on the
// bus's goroutines.
func (p *Platform) guard(f func(ctx context.Context) error) (err error) {
	ctx, cancel := context.WithTimeout(p.life, patience)
	defer cancel()
	defer func() {
		if r := recover(); r != nil {
			p.log.Error("demo service panicked", "panic", r, "stack", string(debug.Stack()))
			err = faultf("internal-error", "the demo service failed")
		}
	}()
	return f(ctx)
}

func (p *Platform) publish(m *bus.Message) {
	ctx, cancel := context.WithTimeout(p.life, patience)
	defer cancel()
	if _, err := p.bus.Publish(ctx, m); err != nil {
		p.log.Warn("message not published", "topic", m.To.Exchange, "bytes", len(m.Body), "error", err)
	}
}

// publishTo sends v as a message without id to a flow or notify topic.
func (p *Platform) publishTo(ctx context.Context, topic string, v any) error {
	t, err := bus.ParseTopic(topic)
	if err != nil {
		return err
	}
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = p.bus.Publish(ctx, &bus.Message{To: t, Body: body})
	return err
}

func asFault(err error) *fault {
	var f *fault
	if errors.As(err, &f) {
		return f
	}
	return &fault{"bad-request", err.Error()}
}

// decode reads a request, with errors that a caller can act on.
func decode(body []byte, v any) error {
	err := json.Unmarshal(body, v)
	var wrong *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &wrong) && wrong.Field != "":
		return faultf("bad-request", "%q cannot be a JSON %s", wrong.Field, wrong.Value)
	case errors.As(err, &wrong):
		return faultf("bad-request", "the request cannot be a JSON %s", wrong.Value)
	}
	return faultf("bad-request", "the request is not JSON: %v", err)
}
