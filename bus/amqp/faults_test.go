package amqp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"sluice/bus"
	"sluice/bus/amqp/brokertest"
	"sluice/bus/bustest"
)

// A broker that stops reading first makes publishers hear ErrBusy, then loses
// its connection, and the lanes with it.
func TestStalledSocket(t *testing.T) {
	p := newProxy(t, brokertest.URL(t))
	rec, s := bustest.NewRecorder(), newSpace(t)
	b := open(t, Config{URLs: []string{p.url}, WriteTimeout: 500 * time.Millisecond, WatchdogTimeout: 3 * time.Second, WriteBufferBytes: 1 << 20}, rec)
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
	p.cut() // what is stalled and idle would hold up Close
}

// A broker that takes everything and does nothing is found out.
func TestWatchdog(t *testing.T) {
	p := newProxy(t, brokertest.URL(t))
	rec, s := bustest.NewRecorder(), newSpace(t)
	b := open(t, Config{URLs: []string{p.url}, WatchdogInterval: 20 * time.Millisecond, WatchdogTimeout: 3 * time.Second}, rec)
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
	p.cut() // what is idle was not found out, and would hold up Close
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

// A broker that says nothing any more, or nothing but heartbeats, does not make
// Close late, be the connections open or half open.
func TestCloseWithMuteBroker(t *testing.T) {
	for _, role := range []string{"", "bulk", "publish", "consume"} {
		for _, beats := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/heartbeats %v", role, beats), func(t *testing.T) {
				t.Parallel()
				p := newProxy(t, brokertest.URL(t))
				var once sync.Once
				connected := make(chan struct{})
				log := slog.New(told{"connected to the message bus", role, func() {
					once.Do(func() {
						p.downstream(stall)
						close(connected)
					})
				}})
				b, err := Open(Config{URLs: []string{p.url}, Logger: log}, nil)
				if err != nil {
					t.Fatal(err)
				}
				if role == "" {
					until(t, "the bus is ready", func() bool { return b.Ready() == nil })
					p.downstream(stall)
				} else {
					<-connected
				}
				if beats {
					defer p.beat()()
				}
				if err := b.Close(within(t, 4*time.Second)); err != nil {
					t.Errorf("close: %v", err)
				}
			})
		}
	}
}

// told does something at the first message of its text and role.
type told struct {
	text, role string
	do         func()
}

func (told) Enabled(context.Context, slog.Level) bool { return true }
func (h told) WithAttrs([]slog.Attr) slog.Handler     { return h }
func (h told) WithGroup(string) slog.Handler          { return h }

func (h told) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if r.Message == h.text && a.Key == "role" && a.Value.String() == h.role {
			h.do()
		}
		return true
	})
	return nil
}
