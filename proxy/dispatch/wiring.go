package dispatch

import (
	"context"
	"errors"
	"strings"
	"time"
)

const (
	// wireTimeout bounds binding a reply topic and declaring what requests need.
	wireTimeout = 10 * time.Second
	// unwireTimeout bounds unbinding it: the bus may be away.
	unwireTimeout = 5 * time.Second
)

// acquire returns the wired service of k, and wires it if need be. The caller
// must call its leave.
func (t *Table) acquire(k Key, w *wait) (*service, error) {
	if k.Kind.IsGlobal() {
		k = Key{Kind: k.Kind}
	}
	if s, ok := t.services.Load(k); ok && s.enter() {
		if s.wired.Load() {
			return s, nil
		}
		s.leave()
	}
	return t.acquireNew(k, w)
}

// acquireNew is acquire for keys that are not wired yet.
func (t *Table) acquireNew(k Key, w *wait) (*service, error) {
	for {
		s, err := t.service(k)
		if err != nil {
			return nil, err
		}
		if !s.enter() {
			t.forget(s)
			continue
		}
		err = s.await(w)
		if err == nil {
			return s, nil
		}
		s.leave()
		if !errors.Is(err, errEvicted) {
			return nil, err
		}
		// Nothing was sent: the flow as it is defined now may serve the call.
	}
}

// service returns the entry of k. If there is none it makes one and starts
// wiring it; callers that come at the same time share it.
func (t *Table) service(k Key) (*service, error) {
	if t.closed.Load() {
		return nil, ErrUnavailable
	}
	if s, ok := t.services.Load(k); ok {
		return s, nil
	}
	topics, err := t.topics(k)
	if err != nil {
		return nil, err
	}
	fresh, err := newService(t.ctx, t.ownKey(k), topics)
	if err != nil {
		return nil, err
	}
	s, loaded := t.services.LoadOrStore(fresh.key, fresh)
	if loaded {
		fresh.cancel(nil)
		return s, nil
	}
	t.wire(fresh)
	return fresh, nil
}

// wire wires s, which has just entered the table. Whoever changes a flow does so
// before evicting its services: so either they have seen s, or this sees the
// change.
func (t *Table) wire(s *service) {
	now, err := t.topics(s.key)
	switch {
	case err != nil || now != s.topics || t.closed.Load():
		t.forget(s)
		s.finish(nil, errEvicted)
	default:
		wiring := func() {
			s.bind(t.bus)
			if s.err != nil {
				// The next call tries again.
				t.forget(s)
			}
		}
		if !t.life.spawn(wiring) {
			t.forget(s)
			s.finish(nil, errEvicted)
		}
	}
}

// ownKey returns k in strings that nobody else may change. Those of a flow are
// shared by its services.
func (t *Table) ownKey(k Key) Key {
	if f, ok := t.flows.Load(flowKey{k.Workspace, k.Flow}); ok {
		return Key{f.key.workspace, f.key.id, k.Kind}
	}
	return Key{strings.Clone(k.Workspace), strings.Clone(k.Flow), k.Kind}
}

// forget closes s and takes it out of the table, where another one may be in its
// place already.
func (t *Table) forget(s *service) {
	s.close()
	t.services.Compute(s.key, func(now *service, loaded bool) (*service, bool) { return now, now == s || !loaded })
}

// unwire gives the subscription of s back, in the background. The bus counts
// subscriptions, so it may not matter whether another service of the same topic
// subscribes before or after.
func (t *Table) unwire(s *service) {
	s.cancel(errEvicted)
	t.unwiring.add(func() {
		<-s.done
		if s.err != nil {
			return
		}
		servicesWired.Dec()
		if s.subscription == nil {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), unwireTimeout)
		defer cancel()
		if err := s.subscription.Close(ctx); err != nil {
			t.config.Log.Warn("cannot unsubscribe from replies", "topic", s.response.Exchange, "error", err)
		}
	})
}
