package dispatch

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"sluice/bus"
	"sluice/codec"
)

// Key names a service: a kind within a flow, or alone for global services.
type Key struct {
	Workspace, Flow string
	Kind            codec.Kind
}

// service is the wiring of one Key: topics, and a subscription for the replies.
// It is made when the key is first called and serves until its flow stops, its
// topics change, or nobody calls it for long.
type service struct {
	// set once
	key      Key
	topics   codec.Interface // as defined
	request  bus.Topic       // where calls or work go
	response bus.Topic       // where replies come from; zero for senders

	// wiring ends it
	ctx    context.Context
	cancel context.CancelCauseFunc
	done   chan struct{}

	// written before done is closed
	subscription bus.Subscription
	err          error

	wired atomic.Bool
	// users counts the calls under way. The bit closedBit says that the service
	// takes no more of them; it is part of the same word so that no call slips in
	// between the last look at the count and the end.
	users atomic.Int64
	// touched says that a call came since the last sweep.
	touched atomic.Bool
	// parts counts the parts that came.
	parts atomic.Uint64
	// refreshed is when a refresh was last asked for, in Unix nanoseconds.
	refreshed atomic.Int64

	// owned by the sweeper
	idle time.Duration
}

const closedBit = 1 << 62

// errEvicted is why wiring ended that nobody needs any more.
var errEvicted = errors.New("evicted while being wired")

// newService prepares the service of key with the topics it is defined with.
// Ctx bounds its wiring.
func newService(ctx context.Context, key Key, topics codec.Interface) (*service, error) {
	s := &service{key: key, topics: topics, done: make(chan struct{})}
	var err error
	if s.isSender() {
		s.request, err = topicOf(topics.Flow, bus.Flow)
	} else {
		s.request, s.response, err = serviceTopics(topics)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnsupportedKind, err)
	}
	s.ctx, s.cancel = context.WithCancelCause(ctx)
	return s, nil
}

// isSender reports whether messages to the service are work without an answer.
func (s *service) isSender() bool { return s.key.Kind.IsSend() }

// busTopics returns what the service has on the bus.
func (s *service) busTopics() []bus.Topic {
	if s.isSender() {
		return []bus.Topic{s.request}
	}
	return []bus.Topic{s.request, s.response}
}

// bind subscribes to the reply topic, if there is one, and declares where requests
// go, so that publishing them need not wait for the bus. It ends when the service
// is unwired, or after wireTimeout.
func (s *service) bind(b bus.Bus) {
	ctx, cancel := context.WithTimeout(s.ctx, wireTimeout)
	defer cancel()
	subscription, err := s.subscribe(ctx, b)
	switch {
	case err == nil:
	case errors.Is(context.Cause(s.ctx), errEvicted):
		err = errEvicted
	default:
		err = fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	s.finish(subscription, err)
}

func (s *service) subscribe(ctx context.Context, b bus.Bus) (subscription bus.Subscription, err error) {
	if !s.isSender() {
		if subscription, err = b.Subscribe(ctx, bus.Consumer{Topic: s.response}); err != nil {
			return nil, err
		}
	}
	if err = b.Refresh(ctx, s.request); err == nil || subscription == nil {
		return subscription, err
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), unwireTimeout)
	defer cancel()
	_ = subscription.Close(end) // the other error says more
	return nil, err
}

// finish records how the wiring went.
func (s *service) finish(subscription bus.Subscription, err error) {
	s.subscription, s.err = subscription, err
	if err == nil {
		servicesWired.Inc()
		s.wired.Store(true)
	}
	s.cancel(nil)
	close(s.done)
}

// await waits until the service is wired and returns why it is not.
func (s *service) await(w *wait) error {
	timer := time.NewTimer(time.Until(w.next(time.Now())))
	defer timer.Stop()
	select {
	case <-s.done:
		return s.err
	case <-timer.C:
		return ErrTimeout
	case <-w.gone:
		return ErrGone
	}
}

// enter begins a use, and reports false when the service has been closed.
func (s *service) enter() bool {
	if s.users.Add(1)&closedBit != 0 {
		s.users.Add(-1)
		return false
	}
	if !s.touched.Load() {
		s.touched.Store(true)
	}
	return true
}

// leave ends a use.
func (s *service) leave() { s.users.Add(-1) }

// close lets nobody enter any more. It reports whether it was this call that
// did it.
func (s *service) close() bool { return s.users.Or(closedBit)&closedBit == 0 }

// closeUnused is close, unless a use is under way.
func (s *service) closeUnused() bool { return s.users.CompareAndSwap(0, closedBit) }

// inUse reports whether a use is under way.
func (s *service) inUse() bool { return s.users.Load()&^closedBit != 0 }

// stopped reports whether the service has been closed.
func (s *service) stopped() bool { return s.users.Load()&closedBit != 0 }
