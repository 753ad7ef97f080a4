package amqp

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/rabbitmq/amqp091-go"

	"sluice/bus"
	"sluice/bus/amqp/brokertest"
	"sluice/pool"
)

// slots is the least that can play dispatch: an id is the number of a caller.
type slots []chan struct{}

func newSlots(n int) slots {
	s := make(slots, n)
	for i := range s {
		s[i] = make(chan struct{}, 1)
	}
	return s
}

func (s slots) Deliver(id string, body *pool.Buffer) {
	body.Release()
	s.wake(id)
}

func (s slots) wake(id string) {
	if i, err := strconv.Atoi(id); err == nil && i < len(s) {
		s[i] <- struct{}{}
	}
}

func (slots) Return(string)  { panic("a request was returned") }
func (slots) Lost(*bus.Lane) {}
func (slots) Interrupted()   {}
func slotID(slot int) string { return fmt.Sprintf("%036d", slot) }
func benchBody() []byte      { return make([]byte, 1<<10) }

// calls runs b.N calls, inflight at a time.
func calls(b *testing.B, inflight int, s slots, call func(slot int) error) {
	var left atomic.Int64
	left.Store(int64(b.N))
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for i := range inflight {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if err := call(i); err != nil {
					b.Error(err)
					return
				}
				<-s[i]
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
}

// serveRaw answers requests as a service of somebody else's would.
func serveRaw(b *testing.B, url, requests, replies string) {
	in, out := dial(b, url), dial(b, url)
	deliveries := consumeRaw(b, in, requests)
	if err := declareExchange(out, replies, false); err != nil {
		b.Fatal(err)
	}
	go func() {
		for d := range deliveries {
			p := amqp091.Publishing{ContentType: d.ContentType, DeliveryMode: amqp091.Transient, Headers: d.Headers, Body: d.Body}
			if out.PublishWithContext(context.Background(), replies, "", false, false, p) != nil {
				return
			}
		}
	}()
}

func consumeRaw(b *testing.B, ch *amqp091.Channel, exchange string) <-chan amqp091.Delivery {
	if err := declareExchange(ch, exchange, false); err != nil {
		b.Fatal(err)
	}
	q, err := ch.QueueDeclare("", false, true, true, false, nil)
	if err != nil {
		b.Fatal(err)
	}
	if err := ch.QueueBind(q.Name, "", exchange, false, nil); err != nil {
		b.Fatal(err)
	}
	deliveries, err := ch.Consume(q.Name, "", true, false, false, false, nil)
	if err != nil {
		b.Fatal(err)
	}
	return deliveries
}

var inflights = []int{1, 64, 256}

// BenchmarkRoundTrip is a request and its reply through the broker and a service
// in this process: by the bus, and by the plain library without acks, confirms or
// returns on as many connections.
func BenchmarkRoundTrip(b *testing.B) {
	url := brokertest.URL(b)
	for _, n := range inflights {
		b.Run(fmt.Sprintf("bus/1KiB/inflight=%d", n), func(b *testing.B) { benchBus(b, url, n) })
		b.Run(fmt.Sprintf("raw/1KiB/inflight=%d", n), func(b *testing.B) { benchRaw(b, url, n) })
	}
}

func benchBus(b *testing.B, url string, inflight int) {
	s, sp := newSlots(inflight), newSpace(b)
	bb := open(b, Config{URLs: []string{url}}, s)
	requests, replies := sp.topic(bus.Request, "bench"), sp.topic(bus.Response, "bench")
	serveRaw(b, url, requests.Exchange, replies.Exchange)
	ctx := context.Background()
	if _, err := bb.Subscribe(ctx, bus.Consumer{Topic: replies}); err != nil {
		b.Fatal(err)
	}
	body := benchBody()
	before := testutil.ToFloat64(socketWrites)
	calls(b, inflight, s, func(slot int) error {
		m := bus.Message{To: requests, ReplyTo: replies, ID: slotID(slot), Body: body, Expiration: time.Minute}
		_, err := bb.Publish(ctx, &m)
		return err
	})
	b.ReportMetric((testutil.ToFloat64(socketWrites)-before)/float64(b.N), "writes/call")
}

func benchRaw(b *testing.B, url string, inflight int) {
	s, sp := newSlots(inflight), newSpace(b)
	requests, replies := sp.topic(bus.Request, "bench").Exchange, sp.topic(bus.Response, "bench").Exchange
	serveRaw(b, url, requests, replies)
	out := dial(b, url)
	deliveries := consumeRaw(b, dial(b, url), replies)
	go func() {
		for d := range deliveries {
			id, _ := d.Headers["id"].(string)
			s.wake(id)
		}
	}()
	body := benchBody()
	calls(b, inflight, s, func(slot int) error {
		return out.PublishWithContext(context.Background(), requests, "", false, false, amqp091.Publishing{
			ContentType: "application/json", DeliveryMode: amqp091.Transient,
			Headers: amqp091.Table{"id": slotID(slot)}, Body: body,
		})
	})
}

// BenchmarkRecovery is how long it takes from the loss of all connections until
// every wanted reply binding is there again.
func BenchmarkRecovery(b *testing.B) {
	node := brokertest.Private(b)
	for _, n := range []int{1, 1000, 16000} {
		b.Run(fmt.Sprintf("bindings=%d", n), func(b *testing.B) { benchRecovery(b, node.URL, n) })
	}
}

func benchRecovery(b *testing.B, url string, n int) {
	s := newSpace(b)
	bb := open(b, Config{URLs: []string{url}}, nil)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 256 {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				c := bus.Consumer{Topic: s.topic(bus.Response, strconv.FormatInt(i, 10))}
				if _, err := bb.Subscribe(context.Background(), c); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for b.Loop() {
		before := bb.consumers[0].session.Load()
		disrupt(bb)
		for s := bb.consumers[0].session.Load(); s == nil || s == before || bb.Ready() != nil; s = bb.consumers[0].session.Load() {
			time.Sleep(100 * time.Microsecond)
		}
	}
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s/recovery")
}
