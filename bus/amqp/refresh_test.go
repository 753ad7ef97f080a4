package amqp

import (
	"testing"

	"sluice/bus"
	"sluice/bus/amqp/brokertest"
)

// A service is wired with a Refresh of its request topic, so that its first call
// does not wait for the broker to declare it.
func TestRefreshDeclaresForPublishers(t *testing.T) {
	b := open(t, Config{URLs: []string{brokertest.URL(t)}}, nil)
	topic := newSpace(t).topic(bus.Request, "wired")
	if err := b.Refresh(t.Context(), topic); err != nil {
		t.Fatal(err)
	}
	if _, ok := b.declared.Load(topic.Exchange); !ok {
		t.Error("the first publish would declare the exchange again")
	}
}
