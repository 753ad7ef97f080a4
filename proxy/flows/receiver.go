package flows

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"sluice/bus"
)

const (
	// maxFetches bounds the requests that are under way at the config service.
	maxFetches = 4
	// busPoll is how often the bus is asked whether it is up.
	busPoll = 250 * time.Millisecond
	// bindTimeout bounds one attempt to subscribe to notifications.
	bindTimeout = 10 * time.Second
)

// ErrNotFetched is what Ready returns before the first fetch is complete.
var ErrNotFetched = errors.New("flow definitions not fetched yet")

// ReceiverConfig says what a Receiver works with.
type ReceiverConfig struct {
	// Bus brings the notifications. Required.
	Bus bus.Bus
	// Asker reaches the config service. Required.
	Asker Asker
	// Table is told about flows. Required.
	Table Table
	// Topicspace of the notifications; empty means "tg".
	Topicspace string
	// Log gets failures; nil means slog.Default.
	Log *slog.Logger
}

// Receiver keeps a Table in step with the config service: it listens to
// notifications, fetches what they name, and fetches everything at the start,
// after a lost connection, when the store has begun anew, when a notification
// does not say what changed, and every few minutes.
//
// Methods may be called concurrently.
type Receiver struct {
	// set once
	cfg    ReceiverConfig
	topic  bus.Topic
	inbox  *inbox
	cancel context.CancelFunc
	done   chan struct{}

	fetched atomic.Bool

	// owned by run
	schedule *schedule
	running  int
	outcomes chan outcome
	jobs     sync.WaitGroup
	sub      bus.Subscription
	wasUp    bool
}

// NewReceiver starts a Receiver. It needs no bus that is up: it waits for one.
func NewReceiver(cfg ReceiverConfig) (*Receiver, error) {
	if cfg.Topicspace == "" {
		cfg.Topicspace = "tg"
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	topic, err := bus.ParseTopic("notify:" + cfg.Topicspace + ":config")
	if err != nil {
		return nil, fmt.Errorf("config notifications: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &Receiver{
		cfg: cfg, topic: topic, inbox: newInbox(), cancel: cancel, done: make(chan struct{}),
		outcomes: make(chan outcome, maxFetches),
	}
	go r.run(ctx)
	return r, nil
}

// Ready returns nil once the list of workspaces has been fetched and each
// workspace on it has been tried, so that one broken workspace does not keep the
// others from being served; ErrNotFetched before.
func (r *Receiver) Ready() error {
	if r.fetched.Load() {
		return nil
	}
	return ErrNotFetched
}

// Close ends the Receiver and waits for that until ctx ends. Flows stay as they
// are. Requests under way are waited for: they take at most ten seconds. It may
// be called more than once.
func (r *Receiver) Close(ctx context.Context) error {
	r.cancel()
	select {
	case <-r.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("config receiver: %w", ctx.Err())
	}
}

// run owns the schedule. Notifications are bound before anything is fetched, so
// that no change falls between the two.
func (r *Receiver) run(ctx context.Context) {
	defer close(r.done)
	if r.sub = r.bind(ctx); r.sub == nil {
		return
	}
	defer r.unbind()
	defer r.jobs.Wait()
	r.schedule = newSchedule(time.Now())
	r.wasUp = r.cfg.Bus.Ready() == nil
	r.loop(ctx)
}

func (r *Receiver) unbind() {
	ctx, cancel := context.WithTimeout(context.Background(), bindTimeout)
	defer cancel()
	if err := r.sub.Close(ctx); err != nil {
		r.cfg.Log.Warn("config notifications not unsubscribed", "error", err)
	}
}

// bind subscribes to the notifications. It tries until that works or ctx ends,
// then it returns nil.
func (r *Receiver) bind(ctx context.Context) bus.Subscription {
	for failures := 0; ; failures++ {
		sub, err := r.subscribe(ctx)
		if err == nil {
			return sub
		}
		if failures == 0 && ctx.Err() == nil {
			r.cfg.Log.Warn("config notifications cannot be bound yet", "error", err)
		}
		select {
		case <-time.After(min(backoff(failures), time.Second)):
		case <-ctx.Done():
			return nil
		}
	}
}

func (r *Receiver) subscribe(ctx context.Context) (bus.Subscription, error) {
	ctx, cancel := context.WithTimeout(ctx, bindTimeout)
	defer cancel()
	return r.cfg.Bus.Subscribe(ctx, bus.Consumer{Topic: r.topic, Handler: r.inbox.deliver, Rebound: r.inbox.rebound})
}

func (r *Receiver) loop(ctx context.Context) {
	poll := time.NewTicker(busPoll)
	defer poll.Stop()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		r.startJobs(ctx)
		if r.running < maxFetches {
			timer.Reset(time.Until(r.schedule.deadline()))
		}
		select {
		case <-ctx.Done():
			return
		case <-r.inbox.news:
			r.schedule.notice(r.inbox.take(), time.Now())
		case o := <-r.outcomes:
			r.finish(o)
		case <-poll.C:
			r.watchBus()
		case <-timer.C:
		}
	}
}

func (r *Receiver) startJobs(ctx context.Context) {
	for r.running < maxFetches {
		j, ok := r.schedule.next(time.Now())
		if !ok {
			return
		}
		r.running++
		r.jobs.Go(func() { r.outcomes <- r.do(ctx, j) })
	}
}

// do runs one job. The outcome fits into the channel even when nobody reads it
// any more.
func (r *Receiver) do(ctx context.Context, j job) outcome {
	o := outcome{job: j, version: j.floor}
	switch {
	case j.ws == nil:
		o.listed, o.version, o.err = list(r.cfg.Asker)
		return o
	case !j.gone:
		var records map[string]string
		records, o.version, o.err = fetch(r.cfg.Asker, j.ws.name)
		if o.err != nil || ctx.Err() != nil {
			return o
		}
		j.ws.apply(r.cfg.Table, r.cfg.Log, records)
	default:
		j.ws.apply(r.cfg.Table, r.cfg.Log, nil)
	}
	o.empty = len(j.ws.flows) == 0 && len(j.ws.bad) == 0
	if j.refresh {
		r.cfg.Table.Refresh(j.ws.name)
	}
	return o
}

func (r *Receiver) finish(o outcome) {
	r.running--
	r.report(o)
	r.schedule.finish(o, time.Now())
	if !r.fetched.Load() && r.schedule.complete() {
		r.fetched.Store(true)
		r.cfg.Log.Info("flow definitions fetched", "workspaces", len(r.schedule.workspaces))
	}
}

// report logs the first of a row of failures and the end of the row.
func (r *Receiver) report(o outcome) {
	failures, name := r.schedule.listFailures, "(list of all)"
	if o.ws != nil {
		failures, name = o.ws.failures, o.ws.name
	}
	switch {
	case o.err != nil && failures == 0:
		r.cfg.Log.Warn("flow definitions cannot be fetched, trying again", "workspace", name, "error", o.err)
	case o.err == nil && failures > 0:
		r.cfg.Log.Info("flow definitions fetched again", "workspace", name, "failures", failures)
	}
}

// watchBus asks for a full fetch when the bus has come back: what was asked for
// meanwhile has failed, and need not wait for the end of its pause.
func (r *Receiver) watchBus() {
	up := r.cfg.Bus.Ready() == nil
	if up && !r.wasUp {
		r.schedule.resync(becauseReconnect, time.Now())
	}
	r.wasUp = up
}
