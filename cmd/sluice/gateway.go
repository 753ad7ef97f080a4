package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"sluice/codec"
)

func newGatewayCommand() *cobra.Command {
	c := defaultConfig()
	cmd := &cobra.Command{
		Use:   "gateway",
		Short: "Run the gateway for a platform on RabbitMQ",
		Long: `Serve the HTTP API of a TrustGraph platform whose services are on RabbitMQ.

The port opens at once. Without a broker the gateway runs but is not ready
(GET /readyz), and heals by itself when the broker is there. On SIGTERM or
SIGINT it becomes unready, stops accepting, lets running calls finish within
--drain-timeout and exits; a second signal ends it at once.

With --iam embedded it also is the platform's IAM service, and keeps users and
keys in a file (--iam-store). The first administrator's API key is then written
to a file beside it, unless --bootstrap-token gives one. Only one gateway of a
platform can do so: it refuses to serve where another IAM service answers. With
--iam-store cassandra several can: those that share the store serve side by side.
So does a sluice iam on it whose --id is iam-svc: an embedded service is called
that, whatever --id says. CASSANDRA_HOST alone chooses Cassandra for sluice iam,
not here.

` + configHelp,
		Args: cobra.NoArgs,
	}
	asProcess(cmd, c, gatewayOptions(c), c.validate, runGateway)
	return cmd
}

// runGateway serves until ctx ends and returns when everything is closed.
func runGateway(ctx context.Context, c *Config, log *slog.Logger) error {
	codec.PretouchRecords() // or the first messages would wait for it
	g, err := newGateway(c, log, c.rabbitMQ(log))
	if err != nil {
		return err
	}
	defer g.close()
	if c.IAM != iamEmbedded {
		if err := g.openDoors(); err != nil {
			return err
		}
		return failure(g.serve(ctx))
	}
	if g.identity, err = openIdentity(c, log, true); err != nil {
		return err
	}
	if err := g.openDoors(); err != nil {
		return errors.Join(err, g.identity.store.Close())
	}
	return failure(g.serveEmbedded(ctx))
}

// untilSignal returns a context that ends with the first SIGINT or SIGTERM. The
// second one ends the process. stop gives the signals back.
func untilSignal(parent context.Context) (ctx context.Context, stop func()) {
	if parent == nil {
		parent = context.Background()
	}
	ctx, cancel := context.WithCancel(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-signals:
			cancel()
		case <-ctx.Done():
			return
		}
		if _, again := <-signals; again {
			os.Exit(exitFailure)
		}
	}()
	return ctx, func() {
		cancel()
		signal.Stop(signals)
		close(signals)
		<-done
	}
}
