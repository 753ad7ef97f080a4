package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"time"

	"sluice/bus"
	"sluice/bus/amqp"
	"sluice/codec"
	"sluice/proxy"
	"sluice/proxy/auth"
	"sluice/proxy/dispatch"
	"sluice/proxy/flows"
)

const (
	// iamPatience is how long a credential may keep its request waiting.
	iamPatience = 10 * time.Second
	// closePatience bounds what is closed after the calls have been drained.
	closePatience = 5 * time.Second
	// bodyShare is the part of the memory limit that request bodies may fill.
	bodyShare = 4
)

// gateway is every room of a running gateway, in the order they are built. The
// bus half comes first: `sluice dev` puts its services between the two.
type gateway struct {
	cfg *Config
	log *slog.Logger

	bus   bus.Bus
	table *dispatch.Table

	flows   flowSource
	auth    *auth.Authenticator
	server  *proxy.Server
	ln      net.Listener
	metrics *metricsServer

	// identity is the gateway's own IAM service; nil without.
	identity *identity

	// behind closes the services that `sluice dev` put on the bus; nil without.
	behind func(ctx context.Context)
}

// flowSource is where flow definitions come from.
type flowSource interface {
	Ready() error
	Close(ctx context.Context) error
}

// openBus is how a gateway gets its bus.
type openBus func(replies bus.Replies) (bus.Bus, error)

// rabbitMQ opens connections to the configured brokers. None of them has to be
// there yet.
func (c *Config) rabbitMQ(log *slog.Logger) openBus {
	return func(replies bus.Replies) (bus.Bus, error) {
		tls, err := c.tlsConfig()
		if err != nil {
			return nil, err
		}
		return amqp.Open(amqp.Config{
			URLs: c.brokers(), TLS: tls, Name: c.ID, Logger: log,
			PublishConnections: c.PublishConnections, ConsumeConnections: c.ConsumeConnections,
			MaxMessageBytes: int(c.MaxMessageBytes),
		}, replies)
	}
}

func (c *Config) dispatch() dispatch.Config {
	return dispatch.Config{
		Timeout: c.Timeout, PartTimeout: c.PartTimeout, MaxMessageBytes: int(c.MaxMessageBytes),
		Topicspace: c.Topicspace, Global: c.Queues.global(),
	}
}

// newGateway builds the bus half. Its errors are about the configuration.
func newGateway(c *Config, log *slog.Logger, open openBus) (*gateway, error) {
	pending := dispatch.NewPending(c.Slots)
	b, err := open(pending)
	if err != nil {
		return nil, err
	}
	settings := c.dispatch()
	settings.Log = log
	return &gateway{cfg: c, log: log, bus: b, table: dispatch.New(b, pending, settings)}, nil
}

// openDoors builds the rest and opens the ports. What fails to build is the
// configuration's fault; what fails to open is not, and is marked.
func (g *gateway) openDoors() error {
	if err := g.buildSources(); err != nil {
		return err
	}
	upstream, err := url.Parse(g.cfg.PrometheusURL)
	if err != nil {
		return errors.New("--prometheus-url is not a URL")
	}
	g.server = proxy.New(proxy.Config{
		Strict:             g.cfg.StrictStatus,
		MaxBodyBytes:       g.cfg.MaxBodyBytes,
		MaxCoreValueBytes:  int(g.cfg.MaxCoreValueBytes),
		AllowedOrigins:     g.cfg.AllowedOrigins,
		SocketQueueBytes:   g.cfg.SocketQueueBytes,
		SocketBudgetBytes:  g.cfg.SocketBudget,
		MaxUnauthenticated: g.cfg.MaxUnauthenticatedSockets,
		BodyBudgetBytes:    g.bodyBudget(),
		CallTimeout:        g.cfg.Timeout,
		PartTimeout:        g.cfg.PartTimeout,
		TrustedProxies:     g.cfg.TrustedProxies,
		Upstream:           upstream,
		Ready:              g.ready,
		Logger:             g.log,
	}, proxy.Deps{Dispatcher: g.table, Authenticator: g.auth, Authoriser: g.authoriser(), FlowStreams: g.table})
	return failure(g.openPorts())
}

// buildSources makes what reads files, so that mistakes in them are found before
// a port opens.
func (g *gateway) buildSources() error {
	var err error
	g.auth, err = auth.New(auth.Config{
		IAM: g.iam(), PublicKeyFile: g.cfg.JWTPublicKeyFile, APIKeysFile: g.cfg.APIKeysFile, Grace: g.cfg.IAMGrace,
	})
	if err != nil {
		return err
	}
	source, err := g.openFlows()
	if err == nil {
		g.flows = source
	}
	return err
}

