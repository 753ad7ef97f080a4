// Package demo is a small TrustGraph platform for `sluice dev`: config, flow and
// collection services, and flows whose services really work, all in memory.
//
// Its services meet the gateway on the bus and nowhere else, and speak the same
// messages as the real ones. They keep nothing on disk, and there is no
// librarian, no knowledge core and no language model in them.
package demo

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"sluice/bus"
)

// Default names of the flow that exists from the start.
const (
	Workspace = "default"
	Flow      = "default"
)

// patience bounds one publish of a service.
const patience = 10 * time.Second

// Platform is a running set of services. Its methods may be called concurrently.
type Platform struct {
	// Set once.
	bus        bus.Bus
	topicspace string
	log        *slog.Logger
	config     *configStore
	// life ends when Close is called, and with it every publish.
	life context.Context
	end  context.CancelFunc

	// Guarded by mu.
	mu      sync.Mutex
	closed  bool
	subs    []bus.Subscription
	running map[flowKey]*flow
}

// Start brings the services up on b in a topicspace, with one flow Flow in
// Workspace, and returns when all of them listen. The caller keeps b and closes
// it after the platform. ctx bounds the start only.
func Start(ctx context.Context, b bus.Bus, topicspace string, log *slog.Logger) (*Platform, error) {
	p := &Platform{
		bus: b, topicspace: topicspace, log: log,
		config:  newConfigStore(),
		running: make(map[flowKey]*flow),
	}
	p.life, p.end = context.WithCancel(context.Background())
	if err := p.start(ctx); err != nil {
		return nil, errors.Join(err, p.Close(ctx))
	}
	return p, nil
}

func (p *Platform) start(ctx context.Context) error {
	collections := newCollections()
	for name, answer := range map[string]answer{
		"config":     p.answerConfig,
		"flow":       p.answerFlow,
		"collection": collections.answer,
	} {
		sub, err := p.serve(ctx, p.systemPair(name), answer)
		if err != nil {
			return err
		}
		p.subs = append(p.subs, sub)
	}
	if err := p.startFlow(ctx, flowKey{Workspace, Flow}, "The flow that sluice dev starts with"); err != nil {
		return err
	}
	return p.announce(ctx, nil)
}

func (p *Platform) systemPair(name string) pair {
	return pair{"request:" + p.topicspace + ":" + name, "response:" + p.topicspace + ":" + name}
}

// Close stops all services and returns when none of them runs any more. It is
// safe to call twice.
func (p *Platform) Close(ctx context.Context) error {
	p.mu.Lock()
	p.closed = true
	subs := p.subs
	for _, f := range p.running {
		subs = append(subs, f.subs...)
	}
	p.subs, p.running = nil, map[flowKey]*flow{}
	p.mu.Unlock()
	p.end()
	return closeAll(ctx, subs)
}

func closeAll(ctx context.Context, subs []bus.Subscription) error {
	var errs []error
	for _, s := range subs {
		errs = append(errs, s.Close(ctx))
	}
	return errors.Join(errs...)
}
