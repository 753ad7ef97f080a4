package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"sluice/cmd/sluice/internal/demo"
	"sluice/codec"
	"sluice/iam"
	"sluice/proxy/dispatch"
)

// probePatience is how long another platform gets to betray itself.
const probePatience = 2 * time.Second

// platform is what stands behind the gateway in `sluice dev`.
type platform struct {
	log   *slog.Logger
	iam   *iam.Service
	demo  *demo.Platform
	admin iam.Admin
}

// startPlatform starts the services on g's bus, unless somebody else's are there.
func startPlatform(ctx context.Context, g *gateway) (*platform, error) {
	ctx, cancel := context.WithTimeout(ctx, devStart)
	defer cancel()
	if err := awaitReady(ctx, g.bus.Ready); err != nil {
		return nil, err
	}
	if err := refuseCompany(g.table, g.cfg.Topicspace); err != nil {
		return nil, err
	}
	p := &platform{log: g.log}
	var err error
	p.iam, err = iam.New(iam.NewMemory(), iam.Config{Mode: iam.ModeBootstrap, TopicSpace: g.cfg.Topicspace, Logger: g.log})
	if err != nil {
		return nil, err
	}
	// Before it answers: nobody else can be the first to bootstrap.
	if p.admin, err = p.iam.Bootstrap(ctx); err != nil {
		return nil, fmt.Errorf("bootstrap: %w", err)
	}
	if err = p.iam.Start(ctx, g.bus); err != nil {
		return nil, err
	}
	if p.demo, err = demo.Start(ctx, g.bus, g.cfg.Topicspace, g.log); err != nil {
		p.close(ctx)
		return nil, err
	}
	return p, nil
}

// close stops the services. The bus is still there.
func (p *platform) close(ctx context.Context) {
	if p.demo != nil {
		if err := p.demo.Close(ctx); err != nil {
			p.log.Warn("demo services not closed cleanly", "error", err)
		}
	}
	if err := p.iam.Close(ctx); err != nil {
		p.log.Warn("IAM service not closed cleanly", "error", err)
	}
}

// awaitReady polls a condition until it holds.
func awaitReady(ctx context.Context, ready func() error) error {
	ctx, cancel := context.WithTimeout(ctx, devStart)
	defer cancel()
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for {
		err := ready()
		if err == nil {
			return nil
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w", err)
		}
	}
}

// harmless are requests that change nothing at services that may not be ours.
func harmless() (map[codec.Kind][]byte, error) {
	key, err := codec.MarshalIAMRequest(&codec.IAMRequest{Operation: "get-signing-key-public"})
	return map[codec.Kind][]byte{
		codec.IAM:    key,
		codec.Config: codec.AppendConfigQuery(nil, "getvalues-all-ws", "", "flow"),
		codec.Flow: []byte(`{"operation":"list-flows","workspace":"default","blueprint_name":null,` +
			`"blueprint_definition":null,"description":null,"flow_id":null,"parameters":null}`),
	}, err
}

// refuseCompany fails when system services already answer in the topicspace: two
// platforms on the same queues would each get half of the requests.
func refuseCompany(table *dispatch.Table, topicspace string) error {
	questions, err := harmless()
	if err != nil {
		return err
	}
	present, err := answering(table, questions)
	if len(present) > 0 {
		return fmt.Errorf("another platform already answers in topicspace %s (%s): stop it, or choose another --topicspace", topicspace, strings.Join(present, ", "))
	}
	if err != nil {
		return fmt.Errorf("looking for other services in topicspace %s: %w", topicspace, err)
	}
	return nil
}

// answering returns which services answer. AMQP offers a gateway no look at other
// people's consumers, so each is asked something harmless; a queue without
// consumers lets the question expire.
func answering(table *dispatch.Table, questions map[codec.Kind][]byte) (present []string, err error) {
	type answer struct {
		kind codec.Kind
		err  error
	}
	answers := make(chan answer, len(questions))
	for kind, question := range questions {
		go func() {
			_, err := table.Ask(kind, question, nil, probePatience)
			answers <- answer{kind, err}
		}()
	}
	for range questions {
		switch a := <-answers; {
		case a.err == nil:
			present = append(present, a.kind.String())
		case !errors.Is(a.err, dispatch.ErrNoService) && !errors.Is(a.err, dispatch.ErrTimeout):
			err = a.err
		}
	}
	slices.Sort(present)
	return present, err
}
