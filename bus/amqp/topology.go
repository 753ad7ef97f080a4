package amqp

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/puzpuzpuz/xsync/v3"

	"sluice/bus"
)

// topology knows which exchanges one consumer is to declare and bind, and which
// it has bound. The consumer's goroutine alone talks to the broker about them, one
// job after the other, so that unbinding and binding again cannot overtake each
// other. What is wanted outlives connections, what is bound does not.
type topology struct {
	consumer *consumer
	wake     chan struct{} // buffered: there are jobs
	// missing counts the bindings that the present connection has yet to restore.
	missing  atomic.Int64
	bindings *xsync.MapOf[string, *binding] // changed under mu

	mu      sync.Mutex
	session *consumeSession // nil while disconnected
	jobs    []*job          // somebody waits for these
	restore []*job          // what the last connection had bound, most recently used first
	// declares are the jobs that declare for publishers, queued or running.
	declares map[string]*job

	operator operator // owned by the consumer's goroutine
}

// binding is the wish to get what a response exchange carries.
type binding struct {
	bound atomic.Bool
	used  atomic.Int64 // when it was last subscribed to or asked for, Unix nanoseconds

	// guarded by topology.mu
	wanted   int  // subscriptions
	queued   *job // not started yet
	restored bool // done with, or not part of what is missing
}

func newTopology(c *consumer) *topology {
	return &topology{
		consumer: c, wake: make(chan struct{}, 1), declares: map[string]*job{},
		bindings: xsync.NewMapOf[string, *binding](),
	}
}

// use tells that a request is about to be sent whose reply comes through exchange,
// and fails when it would be lost.
func (t *topology) use(exchange string) error {
	b, ok := t.bindings.Load(exchange)
	if !ok || !b.bound.Load() {
		return fmt.Errorf("%w: the topic for replies is not bound", bus.ErrUnavailable)
	}
	b.used.Store(time.Now().UnixNano())
	return nil
}

// want subscribes the reply queue to exchange, counted, and waits until it is
// bound. It fails at once while the broker is away.
func (t *topology) want(ctx context.Context, exchange string) error {
	t.mu.Lock()
	b, ok := t.bindings.Load(exchange)
	if !ok {
		b = &binding{restored: true}
		t.bindings.Store(exchange, b)
	}
	b.wanted++
	b.used.Store(time.Now().UnixNano())
	if t.session == nil && t.consumer.link.down.Load() {
		t.mu.Unlock()
		t.unwant(exchange)
		return fmt.Errorf("%w: no consume connection: %w", bus.ErrUnavailable, t.consumer.link.reason())
	}
	wait := t.reconcile(exchange, b, false)
	t.mu.Unlock()
	err := await(ctx, wait)
	if err != nil {
		t.unwant(exchange)
	}
	return err
}

// unwant undoes one want. The binding goes some time later.
func (t *topology) unwant(exchange string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	b, ok := t.bindings.Load(exchange)
	if !ok {
		return
	}
	if b.wanted--; b.wanted > 0 {
		return
	}
	if t.session == nil {
		t.drop(exchange, b)
		return
	}
	t.reconcile(exchange, b, false)
}

// drop forgets b, unless another one has taken its place. Needs mu.
func (t *topology) drop(exchange string, b *binding) {
	if now, ok := t.bindings.Load(exchange); ok && now == b {
		t.bindings.Delete(exchange)
	}
}

// reconcile queues a look at b and returns who is to be told. One that waits to be
// restored moves up. Needs mu.
func (t *topology) reconcile(exchange string, b *binding, again bool) chan error {
	if b.queued == nil {
		b.queued = &job{exchange: exchange, binding: b}
	}
	if !b.queued.urgent {
		b.queued.urgent = true
		t.add(b.queued)
	}
	b.queued.again = b.queued.again || again
	return b.queued.listen()
}

// declare makes sure that an exchange exists. Callers that come while it is being
// done share the answer.
func (t *topology) declare(ctx context.Context, exchange string) error {
	t.mu.Lock()
	if t.session == nil {
		t.mu.Unlock()
		return fmt.Errorf("%w: no consume connection: %w", bus.ErrUnavailable, t.consumer.link.reason())
	}
	j, ok := t.declares[exchange]
	if !ok {
		j = &job{exchange: exchange}
		t.declares[exchange] = j
		t.add(j)
	}
	wait := j.listen()
	t.mu.Unlock()
	return await(ctx, wait)
}

