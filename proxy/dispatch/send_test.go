package dispatch

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sluice/bus"
	"sluice/codec"
)

func TestSend(t *testing.T) {
	f := newFixture(t, Config{})
	f.table.StartFlow("acme", "main", record("main"))
	got := make(chan bus.Delivery, 1)
	_, err := f.bus.Subscribe(t.Context(), bus.Consumer{Topic: topic(t, "flow:tg:text-load:main"), Name: "loader", Handler: func(d *bus.Delivery) {
		got <- bus.Delivery{ID: d.ID, Body: append([]byte{}, d.Body...)}
		d.Ack()
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.table.Send(Key{"acme", "main", codec.TextLoad}, parsed(t, codec.TextLoad, `{"text":"aGk=","id":"d"}`), Call{}); err != nil {
		t.Fatal(err)
	}
	d := <-got
	if d.ID != "" || !strings.Contains(string(d.Body), `"text":"hi"`) {
		t.Errorf("delivered %q: %s", d.ID, d.Body)
	}
}

func TestSendWaitsWithinBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, p := newFakeBus(), NewPending(0)
		b.onPublish = func(ctx context.Context, m *bus.Message) (bus.Receipt, error) {
			if m.Expiration != 0 || m.ID != "" {
				t.Errorf("work with expiration %v and id %q", m.Expiration, m.ID)
			}
			<-ctx.Done()
			return bus.Receipt{}, bus.ErrOutcomeUnknown
		}
		table := New(b, p, Config{})
		table.StartFlow("acme", "main", record("main"))
		for _, c := range []struct {
			call Call
			want time.Duration
		}{{Call{}, 120 * time.Second}, {Call{Timeout: 2 * time.Second}, 2 * time.Second}} {
			start := time.Now()
			err := table.Send(Key{"acme", "main", codec.TextLoad}, parsed(t, codec.TextLoad, `{"text":"aGk="}`), c.call)
			if took := time.Since(start); !errors.Is(err, ErrOutcomeUnknown) || took != c.want {
				t.Errorf("%v after %v", err, took)
			}
		}
		if err := table.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
}
