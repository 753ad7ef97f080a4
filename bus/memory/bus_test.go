package memory

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"sluice/bus"
	"sluice/bus/bustest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	bustest.Run(t, bustest.Harness{
		Open:    func(_ *testing.T, r bus.Replies) bus.Bus { return New(r) },
		Disrupt: func(_ *testing.T, b bus.Bus) { b.(*Bus).Interrupt() },
	})
}

func topic(t testing.TB, id string) bus.Topic {
	t.Helper()
	topic, err := bus.ParseTopic(id)
	if err != nil {
		t.Fatal(err)
	}
	return topic
}

// stuck returns a bus with small queues, and a consumer of to that holds what it
// gets until release is called.
func stuck(t testing.TB, to bus.Topic, l limits) (b *Bus, release func()) {
	t.Helper()
	b = newLimited(nil, l)
	gate := make(chan struct{})
	_, err := b.Subscribe(t.Context(), bus.Consumer{Topic: to, Name: "svc", Prefetch: 1, Handler: func(d *bus.Delivery) {
		<-gate
		d.Ack()
	}})
	if err != nil {
		t.Fatal(err)
	}
	return b, func() { close(gate) }
}

func TestFullQueueFailsAtTheDeadline(t *testing.T) {
	for _, id := range []string{"request:tg:full", "flow:tg:full"} {
		for _, l := range []limits{{messages: 2, bytes: 1 << 20}, {messages: 1000, bytes: 10}} {
			t.Run(fmt.Sprint(id, l), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					to := topic(t, id)
					b, release := stuck(t, to, l)
					ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
					defer cancel()
					// One is with the consumer, two are in the queue.
					for range 3 {
						m := bus.Message{To: to, ID: "x", Body: []byte("12345")}
						if _, err := b.Publish(ctx, &m); err != nil {
							t.Fatal(err)
						}
						synctest.Wait()
					}
					start := time.Now()
					m := bus.Message{To: to, ID: "x", Body: []byte("12345"), Expiration: 2 * time.Second}
					_, err := b.Publish(ctx, &m)
					want := 2 * time.Second
					if to.Class == bus.Flow {
						want = 3 * time.Second // flow messages have no expiration, only the context ends the wait
					}
					if waited := time.Since(start); !errors.Is(err, bus.ErrBusy) || waited != want {
						t.Errorf("err = %v after %v", err, waited)
					}
					release()
					if err := b.Close(context.Background()); err != nil {
						t.Error(err)
					}
				})
			})
		}
	}
}

func TestFullQueueTakesWhatFindsRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to := topic(t, "request:tg:room")
		b, release := stuck(t, to, limits{messages: 1, bytes: 1 << 20})
		results := make(chan error, 5)
		for range 5 {
			go func() {
				m := bus.Message{To: to, ID: "x", Body: []byte("{}"), Expiration: time.Minute}
				_, err := b.Publish(t.Context(), &m)
				results <- err
			}()
		}
		synctest.Wait()
		if n := len(results); n != 2 {
			t.Errorf("%d of 5 were taken, want one with the consumer and one in the queue", n)
		}
		release()
		for range 5 {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		if err := b.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

func TestFullQueueMakesRoomOfExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to := topic(t, "request:tg:expired")
		b, release := stuck(t, to, limits{messages: 1, bytes: 1 << 20})
		publish := func(expiration time.Duration) error {
			m := bus.Message{To: to, ID: "x", Body: []byte("{}"), Expiration: expiration}
			_, err := b.Publish(t.Context(), &m)
			return err
		}
		if err := publish(time.Hour); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if err := publish(time.Second); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if err := publish(time.Minute); err != nil || time.Since(start) != time.Second {
			t.Errorf("err = %v after %v, want room as soon as the other one has expired", err, time.Since(start))
		}
		release()
		if err := b.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

func TestCloseEndsWaitingPublishers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to := topic(t, "flow:tg:closing")
		b, release := stuck(t, to, limits{messages: 1, bytes: 1 << 20})
		result := make(chan error, 1)
		go func() {
			for {
				m := bus.Message{To: to, Body: []byte("{}")}
				if _, err := b.Publish(t.Context(), &m); err != nil {
					result <- err
					return
				}
			}
		}()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		// The handler is stuck: Close gives up waiting for it, not earlier.
		if err := b.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("close: %v", err)
		}
		if err := <-result; !errors.Is(err, bus.ErrClosed) {
			t.Errorf("publish: %v", err)
		}
		release()
	})
}