func (g *gateway) openFlows() (flowSource, error) {
	if g.cfg.FlowsFile != "" {
		return flows.OpenFile(g.cfg.FlowsFile, g.table, g.log)
	}
	return flows.NewReceiver(flows.ReceiverConfig{
		Bus: g.bus, Asker: g.table, Table: g.table, Topicspace: g.cfg.Topicspace, Log: g.log,
	})
}

func (g *gateway) openPorts() error {
	var err error
	if g.ln, err = listen(g.cfg.Listen, g.cfg.Port); err != nil {
		return err
	}
	if g.cfg.Metrics {
		g.metrics, err = startMetrics(g.cfg, g.log, nil)
	}
	return err
}

// bodyBudget is how many bytes of request bodies may be held at a time.
func (g *gateway) bodyBudget() int64 {
	if g.cfg.BodyBudget > 0 {
		return g.cfg.BodyBudget
	}
	limit, source := memoryLimit(os.DirFS("/"))
	budget := limit / bodyShare
	g.log.Info("memory limit", "bytes", limit, "source", source, "body_budget_bytes", budget)
	if budget < g.cfg.MaxBodyBytes {
		g.log.Warn("the largest allowed body does not fit into the body budget", "max_body_bytes", g.cfg.MaxBodyBytes, "body_budget_bytes", budget)
	}
	return budget
}

// ready says why calls cannot succeed yet, or nil.
func (g *gateway) ready() error {
	if err := g.servesIAM(g.identity); err != nil {
		return err
	}
	return g.flows.Ready()
}

// serve answers requests until ctx ends, then lets running calls finish within
// the drain time-out. The caller closes the gateway afterwards.
func (g *gateway) serve(ctx context.Context) error {
	g.log.Info("serving", "address", g.ln.Addr().String(), "version", versionLine())
	served := make(chan error, 1)
	go func() { served <- g.server.Serve(g.ln) }()
	select {
	case err := <-served:
		return fmt.Errorf("the HTTP port failed: %w", err)
	case <-ctx.Done():
	}
	g.log.Info("draining", "timeout", g.cfg.DrainTimeout)
	drain, cancel := context.WithTimeout(context.Background(), g.cfg.DrainTimeout)
	defer cancel()
	if err := g.server.Shutdown(drain); err != nil {
		g.log.Warn("not all calls finished in time", "error", err)
	}
	g.ln.Close() // in case that Serve came after Shutdown
	if err := <-served; err != nil && !errors.Is(err, net.ErrClosed) {
		g.log.Warn("the HTTP port failed", "error", err)
	}
	return nil
}

// close takes down what has been built, in an order in which nobody misses what
// is gone already. auth comes after the bus because it may be waiting for IAM.
func (g *gateway) close() {
	ctx, cancel := context.WithTimeout(context.Background(), closePatience)
	defer cancel()
	report := func(what string, err error) {
		if err != nil {
			g.log.Warn("not closed cleanly", "what", what, "error", err)
		}
	}
	if g.ln != nil {
		g.ln.Close()
	}
	if g.flows != nil {
		report("flow definitions", g.flows.Close(ctx))
	}
	if g.behind != nil {
		g.behind(ctx)
	}
	report("calls", g.table.Close(ctx))
	report("message bus", g.bus.Close(ctx))
	if g.auth != nil {
		g.auth.Close()
	}
	if g.metrics != nil {
		report("metrics port", g.metrics.Close(ctx))
	}
	g.log.Info("stopped")
}

// iam is auth's way to the IAM service, nil when there is none.
func (g *gateway) iam() auth.IAM {
	if g.cfg.IAM == iamNone {
		return nil
	}
	return iamOverBus{g.table}
}

func (g *gateway) authoriser() auth.Authoriser {
	table := auth.NewRoleTable(g.iam())
	if g.cfg.EnforcePasswordChange {
		return auth.ChangeFirst{Next: table}
	}
	return table
}

type iamOverBus struct{ table *dispatch.Table }

// Ask sends a request and returns the reply, both as on the bus.
func (i iamOverBus) Ask(request []byte) ([]byte, error) {
	return i.table.Ask(codec.IAM, request, nil, iamPatience)
}
