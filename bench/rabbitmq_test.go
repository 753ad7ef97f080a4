package bench

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"sluice/bus"
	"sluice/bus/amqp"
	"sluice/codec"
)

// brokerURL is where scripts/rabbitmq runs the broker.
func brokerURL(tb testing.TB) string {
	tb.Helper()
	url := os.Getenv("SLUICE_TEST_AMQP_URL")
	if url == "" {
		tb.Fatal("SLUICE_TEST_AMQP_URL is not set: run this through `scripts/rabbitmq run -- …` or `make bench`")
	}
	return url
}

// BenchmarkCallOverRabbitMQ does a whole call (key, capability, translation,
// broker, service, translation) and, in turns within the same run, the least the
// bare library can do: publish a prepared body, take the reply from an auto-acked
// consumer. Both use one connection to publish and one to consume, and both are
// answered by a service of their own in this process.
func BenchmarkCallOverRabbitMQ(b *testing.B) {
	url := brokerURL(b)
	for _, inflight := range []int{1, 64, 256} {
		b.Run(fmt.Sprintf("inflight=%d", inflight), func(b *testing.B) {
			space := "bench-" + strconv.FormatInt(time.Now().UnixNano(), 36)
			raw := newRawLoop(b, url, space+".request.raw", space+".response.raw", inflight)
			ours := newSluiceLoop(b, url, space, inflight)
			compare(b, inflight, raw.call, ours)
		})
	}
}

// compare runs two ways of making a call in turns and reports rate and median of
// each, and the ratio of the rates.
func compare(b *testing.B, inflight int, raw, ours func(worker int) error) {
	const turns = 10
	var rawRun, ourRun measured
	warm := max(200, inflight*4)
	rawRun.run(b, inflight, warm, raw)
	ourRun.run(b, inflight, warm, ours)
	rawRun, ourRun = measured{}, measured{}
	b.ResetTimer()
	for left := b.N; left > 0; {
		n := min(left, max(b.N/turns, 1))
		rawRun.run(b, inflight, n, raw)
		ourRun.run(b, inflight, n, ours)
		left -= n
	}
	b.StopTimer()
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(rawRun.rate(), "raw/s")
	b.ReportMetric(ourRun.rate(), "sluice/s")
	b.ReportMetric(ourRun.rate()/rawRun.rate(), "ratio")
	b.ReportMetric(rawRun.median(), "raw-p50-µs")
	b.ReportMetric(ourRun.median(), "sluice-p50-µs")
}

// measured gathers what one way of calling takes.
type measured struct {
	elapsed time.Duration
	each    []time.Duration
}

func (m *measured) run(b *testing.B, inflight, n int, call func(worker int) error) {
	var left atomic.Int64
	left.Store(int64(n))
	took := make([][]time.Duration, inflight)
	start := time.Now()
	var wg sync.WaitGroup
	for w := range inflight {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				began := time.Now()
				if err := call(w); err != nil {
					b.Error(err)
					return
				}
				took[w] = append(took[w], time.Since(began))
			}
		})
	}
	wg.Wait()
	m.elapsed += time.Since(start)
	m.each = append(m.each, slices.Concat(took...)...)
}

func (m *measured) rate() float64 { return float64(len(m.each)) / m.elapsed.Seconds() }

// median is in microseconds.
func (m *measured) median() float64 {
	slices.SortFunc(m.each, cmp.Compare[time.Duration])
	if len(m.each) == 0 {
		return 0
	}
	return float64(m.each[len(m.each)/2]) / float64(time.Microsecond)
}

func newSluiceLoop(b *testing.B, url, space string, inflight int) func(worker int) error {
	completion := codec.Interface{Request: "request:" + space + ":tc", Response: "response:" + space + ":tc"}
	s, ob := newStack(b, func(r bus.Replies) bus.Bus {
		ob, err := amqp.Open(amqp.Config{URLs: []string{url}}, r)
		if err != nil {
			b.Fatal(err)
		}
		return ob
	}, completion)
	for ob.Ready() != nil {
		time.Sleep(time.Millisecond)
	}
	serveRaw(b, url, space+".request.tc", space+".response.tc")
	callers := make([]*caller, inflight)
	for i := range callers {
		callers[i] = s.caller("bench", codec.TextCompletion)
	}
	return func(worker int) error { return callers[worker].call(completionBody) }
}

// rawLoop is the plain library as a requester.
type rawLoop struct {
	exchange string
	out      *amqp091.Channel
	body     []byte
	replied  []chan struct{}
}

func newRawLoop(b *testing.B, url, requests, replies string, inflight int) *rawLoop {
	body, err := codec.AppendRequest(nil, codec.TextCompletion, completionBody)
	if err != nil {
		b.Fatal(err)
	}
	l := &rawLoop{exchange: requests, out: dial(b, url), body: body}
	for range inflight {
		l.replied = append(l.replied, make(chan struct{}, 1))
	}
	deliveries := consume(b, dial(b, url), replies)
	go func() {
		for d := range deliveries {
			id, _ := d.Headers["id"].(string)
			if n, err := hex.DecodeString(id); err == nil && len(n) == 18 {
				l.replied[binary.BigEndian.Uint64(n[10:])] <- struct{}{}
			}
		}
	}()
	serveRaw(b, url, requests, replies)
	return l
}

func (l *rawLoop) call(worker int) error {
	var id [18]byte
	binary.BigEndian.PutUint64(id[10:], uint64(worker))
	err := l.out.PublishWithContext(context.Background(), l.exchange, "", false, false, amqp091.Publishing{
		ContentType: "application/json", DeliveryMode: amqp091.Transient,
		Headers: amqp091.Table{"id": hex.EncodeToString(id[:])}, Body: l.body,
	})
	if err == nil {
		<-l.replied[worker]
	}
	return err
}

// serveRaw answers requests as a quick service of somebody else's would.
func serveRaw(b *testing.B, url, requests, replies string) {
	deliveries, out := consume(b, dial(b, url), requests), dial(b, url)
	declare(b, out, replies)
	go func() {
		for d := range deliveries {
			p := amqp091.Publishing{ContentType: "application/json", DeliveryMode: amqp091.Transient, Headers: d.Headers, Body: completionReply}
			if out.PublishWithContext(context.Background(), replies, "", false, false, p) != nil {
				return
			}
		}
	}()
}

func dial(tb testing.TB, url string) *amqp091.Channel {
	tb.Helper()
	conn, err := amqp091.Dial(url)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { conn.Close() })
	ch, err := conn.Channel()
	if err != nil {
		tb.Fatal(err)
	}
	return ch
}

func declare(tb testing.TB, ch *amqp091.Channel, exchange string) {
	tb.Helper()
	if err := ch.ExchangeDeclare(exchange, amqp091.ExchangeFanout, true, false, false, false, nil); err != nil {
		tb.Fatal(err)
	}
}

func consume(tb testing.TB, ch *amqp091.Channel, exchange string) <-chan amqp091.Delivery {
	tb.Helper()
	declare(tb, ch, exchange)
	q, err := ch.QueueDeclare("", false, true, true, false, nil)
	if err != nil {
		tb.Fatal(err)
	}
	if err := ch.QueueBind(q.Name, "", exchange, false, nil); err != nil {
		tb.Fatal(err)
	}
	deliveries, err := ch.Consume(q.Name, "", true, false, false, false, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return deliveries
}
