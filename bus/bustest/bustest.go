// Package bustest is what every implementation of bus.Bus must pass.
//
// It sees a bus only through its interface and a few hooks, asks for nothing
// that a broker with several connections cannot promise, and never asserts how
// fast something happens. Where a test must show that something does not happen
// it waits for a later message that proves that the moment has passed.
package bustest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"testing"
	"time"

	"sluice/bus"
)

// Harness says how to reach an implementation.
type Harness struct {
	// Open returns a working bus that reports to r. The suite closes it.
	Open func(t *testing.T, r bus.Replies) bus.Bus
	// Disrupt breaks all connections of b, as a failing network would; the bus
	// must recover by itself. Nil leaves the tests of that out.
	Disrupt func(t *testing.T, b bus.Bus)
	// DeleteExchange deletes what topic names on the broker of b, behind its
	// back. Nil leaves the tests of that out.
	DeleteExchange func(t *testing.T, b bus.Bus, topic bus.Topic)
}

// Run runs the whole suite.
func Run(t *testing.T, h Harness) {
	t.Helper()
	for _, c := range cases(h) {
		t.Run(c.name, func(t *testing.T) { c.run(newFixture(t, h)) })
	}
}

type testCase struct {
	name string
	run  func(f *fixture)
}

func cases(h Harness) []testCase {
	all := []testCase{
		{"fanout to two names", testFanout},
		{"competing consumers", testCompeting},
		{"prefetch", testPrefetch},
		{"one handler call at a time", testSerialHandler},
		{"named queue stays", testNamedQueueStays},
		{"private queue vanishes", testPrivateQueue},
		{"requeue", testRequeue},
		{"unsettled deliveries come back", testUnsettledComesBack},
		{"order per queue", testOrder},
		{"every subscriber gets replies and signals", testBroadcast},
		{"nothing is kept without a binding", testLossWithoutBinding},
		{"request without a queue is returned", testRequestReturned},
		{"flow without a queue is refused", testFlowUnroutable},
		{"request expires", testRequestExpires},
		{"flow never expires", testFlowNeverExpires},
		{"reply stream", testReplyStream},
		{"reply stream is counted", testReplyStreamCounted},
		{"bound before Subscribe returns", testBoundBeforeReturn},
		{"bodies intact", testBodies},
		{"ids intact", testIDs},
		{"subscription close", testSubscriptionClose},
		{"subscription close twice", testSubscriptionCloseTwice},
		{"bus close", testBusClose},
		{"concurrent use", testConcurrentUse},
		{"bulk is settled in order", testAsyncOrder},
		{"bulk without a queue is refused", testAsyncUnroutable},
		{"bulk refuses", testAsyncRefused},
		{"bulk waits for room", testAsyncBackpressure},
		{"bulk is settled before the bus closes", testAsyncClose},
		{"private queue drops the oldest", testMaxBytes},
	}
	if h.Disrupt != nil {
		all = append(all, testCase{"connection loss", testConnectionLoss}, testCase{"connection loss gives back", testLossRedelivers},
			testCase{"connection loss in bulk", testAsyncLoss})
	}
	if h.DeleteExchange != nil {
		all = append(all, testCase{"refresh replies", testRefreshReplies}, testCase{"refresh requests", testRefreshRequests})
	}
	return all
}

// bound is how long the suite waits for what must happen.
const bound = 30 * time.Second

// fixture is what one test works with: a bus of its own, what it reported, and
// a topic space of its own.
type fixture struct {
	*testing.T
	harness Harness
	bus     bus.Bus
	replies *Recorder
	space   string
	ctx     context.Context
}

func newFixture(t *testing.T, h Harness) *fixture {
	t.Helper()
	f := &fixture{T: t, harness: h, replies: NewRecorder(), space: "bustest-" + randomHex(6)}
	ctx, cancel := context.WithTimeout(context.Background(), 4*bound)
	f.ctx = ctx
	f.bus = h.Open(t, f.replies)
	t.Cleanup(func() {
		_ = f.bus.Close(ctx)
		cancel()
	})
	Wait(t, "the bus is ready", func() bool { return f.bus.Ready() == nil })
	return f
}

// topic returns the topic that this test, and no other, calls class and name.
func (f *fixture) topic(class bus.Class, name string) bus.Topic {
	f.Helper()
	t, err := bus.ParseTopic(fmt.Sprintf("%s:%s:%s", class, f.space, name))
	if err != nil {
		f.Fatal(err)
	}
	return t
}

// subscribe ends with the test.
func (f *fixture) subscribe(c bus.Consumer) bus.Subscription {
	f.Helper()
	s, err := f.bus.Subscribe(f.ctx, c)
	if err != nil {
		f.Fatalf("subscribe to %s: %v", c.Topic.Exchange, err)
	}
	f.Cleanup(func() { _ = s.Close(f.ctx) })
	return s
}

func (f *fixture) publish(m bus.Message) {
	f.Helper()
	if _, err := f.bus.Publish(f.ctx, &m); err != nil {
		f.Fatalf("publish to %s: %v", m.To.Exchange, err)
	}
}

func (f *fixture) close(s bus.Subscription) {
	f.Helper()
	if err := s.Close(f.ctx); err != nil {
		f.Fatalf("close subscription: %v", err)
	}
}

// Wait polls until done returns true and fails t when that takes half a minute.
func Wait(t testing.TB, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(bound); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited %v in vain until %s", bound, what)
		}
	}
}

func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}
