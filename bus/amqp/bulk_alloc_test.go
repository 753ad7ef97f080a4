//go:build !race

package amqp

import (
	"testing"

	"github.com/rabbitmq/amqp091-go"

	"sluice/bus"
)

// What a message in bulk costs beside what the library does.
func TestBulkBookkeepingAllocatesNothing(t *testing.T) {
	window, r, ctx := bus.NewWindow(4, 1<<20), newRing(4), t.Context()
	b := &Bus{echoes: newEchoes()}
	h := &hearing{}
	var name messageName
	confirmation := &amqp091.DeferredConfirmation{}
	m := bus.Message{To: bus.Topic{Class: bus.Flow, Exchange: "tg.flow.x"}, Body: []byte("{}")}
	got := testing.AllocsPerRun(1000, func() {
		p := publishing(&m)
		_ = window.Take(ctx, len(m.Body), nil)
		p.MessageId = name.set(b, 7)
		r.add(unconfirmed{number: 7, cost: 2, confirmation: confirmation})
		batch := r.answered(h.batch[:0], true)
		window.Give(len(batch), batch[0].cost)
	})
	if got != 0 {
		t.Errorf("%v allocations", got)
	}
}

func TestMessageName(t *testing.T) {
	b := &Bus{echoes: newEchoes()}
	b.echoes.nonce = [nonceSize]byte{0, 1, 2, 3, 0xfc, 0xfd, 0xfe, 0xff}
	var n messageName
	if got := n.set(b, 0x1234567890abcdef); got != "00010203fcfdfeff1234567890abcdef" {
		t.Errorf("got %s", got)
	}
}
