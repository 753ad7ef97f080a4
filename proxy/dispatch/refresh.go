package dispatch

import (
	"context"
	"strings"
	"sync"
	"time"

	"sluice/bus"
)

const (
	// refreshTimeout bounds one refresh on the bus.
	refreshTimeout = 10 * time.Second
	// silentInterval is the least time between two refreshes of one service
	// that its silence asked for.
	silentInterval = 10 * time.Second
)

// refresher makes sure of topics that somebody may have deleted and made again.
// It works in the background; what is asked for while it works is done together
// in the next round.
type refresher struct {
	worker background

	mu         sync.Mutex
	queued     bool
	workspaces map[string]struct{}
	services   map[*service]struct{}
}

// Refresh makes sure, in the background, of everything on the bus that the
// services of the workspace's flows use: somebody may have deleted exchanges and
// made them again.
func (t *Table) Refresh(workspace string) {
	r := &t.refresher
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, asked := r.workspaces[workspace]; !asked {
		r.workspaces[strings.Clone(workspace)] = struct{}{}
	}
	t.queueRefresh()
}

// refreshSilent refreshes a service that a call has heard nothing from.
func (t *Table) refreshSilent(s *service) {
	now, last := time.Now().UnixNano(), s.refreshed.Load()
	if now-last < int64(silentInterval) || !s.refreshed.CompareAndSwap(last, now) {
		return
	}
	r := &t.refresher
	r.mu.Lock()
	defer r.mu.Unlock()
	r.services[s] = struct{}{}
	t.queueRefresh()
}

// queueRefresh starts a round unless one is about to start. refresher.mu is
// held.
func (t *Table) queueRefresh() {
	if !t.refresher.queued && !t.closed.Load() {
		t.refresher.queued = true
		t.refresher.worker.add(t.refreshAsked)
	}
}

// refreshAsked is one round.
func (t *Table) refreshAsked() {
	topics := t.topicsAsked()
	if len(topics) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(t.ctx, refreshTimeout)
	defer cancel()
	if err := t.bus.Refresh(ctx, topics...); err != nil && t.ctx.Err() == nil {
		// When the bus is away it will bind everything again by itself.
		t.config.Log.Warn("cannot refresh topics", "topics", len(topics), "error", err)
	}
}

// topicsAsked takes what was asked for, each topic once: flows share some.
func (t *Table) topicsAsked() []bus.Topic {
	r := &t.refresher
	r.mu.Lock()
	workspaces, services := r.workspaces, r.services
	r.workspaces, r.services = map[string]struct{}{}, map[*service]struct{}{}
	r.queued = false
	r.mu.Unlock()
	if len(workspaces) > 0 {
		t.services.Range(func(k Key, s *service) bool {
			if _, asked := workspaces[k.Workspace]; asked && !k.Kind.IsGlobal() {
				services[s] = struct{}{}
			}
			return true
		})
	}
	var topics []bus.Topic
	seen := map[bus.Topic]struct{}{}
	for s := range services {
		if !s.wired.Load() || s.stopped() {
			continue
		}
		for _, topic := range s.busTopics() {
			if _, again := seen[topic]; !again {
				seen[topic] = struct{}{}
				topics = append(topics, topic)
			}
		}
	}
	return topics
}
