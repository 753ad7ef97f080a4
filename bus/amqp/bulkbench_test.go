package amqp

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/rabbitmq/amqp091-go"

	"sluice/bus"
	"sluice/bus/amqp/brokertest"
)

// BenchmarkImport publishes work in bulk, each message confirmed, to a durable
// queue that somebody reads: by the bus, and by the plain library with the same
// window.
func BenchmarkImport(b *testing.B) {
	url := brokertest.URL(b)
	for _, importers := range []int{1, 16} {
		b.Run(fmt.Sprintf("bus/1KiB/importers=%d", importers), func(b *testing.B) { benchImportBus(b, url, importers) })
		b.Run(fmt.Sprintf("raw/1KiB/importers=%d", importers), func(b *testing.B) { benchImportRaw(b, url, importers) })
	}
}

// tally counts settlements and wakes who waits for the last one.
type tally struct {
	left   atomic.Int64
	failed atomic.Int64
	done   chan struct{}
}

func newTally(n int) *tally {
	t := &tally{done: make(chan struct{})}
	t.left.Store(int64(n))
	return t
}

func (t *tally) Settled(_ uint64, err error) {
	if err != nil {
		t.failed.Add(1)
	}
	if t.left.Add(-1) == 0 {
		close(t.done)
	}
}

func (t *tally) wait(b *testing.B) {
	<-t.done
	b.StopTimer()
	if n := t.failed.Load(); n > 0 {
		b.Errorf("%d messages failed", n)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
}

// importing calls publish b.N times from several goroutines.
func importing(b *testing.B, importers int, publish func() error) {
	var left atomic.Int64
	left.Store(int64(b.N))
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for range importers {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if err := publish(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func benchImportBus(b *testing.B, url string, importers int) {
	bb, topic, body := open(b, Config{URLs: []string{url}}, nil), newSpace(b).topic(bus.Flow, "import"), benchBody()
	sinkRaw(b, url, topic)
	t, ctx := newTally(b.N), context.Background()
	before := testutil.ToFloat64(socketWrites)
	importing(b, importers, func() error {
		m := bus.Message{To: topic, Body: body}
		return bb.PublishAsync(ctx, &m, t, 0)
	})
	t.wait(b)
	b.ReportMetric((testutil.ToFloat64(socketWrites)-before)/float64(b.N), "writes/msg")
}

func benchImportRaw(b *testing.B, url string, importers int) {
	ch, topic, body := dial(b, url), newSpace(b).topic(bus.Flow, "import"), benchBody()
	sinkRaw(b, url, topic)
	if err := ch.Confirm(false); err != nil {
		b.Fatal(err)
	}
	const window = 4096
	room, t := make(chan struct{}, window), newTally(b.N)
	confirms := ch.NotifyPublish(make(chan amqp091.Confirmation, window))
	go func() {
		for c := range confirms {
			if !c.Ack {
				t.failed.Add(1)
			}
			t.Settled(c.DeliveryTag, nil)
			<-room
		}
	}()
	importing(b, importers, func() error {
		room <- struct{}{}
		return ch.Publish(topic.Exchange, "", true, false, amqp091.Publishing{
			ContentType: "application/json", DeliveryMode: amqp091.Persistent, Body: body,
		})
	})
	t.wait(b)
}

// sinkRaw reads what a durable queue gets, in the manner of a store.
func sinkRaw(b *testing.B, url string, topic bus.Topic) {
	ch := dial(b, url)
	if err := declareExchange(ch, topic.Exchange, false); err != nil {
		b.Fatal(err)
	}
	name := topic.Queue("store")
	if _, err := ch.QueueDeclare(name, true, false, false, false, nil); err != nil {
		b.Fatal(err)
	}
	if err := ch.QueueBind(name, name, topic.Exchange, false, nil); err != nil {
		b.Fatal(err)
	}
	deliveries, err := ch.Consume(name, "", true, false, false, false, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _, _ = ch.QueueDelete(name, false, false, false) })
	go func() {
		for range deliveries {
		}
	}()
}