// refresh declares exchange anew, and binds it if it is wanted here.
func (t *topology) refresh(exchange string) chan error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if b, ok := t.bindings.Load(exchange); ok {
		return t.reconcile(exchange, b, true)
	}
	return t.request(&job{exchange: exchange})
}

// rebind binds a queue of this connection to exchange.
func (t *topology) rebind(exchange, queue string) chan error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.request(&job{exchange: exchange, queue: queue})
}

// request queues a job that makes sense only now. Needs mu.
func (t *topology) request(j *job) chan error {
	wait := j.listen()
	if t.session == nil {
		j.tell(fmt.Errorf("%w: no consume connection: %w", bus.ErrUnavailable, t.consumer.link.reason()))
		return wait
	}
	t.add(j)
	return wait
}

// add queues a job. Needs mu.
func (t *topology) add(j *job) {
	t.jobs = append(t.jobs, j)
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// begin starts a session: everything wanted is to be bound, what was used last
// first.
func (t *topology) begin(s *consumeSession) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.session = s
	t.operator = operator{conn: s.conn, private: s.exchange, ch: s.topology}
	t.bindings.Range(func(exchange string, b *binding) bool {
		b.bound.Store(false)
		b.restored = false
		t.missing.Add(1)
		if b.queued == nil {
			b.queued = &job{exchange: exchange, binding: b}
			t.restore = append(t.restore, b.queued)
		}
		return true
	})
	slices.SortStableFunc(t.restore, func(x, y *job) int { return cmp.Compare(y.lastUse(), x.lastUse()) })
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// end closes a session: nothing is bound any more, whoever waits hears why.
func (t *topology) end(why error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.session = nil
	t.bindings.Range(func(exchange string, b *binding) bool {
		b.bound.Store(false)
		b.queued = nil
		b.restored = true
		if b.wanted == 0 {
			t.bindings.Delete(exchange)
		}
		return true
	})
	t.missing.Store(0)
	for _, j := range t.jobs {
		j.tell(why)
	}
	for exchange, j := range t.declares {
		j.tell(why)
		delete(t.declares, exchange)
	}
	t.jobs, t.restore = nil, nil
}

// batchSize bounds what is sent ahead of one answer, and so how long somebody who
// comes during a restoration waits.
const batchSize = 128

// work does the jobs queued. An error means that the connection is of no more use.
func (t *topology) work(ctx context.Context) error {
	for ctx.Err() == nil {
		batch := t.take()
		if len(batch) == 0 {
			return nil
		}
		passed := t.consumer.link.guard()
		err := t.operator.do(batch)
		passed()
		if err != nil {
			err = fmt.Errorf("topology channel: %w", err)
		}
		t.finish(batch, err)
		if err != nil {
			return err
		}
	}
	return nil
}

// take decides what the next jobs have to do.
func (t *topology) take() []*job {
	t.mu.Lock()
	defer t.mu.Unlock()
	batch := take(&t.jobs, nil)
	return take(&t.restore, batch)
}

// take moves jobs from a queue to the batch until that is full.
func take(queue *[]*job, batch []*job) []*job {
	for len(*queue) > 0 && len(batch) < batchSize {
		if j := (*queue)[0]; !j.taken { // it may have moved up from the other queue
			j.decide()
			batch = append(batch, j)
		}
		*queue = (*queue)[1:]
	}
	return batch
}

func (t *topology) finish(batch []*job, fatal error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, j := range batch {
		if fatal != nil {
			j.err = fmt.Errorf("%w: %w", bus.ErrUnavailable, fatal)
		} else if j.err != nil {
			bindFailures.Inc()
			t.consumer.bus.cfg.Logger.Error("the broker refused an exchange", "exchange", j.exchange, "error", j.err)
		}
		if t.declares[j.exchange] == j {
			delete(t.declares, j.exchange)
		}
		if j.binding != nil {
			t.settle(j)
		}
		j.tell(j.err)
	}
}

// settle records what became of a binding. Needs mu.
func (t *topology) settle(j *job) {
	b := j.binding
	if !b.restored {
		b.restored = true
		t.missing.Add(-1)
	}
	if j.err == nil && j.action != actNothing {
		b.bound.Store(j.action == actBind)
	}
	if b.wanted == 0 && !b.bound.Load() && b.queued == nil {
		t.drop(j.exchange, b)
	}
}

// await waits for the answer to a job.
func await(ctx context.Context, wait chan error) error {
	select {
	case err := <-wait:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%w: waiting for the broker: %w", bus.ErrUnavailable, context.Cause(ctx))
	}
}
