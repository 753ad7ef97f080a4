package dispatch

import (
	"context"
	"strings"
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

// Refresh makes sure, in the background, of everything on the bus that the
// workspace's wired services use: somebody may have deleted exchanges and made
// them again. Until it has run, further calls for the workspace change nothing.
func (t *Table) Refresh(workspace string) {
	t.defining.Lock()
	defer t.defining.Unlock()
	if _, queued := t.asked[workspace]; queued || t.closed.Load() {
		return
	}
	workspace = strings.Clone(workspace)
	t.asked[workspace] = struct{}{}
	t.refreshes.add(func() { t.refreshWorkspace(workspace) })
}

func (t *Table) refreshWorkspace(workspace string) {
	// First: a call of Refresh from now on may be about a later change.
	t.defining.Lock()
	delete(t.asked, workspace)
	t.defining.Unlock()
	var topics []bus.Topic
	t.services.Range(func(k Key, s *service) bool {
		if k.Workspace == workspace && k.Flow != "" && s.wired.Load() {
			topics = append(topics, s.busTopics()...)
		}
		return true
	})
	t.refreshTopics(topics)
}

// refreshSilent refreshes a service that a call has heard nothing from.
func (t *Table) refreshSilent(s *service) {
	now, last := time.Now().UnixNano(), s.refreshed.Load()
	if now-last < int64(silentInterval) || !s.refreshed.CompareAndSwap(last, now) {
		return
	}
	t.refreshes.add(func() {
		if !s.stopped() {
			t.refreshTopics(s.busTopics())
		}
	})
}

func (t *Table) refreshTopics(topics []bus.Topic) {
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
