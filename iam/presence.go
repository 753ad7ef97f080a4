package iam

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"sluice/bus"
)

var (
	// ErrOtherStore: another IAM service answers the same requests from another
	// store, so that each caller would be told by chance what one of them knows; or
	// it is no service of Sluice, and knows nothing of sharing one.
	ErrOtherStore = errors.New("another IAM service answers on this bus, with a store of its own or not Sluice's: stop one of them, or let Sluice's share a store")
	// ErrOtherName: another IAM service uses the store, under another subscription
	// name, so that each of them would carry out every request. One that a gateway embeds
	// is always called defaultName.
	ErrOtherName = errors.New("another IAM service uses this store under another name: give both the same --id, which is always iam-svc for one that a gateway embeds")
)

const (
	// claimPatience is how long a service that starts listens for others.
	claimPatience = time.Second
	// companyPatience is how much longer it listens when requests are answered and
	// nobody has said that they share its store.
	companyPatience = 5 * time.Second
	// presencePeriod is how often a service says that it is there, for those
	// that did not hear it start.
	presencePeriod = 15 * time.Second
)

// presence is what guarded services tell one another on a notify topic. Nobody
// else listens there.
type presence struct {
	// Requests is the exchange whose requests are answered.
	Requests string `json:"requests"`
	Instance string `json:"instance"`
	// Store names a store that others may share; without it the store is the
	// instance's own. Name is the subscription's.
	Store string `json:"store,omitempty"`
	Name  string `json:"name,omitempty"`
	// Since is when the instance started, in nanoseconds since 1970.
	Since   int64 `json:"since"`
	Serving bool  `json:"serving"`
}

// precedes reports whether p may stay rather than q: who serves goes before who
// wants to, then who was there first.
func (p presence) precedes(q presence) bool {
	if p.Serving != q.Serving {
		return p.Serving
	}
	return cmp.Or(cmp.Compare(p.Since, q.Since), cmp.Compare(p.Instance, q.Instance)) < 0
}

// objection is what stands between p and q, nil when they may serve side by side.
func (p presence) objection(q presence) error {
	switch {
	case p.Store == "" || p.Store != q.Store:
		return ErrOtherStore
	case p.Name != q.Name:
		return ErrOtherName
	}
	return nil
}

// watch notices other services on the bus. It belongs to one Service.
type watch struct {
	bus      bus.Bus
	topic    bus.Topic
	sub      bus.Subscription
	life     context.Context
	speakers sync.WaitGroup
	// conflict gets the error once.
	conflict chan error

	// company is closed when a service that shares the store is heard to serve.
	company chan struct{}
	welcome sync.Once

	mu sync.Mutex
	me presence
}

// startWatch claims the request topic, and fails with ErrOtherStore or
// ErrOtherName when somebody has it.
func startWatch(ctx, life context.Context, b bus.Bus, space string, me presence, probe func() (bool, error)) (*watch, error) {
	topic, err := bus.ParseTopic("notify:" + space + ":iam-presence")
	if err != nil {
		return nil, err
	}
	w := &watch{bus: b, topic: topic, life: life, me: me, conflict: make(chan error, 1), company: make(chan struct{})}
	w.sub, err = b.Subscribe(ctx, bus.Consumer{Topic: topic, Handler: w.hear})
	if err != nil {
		return nil, err
	}
	if err := w.claim(ctx, probe); err != nil {
		return nil, errors.Join(err, w.close(ctx))
	}
	w.speakers.Go(w.repeat)
	return w, nil
}

// claim says who wants to serve, and listens for objections. It asks first whether
// requests are answered: by whom, those that share the store say during the claim.
func (w *watch) claim(ctx context.Context, probe func() (bool, error)) error {
	answered, err := probe()
	if err != nil {
		return fmt.Errorf("looking for other IAM services: %w", err)
	}
	if err := w.speak(ctx); err != nil {
		return err
	}
	if err := w.listen(ctx, claimPatience, nil); err != nil {
		return err
	}
	if answered {
		if err := w.awaitCompany(ctx); err != nil {
			return err
		}
	}
	w.mu.Lock()
	w.me.Serving = true
	w.mu.Unlock()
	return w.speak(ctx)
}

// awaitCompany fails with ErrOtherStore when nobody says that they share the store.
func (w *watch) awaitCompany(ctx context.Context) error {
	if w.self().Store == "" {
		return ErrOtherStore
	}
	if err := w.listen(ctx, companyPatience, w.company); err != nil {
		return err
	}
	select {
	case <-w.company:
		return nil
	default:
		return ErrOtherStore
	}
}

// listen waits for objections, so long or until the channel is closed.
func (w *watch) listen(ctx context.Context, d time.Duration, until <-chan struct{}) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case err := <-w.conflict:
		return err
	case <-until:
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// hear takes a presence from the bus, possibly its own.
func (w *watch) hear(d *bus.Delivery) {
	defer d.Ack()
	var other presence
	if json.Unmarshal(d.Body, &other) != nil {
		return // whatever it is, it is none of us
	}
	me := w.self()
	if other.Requests != me.Requests || other.Instance == me.Instance {
		return
	}
	objection := me.objection(other)
	switch {
	case objection == nil && other.Serving:
		w.welcome.Do(func() { close(w.company) })
	case objection != nil && !me.precedes(other):
		select {
		case w.conflict <- objection:
		default:
		}
	case objection != nil || me.Serving:
		// Objects, or tells a newcomer whose answers it gets; from a goroutine of its
		// own, for a handler must not wait.
		w.speakers.Go(func() { _ = w.speak(w.life) })
	}
}

func (w *watch) self() presence {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.me
}

func (w *watch) speak(ctx context.Context) error {
	body, err := json.Marshal(w.self())
	if err != nil {
		return err
	}
	_, err = w.bus.Publish(ctx, &bus.Message{To: w.topic, Body: body})
	return err
}

// repeat speaks now and then. A failure is the bus's, and told by it.
func (w *watch) repeat() {
	tick := time.NewTicker(presencePeriod)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			_ = w.speak(w.life)
		case <-w.life.Done():
			return
		}
	}
}

// close stops listening. The watch's life must end first.
func (w *watch) close(ctx context.Context) error {
	err := w.sub.Close(ctx)
	w.speakers.Wait()
	return err
}
