package amqp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/rabbitmq/amqp091-go"

	"sluice/bus"
	"sluice/bus/amqp/brokertest"
	"sluice/bus/bustest"
)

// drain subscribes a service that answers nothing.
func drain(t testing.TB, b *Bus, topic bus.Topic) (seen *atomic.Int64) {
	t.Helper()
	seen = new(atomic.Int64)
	s, err := b.Subscribe(within(t, time.Minute), bus.Consumer{Topic: topic, Name: "svc", Handler: func(d *bus.Delivery) {
		seen.Add(1)
		d.Ack()
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	return seen
}

func send(t testing.TB, b *Bus, m bus.Message) bus.Receipt {
	t.Helper()
	r, err := b.Publish(within(t, time.Minute), &m)
	if err != nil {
		t.Fatalf("publish to %s: %v", m.To.Exchange, err)
	}
	return r
}

// sameLane returns a request topic that shares a lane with like.
func sameLane(b *Bus, s space, like bus.Topic) bus.Topic {
	lane := func(x bus.Topic) uint64 { return maphash.String(b.seed, x.Exchange) % lanesPerConnection }
	for i := 0; ; i++ {
		if x := s.topic(bus.Request, fmt.Sprint("same", i)); lane(x) == lane(like) {
			return x
		}
	}
}

// One bad exchange takes its lane down. What the broker had seen before on that
// lane is accounted for, and only what came with the bad one is in doubt.
func TestLaneLossFailsOnlyWhatIsUnaccounted(t *testing.T) {
	broker := brokertest.URL(t)
	rec, s := bustest.NewRecorder(), newSpace(t)
	b := open(t, Config{URLs: []string{broker}}, rec)
	good := s.topic(bus.Request, "good")
	bad := sameLane(b, s, good)
	seen := drain(t, b, good)
	send(t, b, bus.Message{To: bad, ID: "declare", Body: []byte("{}")})
	until(t, "the first one is returned", func() bool { return rec.Returned("declare") > 0 })

	var early []bus.Receipt
	for i := range 20 {
		early = append(early, send(t, b, bus.Message{To: good, ID: fmt.Sprint("early", i), Body: []byte("{}")}))
	}
	last := early[len(early)-1]
	until(t, "the lane is accounted for without any answer", func() bool { return last.Lane.Accounted() >= last.Seq })

	if err := dial(t, broker).ExchangeDelete(bad.Exchange, false, false); err != nil {
		t.Fatal(err)
	}
	doomed := send(t, b, bus.Message{To: bad, ID: "doomed", Body: []byte("{}")})
	until(t, "the lane is reported lost", func() bool { return len(rec.Lanes()) == 1 })
	lane := rec.Lanes()[0]
	if lane != doomed.Lane || !lane.Lost() {
		t.Error("another lane was reported")
	}
	if lane.Accounted() >= doomed.Seq {
		t.Error("the doomed request counts as seen")
	}
	for _, r := range early {
		if r.Lane != lane || r.Seq > lane.Accounted() {
			t.Errorf("request %d is in doubt, accounted are %d", r.Seq, lane.Accounted())
		}
	}
	if rec.Interruptions() != 0 {
		t.Error("replies were interrupted by a lost lane")
	}

	// Both work again: the exchange that went away is declared anew.
	send(t, b, bus.Message{To: bad, ID: "again", Body: []byte("{}")})
	until(t, "the bad one is only unroutable", func() bool { return rec.Returned("again") > 0 })
	r := send(t, b, bus.Message{To: good, ID: "late", Body: []byte("{}")})
	if r.Lane == lane {
		t.Error("a lost lane was used again")
	}
	until(t, "all good ones arrived", func() bool { return seen.Load() == 21 })
	if len(rec.Lanes()) != 1 {
		t.Errorf("%d lanes were lost", len(rec.Lanes()))
	}
}

// A flow exchange that is deleted under its lane costs one publish at most.
func TestFlowExchangeDeleted(t *testing.T) {
	broker := brokertest.URL(t)
	s := newSpace(t)
	b := open(t, Config{URLs: []string{broker}}, nil)
	topic := s.topic(bus.Flow, "work")
	seen := drain(t, b, topic)
	send(t, b, bus.Message{To: topic, Body: []byte("1")})
	if err := dial(t, broker).ExchangeDelete(topic.Exchange, false, false); err != nil {
		t.Fatal(err)
	}
	m := bus.Message{To: topic, Body: []byte("2")}
	if _, err := b.Publish(within(t, time.Minute), &m); !errors.Is(err, bus.ErrOutcomeUnknown) {
		t.Errorf("into a deleted exchange: %v", err)
	}
	if err := b.Refresh(within(t, time.Minute), topic); err != nil {
		t.Fatal(err)
	}
	until(t, "the lane is there again", func() bool {
		_, err := b.Publish(within(t, time.Minute), &m)
		return err == nil
	})
	until(t, "work arrives again", func() bool { return seen.Load() == 2 })
}

// No confirmation, no success.
func TestConfirmIsAwaited(t *testing.T) {
	p := newProxy(t, brokertest.URL(t))
	s := newSpace(t)
	b := open(t, Config{URLs: []string{p.url}}, nil)
	topic := s.topic(bus.Flow, "work")
	seen := drain(t, b, topic)
	send(t, b, bus.Message{To: topic, Body: []byte("1")})
	p.downstream(stall)
	m := bus.Message{To: topic, Body: []byte("2")}
	if _, err := b.Publish(within(t, 100*time.Millisecond), &m); !errors.Is(err, bus.ErrOutcomeUnknown) {
		t.Errorf("while the broker is mute: %v", err)
	}
	p.downstream(flow)
	send(t, b, bus.Message{To: topic, Body: []byte("3")})
	until(t, "all three arrived", func() bool { return seen.Load() == 3 })
}

func TestConfirmWindowIsBounded(t *testing.T) {
	p := newProxy(t, brokertest.URL(t))
	s := newSpace(t)
	b := open(t, Config{URLs: []string{p.url}, ConfirmWindow: 2}, nil)
	topic := s.topic(bus.Flow, "work")
	drain(t, b, topic)
	send(t, b, bus.Message{To: topic, Body: []byte("0")})
	p.downstream(stall)
	m := bus.Message{To: topic, Body: []byte("x")}
	for i, want := range []error{bus.ErrOutcomeUnknown, bus.ErrOutcomeUnknown, bus.ErrBusy, bus.ErrBusy} {
		if _, err := b.Publish(within(t, 50*time.Millisecond), &m); !errors.Is(err, want) {
			t.Errorf("publish %d: %v", i, err)
		}
	}
	p.downstream(flow)
	send(t, b, bus.Message{To: topic, Body: []byte("1")})
}

// A connection that dies leaves the unconfirmed unknown, not confirmed.
func TestUnconfirmedOnConnectionLoss(t *testing.T) {
	p := newProxy(t, brokertest.URL(t))
	s := newSpace(t)
	b := open(t, Config{URLs: []string{p.url}}, nil)
	topic := s.topic(bus.Flow, "work")
	drain(t, b, topic)
	send(t, b, bus.Message{To: topic, Body: []byte("1")})
	p.downstream(stall)
	result := make(chan error, 1)
	go func() {
		m := bus.Message{To: topic, Body: []byte("2")}
		_, err := b.Publish(within(t, time.Minute), &m)
		result <- err
	}()
	lane := b.publishers[0].session.Load().confirm
	until(t, "it is on its way", func() bool { return len(lane.window) == 1 })
	for _, c := range p.all() {
		c.cut()
	}
	if err := <-result; !errors.Is(err, bus.ErrOutcomeUnknown) && !errors.Is(err, bus.ErrUnavailable) {
		t.Errorf("err = %v", err)
	}
}

// A broker that stops reading first makes publishers hear ErrBusy, then loses
// its connection, and the lanes with it.
func TestStalledSocket(t *testing.T) {
	p := newProxy(t, brokertest.URL(t))
	rec, s := bustest.NewRecorder(), newSpace(t)
	b := open(t, Config{URLs: []string{p.url}, WriteTimeout: 500 * time.Millisecond, WatchdogTimeout: time.Second, WriteBufferBytes: 1 << 20}, rec)
	topic := s.topic(bus.Request, "slow")
	drain(t, b, topic)
	send(t, b, bus.Message{To: topic, ID: "first", Body: []byte("{}")})
	p.upstream(stall)
	m := bus.Message{To: topic, ID: "big", Body: make([]byte, 64<<10)}
	var failed error
	until(t, "publishers are shed", func() bool {
		_, failed = b.Publish(within(t, time.Minute), &m)
		return failed != nil
	})
	if !errors.Is(failed, bus.ErrBusy) && !errors.Is(failed, bus.ErrUnavailable) {
		t.Errorf("err = %v", failed)
	}
	until(t, "the lanes are reported lost", func() bool { return len(rec.Lanes()) > 0 })
	until(t, "the bus works again", func() bool {
		_, err := b.Publish(within(t, time.Minute), &m)
		return err == nil
	})
}

// A broker that takes everything and does nothing is found out.
func TestWatchdog(t *testing.T) {
	p := newProxy(t, brokertest.URL(t))
	rec, s := bustest.NewRecorder(), newSpace(t)
	b := open(t, Config{URLs: []string{p.url}, WatchdogInterval: 20 * time.Millisecond, WatchdogTimeout: 500 * time.Millisecond}, rec)
	topic := s.topic(bus.Request, "hole")
	seen := drain(t, b, topic)
	send(t, b, bus.Message{To: topic, ID: "before", Body: []byte("{}")})
	before := b.publishers[0].session.Load()
	p.upstream(swallow)
	until(t, "the connections are rebuilt", func() bool {
		now := b.publishers[0].session.Load()
		return now != nil && now != before && b.Ready() == nil
	})
	if rec.Interruptions() == 0 {
		t.Error("nobody was told")
	}
	until(t, "the bus works again", func() bool {
		m := bus.Message{To: topic, ID: "after", Body: []byte("{}")}
		_, err := b.Publish(within(t, time.Minute), &m)
		return err == nil && seen.Load() > 1
	})
}

// gate records whether a request could be sent when the interruption was reported.
type gate struct {
	*bustest.Recorder
	bus   atomic.Pointer[Bus]
	to    bus.Topic
	leaks atomic.Int64
}

func (g *gate) Interrupted() {
	m := bus.Message{To: g.to, ID: "leak", Body: []byte("{}")}
	if b := g.bus.Load(); b != nil {
		if _, err := b.Publish(context.Background(), &m); err == nil || b.Ready() == nil {
			g.leaks.Add(1)
		}
	}
	g.Recorder.Interrupted()
}

// Requests are refused before those on their way are given up: otherwise one sent
// in between would wait for a reply that cannot come.
func TestNotReadyBeforeInterrupted(t *testing.T) {
	s := newSpace(t)
	g := &gate{Recorder: bustest.NewRecorder(), to: s.topic(bus.Request, "r")}
	b := open(t, Config{URLs: []string{brokertest.URL(t)}}, g)
	drain(t, b, g.to)
	send(t, b, bus.Message{To: g.to, ID: "x", Body: []byte("{}")})
	g.bus.Store(b)
	b.consumers[0].link.drop()
	until(t, "the interruption is reported", func() bool { return g.Interruptions() == 1 })
	until(t, "the bus is ready again", func() bool { return b.Ready() == nil })
	if g.leaks.Load() != 0 {
		t.Error("a request could be sent while no reply queue was bound")
	}
	g.bus.Store(nil)
}

// ReplyTo asks only for the one binding that the reply needs.
func TestReplyToMustBeBound(t *testing.T) {
	s := newSpace(t)
	b := open(t, Config{URLs: []string{brokertest.URL(t)}}, nil)
	topic, replies := s.topic(bus.Request, "r"), s.topic(bus.Response, "r")
	drain(t, b, topic)
	m := bus.Message{To: topic, ReplyTo: replies, ID: "x", Body: []byte("{}")}
	if _, err := b.Publish(within(t, time.Minute), &m); !errors.Is(err, bus.ErrUnavailable) {
		t.Errorf("without a binding: %v", err)
	}
	sub, err := b.Subscribe(within(t, time.Minute), bus.Consumer{Topic: replies})
	if err != nil {
		t.Fatal(err)
	}
	send(t, b, m)
	if err := sub.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	until(t, "the binding is gone", func() bool {
		_, err := b.Publish(within(t, time.Minute), &m)
		return errors.Is(err, bus.ErrUnavailable)
	})
}

// The broker may come later than we do, and a list of brokers may begin with a
// dead one.
func TestBrokerDownAtStart(t *testing.T) {
	p := newProxy(t, brokertest.URL(t))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := l.Addr().String()
	_ = l.Close()
	p.close()
	rec, s := bustest.NewRecorder(), newSpace(t)
	b, err := Open(Config{URLs: []string{"amqp://guest:guest@" + dead + "/", p.url}, Logger: quiet}, rec)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Close(within(t, 10*time.Second)) }()
	until(t, "the first attempt has failed", func() bool { return b.consumers[0].link.down.Load() })
	if err := b.Ready(); !errors.Is(err, bus.ErrUnavailable) {
		t.Errorf("ready: %v", err)
	}
	for class := bus.Flow; class <= bus.Notify; class++ {
		m := bus.Message{To: s.topic(class, "x"), ID: "x"}
		if _, err := b.Publish(within(t, time.Minute), &m); !errors.Is(err, bus.ErrUnavailable) {
			t.Errorf("publish to %s: %v", class, err)
		}
	}
	if _, err := b.Subscribe(within(t, time.Minute), bus.Consumer{Topic: s.topic(bus.Response, "x")}); !errors.Is(err, bus.ErrUnavailable) {
		t.Errorf("subscribe: %v", err)
	}
	if err := b.Refresh(within(t, time.Minute), s.topic(bus.Request, "x")); !errors.Is(err, bus.ErrUnavailable) {
		t.Errorf("refresh: %v", err)
	}
	ready := make(chan *atomic.Int64)
	go func() { ready <- drain(t, b, s.topic(bus.Request, "x")) }() // waits for the broker
	p.reopen(t)
	seen := <-ready
	until(t, "the bus heals by itself", func() bool { return b.Ready() == nil })
	send(t, b, bus.Message{To: s.topic(bus.Request, "x"), ID: "x"})
	until(t, "the request arrives", func() bool { return seen.Load() == 1 })
}

func TestReconnectToAnotherURL(t *testing.T) {
	broker := brokertest.URL(t)
	p := newProxy(t, broker)
	b := open(t, Config{URLs: []string{p.url, broker}}, nil)
	p.close()
	until(t, "the loss is noticed", func() bool { return b.publishers[0].link.down.Load() || b.Ready() == nil })
	until(t, "the second URL is used", func() bool { return b.Ready() == nil })
}

// What the broker refuses costs nobody else anything.
func TestRefusedExchange(t *testing.T) {
	broker := brokertest.URL(t)
	s := newSpace(t)
	b := open(t, Config{URLs: []string{broker}}, nil)
	ch := dial(t, broker)
	for class := bus.Flow; class <= bus.Notify; class++ {
		wrong := s.topic(class, "wrong")
		if err := ch.ExchangeDeclare(wrong.Exchange, amqp091.ExchangeDirect, false, true, false, false, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Subscribe(within(t, time.Minute), bus.Consumer{Topic: wrong, Handler: func(*bus.Delivery) {}}); err == nil {
			t.Errorf("%s: subscribed to an exchange of another type", class)
		}
		results := make(chan error)
		for i := range 20 { // so that batches mix good and bad
			go func() {
				to := wrong
				if i%4 != 0 {
					to = s.topic(class, fmt.Sprint("right", i))
				}
				m := bus.Message{To: to, ID: "x"}
				_, err := b.Publish(within(t, time.Minute), &m)
				if errors.Is(err, bus.ErrUnroutable) {
					err = nil // it got past the declaration
				}
				if (err != nil) != (to == wrong) {
					results <- fmt.Errorf("publish to %s: %w", to.Exchange, err)
					return
				}
				results <- nil
			}()
		}
		for range 20 {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
	}
	wrong := s.topic(bus.Response, "wrong")
	if _, err := b.Subscribe(within(t, time.Minute), bus.Consumer{Topic: wrong}); err == nil {
		t.Error("bound an exchange of another type")
	}
	if err := b.Ready(); err != nil {
		t.Errorf("ready: %v", err)
	}
}

func TestRefusedMessages(t *testing.T) {
	s := newSpace(t)
	b := open(t, Config{URLs: []string{brokertest.URL(t)}, MaxMessageBytes: 1000}, nil)
	request := s.topic(bus.Request, "x")
	drain(t, b, request)
	for name, m := range map[string]bus.Message{
		"too large":          {To: request, ID: "x", Body: make([]byte, 1001)},
		"no id":              {To: request},
		"long id":            {To: request, ID: strings.Repeat("x", 256)},
		"no exchange":        {ID: "x"},
		"long exchange name": {To: bus.Topic{Class: bus.Request, Exchange: strings.Repeat("x", 256)}, ID: "x"},
	} {
		_, err := b.Publish(within(t, time.Minute), &m)
		if err == nil || errors.Is(err, bus.ErrTooLarge) != (name == "too large") {
			t.Errorf("%s: %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	m := bus.Message{To: request, ID: "x"}
	if _, err := b.Publish(ctx, &m); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that has ended: %v", err)
	}
	m = bus.Message{To: request, ID: strings.Repeat("x", 255), Body: make([]byte, 1000), Expiration: 1 << 62}
	send(t, b, m)
	if _, err := b.Subscribe(within(t, time.Minute), bus.Consumer{Topic: request, Name: strings.Repeat("x", 250), Handler: func(*bus.Delivery) {}}); err == nil {
		t.Error("a queue name above 255 bytes was accepted")
	}
}

// What services get wrong about the id header costs nobody a call.
func TestForeignReplies(t *testing.T) {
	broker := brokertest.URL(t)
	rec, s := bustest.NewRecorder(), newSpace(t)
	b := open(t, Config{URLs: []string{broker}}, rec)
	topic := s.topic(bus.Response, "r")
	if _, err := b.Subscribe(within(t, time.Minute), bus.Consumer{Topic: topic}); err != nil {
		t.Fatal(err)
	}
	ch := dial(t, broker)
	life := &bus.Lane{}
	forged := (&echoes{}).message(b.echoes.add(life, nil), 99)
	for _, p := range []amqp091.Publishing{
		{},
		{Headers: amqp091.Table{"other": "x"}},
		{Headers: amqp091.Table{"id": []byte("x")}},
		{Headers: amqp091.Table{"id": int32(7)}},
		{Headers: amqp091.Table{"id": nil}},
		{Type: echoType},
		forged,
		{Headers: amqp091.Table{"id": "good", "other": "y"}, Body: []byte("reply")},
	} {
		if err := ch.PublishWithContext(t.Context(), topic.Exchange, "", false, false, p); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "the good one arrives", func() bool { return len(rec.Bodies("good")) == 1 })
	if len(rec.Bodies("x")) != 0 || len(rec.Bodies("")) != 0 {
		t.Error("a reply without a proper id was delivered")
	}
	if life.Accounted() != 0 {
		t.Error("somebody else accounted for a lane")
	}
}

// A named queue that somebody deletes is made again, and consumed from.
func TestQueueDeleted(t *testing.T) {
	broker := brokertest.URL(t)
	s := newSpace(t)
	b := open(t, Config{URLs: []string{broker}}, nil)
	for _, class := range []bus.Class{bus.Flow, bus.Request} {
		topic := s.topic(class, "q")
		seen := drain(t, b, topic)
		if _, err := dial(t, broker).QueueDelete(topic.Queue("svc"), false, false, false); err != nil {
			t.Fatal(err)
		}
		until(t, "messages arrive again", func() bool {
			m := bus.Message{To: topic, ID: "x"}
			_, _ = b.Publish(within(t, time.Minute), &m)
			return seen.Load() > 0
		})
	}
}

// A handler that panics loses the message that made it, and nothing else.
func TestHandlerPanic(t *testing.T) {
	s := newSpace(t)
	b := open(t, Config{URLs: []string{brokertest.URL(t)}}, nil)
	topic := s.topic(bus.Request, "p")
	var calls, fine atomic.Int64
	sub, err := b.Subscribe(within(t, time.Minute), bus.Consumer{Topic: topic, Name: "svc", Prefetch: 1, Handler: func(d *bus.Delivery) {
		calls.Add(1)
		if d.ID == "poison" {
			panic("cannot read this")
		}
		fine.Add(1)
		d.Ack()
		d.Requeue() // too late to count
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Close(context.Background()) }()
	for _, id := range []string{"poison", "a", "poison", "b"} {
		send(t, b, bus.Message{To: topic, ID: id})
	}
	until(t, "the others are handled", func() bool { return fine.Load() == 2 })
	if calls.Load() != 4 {
		t.Errorf("%d calls for 4 messages", calls.Load())
	}
}

// A body need not fit the write buffer.
func TestLargeBodySmallBuffer(t *testing.T) {
	rec, s := bustest.NewRecorder(), newSpace(t)
	b := open(t, Config{URLs: []string{brokertest.URL(t)}, WriteBufferBytes: 4 * largePiece}, rec)
	flow, replies := s.topic(bus.Flow, "large"), s.topic(bus.Response, "large")
	seen := drain(t, b, flow)
	if _, err := b.Subscribe(within(t, time.Minute), bus.Consumer{Topic: replies}); err != nil {
		t.Fatal(err)
	}
	body := bytes.Repeat([]byte("0123456789abcdef"), 1<<19) // 8 MiB
	send(t, b, bus.Message{To: flow, Body: body})
	send(t, b, bus.Message{To: replies, ID: "large", Body: body})
	until(t, "both arrive", func() bool { return seen.Load() == 1 && len(rec.Bodies("large")) == 1 })
	if !bytes.Equal(rec.Bodies("large")[0], body) {
		t.Error("the body changed on its way")
	}
}

// Under load one system call carries many messages. Not parallel: it counts what
// the whole process writes.
func TestGroupCommit(t *testing.T) {
	s := newSpace(t)
	b := open(t, Config{URLs: []string{brokertest.URL(t)}}, nil)
	topic := s.topic(bus.Notify, "flood")
	send(t, b, bus.Message{To: topic})
	const publishers, each = 8, 2000
	before := testutil.ToFloat64(socketWrites)
	var wg sync.WaitGroup
	for range publishers {
		wg.Go(func() {
			for range each {
				m := bus.Message{To: topic, Body: []byte("{}")}
				if _, err := b.Publish(t.Context(), &m); err != nil {
					t.Errorf("publish: %v", err)
				}
			}
		})
	}
	wg.Wait()
	if writes := testutil.ToFloat64(socketWrites) - before; writes > publishers*each/2 {
		t.Errorf("%d messages took %.0f writes", publishers*each, writes)
	}
}

func TestNoCredentialsInErrorsOrLogs(t *testing.T) {
	u, err := url.Parse(brokertest.URL(t))
	if err != nil {
		t.Fatal("not a URL")
	}
	u.User = url.UserPassword("nobody", "hunter2")
	var log bytes.Buffer
	b, err := Open(Config{URLs: []string{u.String()}, Logger: slog.New(slog.NewTextHandler(&log, nil))}, nil)
	if err != nil {
		t.Fatal(err)
	}
	until(t, "the login has failed", func() bool {
		return b.publishers[0].link.down.Load() && b.consumers[0].link.down.Load()
	})
	said := b.Ready().Error()
	if err := b.Close(within(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	if said += log.String(); strings.Contains(said, "hunter2") {
		t.Errorf("the password is in %s", said)
	}
}