func TestSlowSubscriberDoesNotHoldUpReplies(t *testing.T) {
	to := topic(t, "response:tg:slow")
	recorder := bustest.NewRecorder()
	b := newLimited(recorder, limits{messages: 2, bytes: 1 << 20})
	gate := make(chan struct{})
	var got atomic.Int32
	for _, handler := range []bus.Handler{nil, func(d *bus.Delivery) {
		<-gate
		got.Add(1)
		d.Ack()
	}} {
		if _, err := b.Subscribe(t.Context(), bus.Consumer{Topic: to, Prefetch: 1, Handler: handler}); err != nil {
			t.Fatal(err)
		}
	}
	for range 50 {
		m := bus.Message{To: to, ID: "x", Body: []byte("{}")}
		if _, err := b.Publish(t.Context(), &m); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(recorder.Bodies("x")); n != 50 {
		t.Errorf("the reply stream got %d of 50", n)
	}
	close(gate)
	bustest.Wait(t, "the subscriber read its queue", func() bool { return got.Load() >= 2 })
	if err := b.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if n := got.Load(); n > 3 {
		t.Errorf("a queue of 2 handed out %d", n)
	}
}

func TestRequeueKeepsOrder(t *testing.T) {
	to := topic(t, "flow:tg:order")
	b := New(nil)
	held := make(chan *bus.Delivery, 4)
	s, err := b.Subscribe(t.Context(), bus.Consumer{Topic: to, Name: "svc", Prefetch: 3, Handler: func(d *bus.Delivery) { held <- d }})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 6 {
		m := bus.Message{To: to, Body: []byte(fmt.Sprint(i))}
		if _, err := b.Publish(t.Context(), &m); err != nil {
			t.Fatal(err)
		}
	}
	<-held
	<-held
	<-held
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	var order []string
	done := make(chan struct{})
	_, err = b.Subscribe(t.Context(), bus.Consumer{Topic: to, Name: "svc", Handler: func(d *bus.Delivery) {
		order = append(order, string(d.Body))
		d.Ack()
		if len(order) == 6 {
			close(done)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	<-done
	if got := strings.Join(order, ""); got != "012345" {
		t.Errorf("order %s", got)
	}
	if err := b.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestTopicsAreForgotten(t *testing.T) {
	b := New(nil)
	for i := range 100 {
		for _, c := range []bus.Consumer{
			{Topic: topic(t, fmt.Sprint("response:tg:r", i))},
			{Topic: topic(t, fmt.Sprint("notify:tg:n", i)), Handler: func(d *bus.Delivery) { d.Ack() }},
			{Topic: topic(t, fmt.Sprint("flow:tg:f", i)), Handler: func(d *bus.Delivery) { d.Ack() }},
		} {
			s, err := b.Subscribe(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := b.exchanges.Size(); n != 0 {
		t.Errorf("%d topics are left without any subscriber", n)
	}
	if err := b.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestHandlerIsRequired(t *testing.T) {
	b := New(nil)
	defer b.Close(t.Context())
	for _, id := range []string{"flow:tg:x", "request:tg:x", "notify:tg:x"} {
		if _, err := b.Subscribe(t.Context(), bus.Consumer{Topic: topic(t, id), Name: "n"}); err == nil {
			t.Errorf("%s: a consumer without a handler was accepted", id)
		}
	}
}
