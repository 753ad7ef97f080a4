package dispatch

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/puzpuzpuz/xsync/v3"

	"sluice/bus"
	"sluice/codec"
)

// statusStopping is the status of a flow that is being taken down.
const statusStopping = "stopping"

// Table is the flows that are running and the services that are wired. All
// methods may be called concurrently.
type Table struct {
	// set once
	bus     bus.Bus
	pending *Pending
	config  Config
	ctx     context.Context
	cancel  context.CancelFunc

	flows    *xsync.MapOf[flowKey, *flow]
	services *xsync.MapOf[Key, *service]

	// defining serialises changes of flows. Calls do not take it.
	defining sync.Mutex

	// streams of the flows
	links links
	feeds feeds

	// permits, of which each holder takes one
	downloads    chan struct{}
	blockingTaps chan struct{}

	closed    atomic.Bool
	life      lifetime
	unwiring  background
	refresher refresher
}

// New returns an empty table whose calls go over b. Pending must be what b
// reports to. Close ends the table's goroutines; it does not close b.
func New(b bus.Bus, pending *Pending, c Config) *Table {
	t := &Table{
		bus: b, pending: pending, config: c.withDefaults(),
		flows:    xsync.NewMapOf[flowKey, *flow](),
		services: xsync.NewMapOf[Key, *service](),
	}
	t.links.of, t.feeds.of = map[flowKey]map[*link]struct{}{}, map[feedKey]*feed{}
	t.downloads = make(chan struct{}, t.config.Downloads)
	t.blockingTaps = make(chan struct{}, t.config.BlockingTaps)
	t.ctx, t.cancel = context.WithCancel(context.Background())
	t.unwiring.life, t.refresher.worker.life = &t.life, &t.life
	t.refresher.workspaces, t.refresher.services = map[string]struct{}{}, map[*service]struct{}{}
	t.life.spawn(t.sweep)
	t.life.spawn(t.watchDeadlines)
	return t
}

// StartFlow defines a flow, or defines it anew: then only services whose topics
// changed are wired again, and calls in flight on those end with ErrFlowStopped.
// A record whose status says that the flow is stopping stops it.
func (t *Table) StartFlow(workspace, id string, r codec.FlowRecord) {
	if r.Status == statusStopping {
		t.StopFlow(workspace, id)
		return
	}
	t.tell(t.define(workspace, id, r))
}

// define is StartFlow but for telling those that it ends.
func (t *Table) define(workspace, id string, r codec.FlowRecord) (e ended) {
	t.defining.Lock()
	defer t.defining.Unlock()
	if t.closed.Load() {
		return e
	}
	old, known := t.flows.Load(flowKey{workspace, id})
	key := flowKey{strings.Clone(workspace), strings.Clone(id)}
	if known {
		key = old.key
	} else {
		flowsRunning.Inc()
	}
	f := newFlow(key, r)
	t.flows.Store(key, f)
	return t.evict(key, old, f)
}

// StopFlow forgets a flow and ends its calls with ErrFlowStopped. Unknown flows
// are ignored.
func (t *Table) StopFlow(workspace, id string) { t.tell(t.undefine(workspace, id)) }

// undefine is StopFlow but for telling those that it ends.
func (t *Table) undefine(workspace, id string) (e ended) {
	t.defining.Lock()
	defer t.defining.Unlock()
	if t.closed.Load() {
		return e
	}
	old, known := t.flows.LoadAndDelete(flowKey{workspace, id})
	if !known {
		return e
	}
	flowsRunning.Dec()
	return t.evict(old.key, old, nil)
}

// ended is what a change ends, to be told with no lock held: sinks and taps are
// other rooms'.
type ended struct {
	why   error
	busy  bool // calls may be under way
	links []*link
}

func (t *Table) tell(e ended) {
	if e.busy {
		t.pending.endCalls(e.why)
	}
	for _, l := range e.links {
		l.onCut(e.why)
	}
}

// evict closes the services of a flow whose topics differ between two
// definitions, of which either may be nil. Defining is held.
func (t *Table) evict(key flowKey, before, after *flow) ended {
	e := ended{why: ErrFlowStopped}
	for _, kind := range codec.Kinds() {
		old, had := before.lookup(kind.String())
		now, has := after.lookup(kind.String())
		if !had || has && old == now {
			continue
		}
		if s, ok := t.services.LoadAndDelete(Key{key.workspace, key.id, kind}); ok && s.close() {
			e.busy = e.busy || s.inUse()
			t.unwire(s)
		}
	}
	e.links = t.links.take(key, after)
	return e
}

// Interface returns the topics of a flow's interface, whose name need not be
// that of a kind. The error is *UnknownFlowError or ErrUnsupportedKind.
func (t *Table) Interface(workspace, id, name string) (codec.Interface, error) {
	f, ok := t.flows.Load(flowKey{workspace, id})
	if !ok {
		return codec.Interface{}, &UnknownFlowError{strings.Clone(workspace), strings.Clone(id)}
	}
	topics, ok := f.lookup(name)
	if !ok {
		return codec.Interface{}, ErrUnsupportedKind
	}
	return topics, nil
}

// topics returns what k is defined as.
func (t *Table) topics(k Key) (codec.Interface, error) {
	if k.Kind.IsGlobal() {
		return t.config.Global[k.Kind], nil
	}
	if !k.Kind.IsFlow() && !k.Kind.IsSend() {
		return codec.Interface{}, ErrUnsupportedKind
	}
	return t.Interface(k.Workspace, k.Flow, k.Kind.String())
}

// Close ends all calls with ErrUnavailable, unwires everything and waits within
// ctx until that is done. It does not wait for the callers.
func (t *Table) Close(ctx context.Context) error {
	if e, first := t.shut(); first {
		t.tell(e)
		t.pending.abandon()
	}
	return t.life.end(ctx)
}

// shut reports false when it was done before.
func (t *Table) shut() (e ended, first bool) {
	t.defining.Lock()
	defer t.defining.Unlock()
	if t.closed.Swap(true) {
		return e, false
	}
	t.cancel()
	flowsRunning.Sub(float64(t.flows.Size()))
	t.services.Range(func(k Key, s *service) bool {
		t.services.Delete(k)
		if s.close() {
			t.unwire(s)
		}
		return true
	})
	return ended{why: ErrUnavailable, busy: true, links: t.links.takeAll()}, true
}
