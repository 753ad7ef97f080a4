package amqp

import (
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/bus"
	"sluice/bus/amqp/brokertest"
	"sluice/bus/bustest"
)

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

// Whoever publishes into a deleted exchange at that moment, the lane is lost once:
// its neighbours are not dragged along, and nobody is turned away.
func TestExchangeDeletedUnderLoad(t *testing.T) {
	broker := brokertest.URL(t)
	rec, s := bustest.NewRecorder(), newSpace(t)
	b := open(t, Config{URLs: []string{broker}}, rec)
	bad, good := s.topic(bus.Request, "bad"), s.topic(bus.Request, "good")
	seen := drain(t, b, good)
	drain(t, b, bad)
	var sent atomic.Int64
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 16 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				for _, to := range []bus.Topic{bad, good} {
					m := bus.Message{To: to, ID: "x"}
					if _, err := b.Publish(within(t, time.Minute), &m); err != nil && !errors.Is(err, bus.ErrBusy) {
						t.Errorf("publish to %s: %v", to.Exchange, err)
						return
					}
				}
				sent.Add(1)
			}
		})
	}
	until(t, "requests arrive", func() bool { return seen.Load() > 100 })
	if err := dial(t, broker).ExchangeDelete(bad.Exchange, false, false); err != nil {
		t.Error(err)
	}
	until(t, "the lane is lost", func() bool { return len(rec.Lanes()) > 0 })
	before := sent.Load()
	until(t, "they go on", func() bool { return sent.Load() > before+1000 })
	close(stop)
	wg.Wait()
	if n := len(rec.Lanes()); n != 1 {
		t.Errorf("%d lanes were lost", n)
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
	if err := publishBriefly(t, b, &m, 100*time.Millisecond); !errors.Is(err, bus.ErrOutcomeUnknown) {
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
		if err := publishBriefly(t, b, &m, 50*time.Millisecond); !errors.Is(err, want) {
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
	until(t, "it is on its way", func() bool { return lane.window.Taken() == 1 })
	p.cut()
	if err := <-result; !errors.Is(err, bus.ErrOutcomeUnknown) && !errors.Is(err, bus.ErrUnavailable) {
		t.Errorf("err = %v", err)
	}
}

// Each publisher hears of its own message, whatever else is confirmed or returned
// around it.
func TestReturnsAreMatched(t *testing.T) {
	s := newSpace(t)
	b := open(t, Config{URLs: []string{brokertest.URL(t)}}, nil)
	bound, unbound := s.topic(bus.Flow, "bound"), s.topic(bus.Flow, "unbound")
	seen := drain(t, b, bound)
	const publishers, each = 32, 20
	var wg sync.WaitGroup
	for range publishers {
		wg.Go(func() {
			for range each {
				for _, to := range []bus.Topic{bound, unbound} {
					m := bus.Message{To: to, Body: []byte("{}")}
					if _, err := b.Publish(within(t, time.Minute), &m); errors.Is(err, bus.ErrUnroutable) != (to == unbound) || to == bound && err != nil {
						t.Errorf("publish to %s: %v", to.Exchange, err)
					}
				}
			}
		})
	}
	wg.Wait()
	until(t, "all that were confirmed arrive", func() bool { return seen.Load() == publishers*each })
}
