package bus

import (
	"fmt"
	"strings"
)

// Class says how messages of a topic are spread and kept (bus.md section 2).
type Class uint8

const (
	// Flow topics carry work streams: durable queues, one copy per subscription
	// name, persistent messages.
	Flow Class = iota
	// Request topics carry calls to services: shared transient queues.
	Request
	// Response topics carry replies: every subscriber gets each of them.
	Response
	// Notify topics carry broadcast signals: every subscriber gets each of them.
	Notify
)

var classNames = [...]string{Flow: "flow", Request: "request", Response: "response", Notify: "notify"}

// String returns the word that names c in topic ids and exchange names.
func (c Class) String() string { return classNames[c] }

// maxExchangeBytes is AMQP's limit on a short string. A longer name would not
// fail one publish, it would end the connection.
const maxExchangeBytes = 255

// Topic is a parsed topic id. The zero Topic is not valid; use ParseTopic.
// Topics are comparable and equal when they name the same exchange.
type Topic struct {
	// Class decides delivery mode, confirms and the kind of queue.
	Class Class
	// Exchange is the broker's name for the topic, at most 255 bytes.
	Exchange string
}

// ParseTopic reads a topic id `class:topicspace:topic` (bus.md section 1). Text
// without a colon is the legacy shorthand for a flow topic in space `tg`.
func ParseTopic(id string) (Topic, error) {
	class, rest, ok := strings.Cut(id, ":")
	if !ok {
		return newTopic(Flow, "tg.flow."+id)
	}
	space, name, ok := strings.Cut(rest, ":")
	if !ok {
		return Topic{}, fmt.Errorf("Invalid topic format: %s, expected class:topicspace:topic", id)
	}
	for c, word := range classNames {
		if word == class {
			return newTopic(Class(c), space+"."+word+"."+name)
		}
	}
	return Topic{}, fmt.Errorf("Invalid topic class: %s, expected flow, request, response, or notify", class)
}

func newTopic(c Class, exchange string) (Topic, error) {
	if len(exchange) > maxExchangeBytes {
		return Topic{}, fmt.Errorf("topic name is %d bytes long as an exchange, the broker takes at most %d", len(exchange), maxExchangeBytes)
	}
	return Topic{Class: c, Exchange: exchange}, nil
}

// Queue returns the name of the queue that consumers of a flow or request topic
// share under a subscription name.
func (t Topic) Queue(subscription string) string { return t.Exchange + "." + subscription }

// Shared reports whether consumers of the topic compete on named queues (flow,
// request) rather than each having a queue of its own (response, notify).
func (t Topic) Shared() bool { return t.Class == Flow || t.Class == Request }
