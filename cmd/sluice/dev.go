package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"sluice/bus"
	"sluice/bus/memory"
	"sluice/codec"
)

// devStart bounds how long the platform may take to come up.
const devStart = 30 * time.Second

func newDevCommand() *cobra.Command {
	c := devConfig()
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run a complete demonstration platform in one process",
		Long: `Serve the HTTP API together with everything behind it: a message bus, an IAM
service with one administrator, a config and a flow service, and a flow whose
services work: echoing text completion and prompt, hash embeddings, and a
triple store that text-load fills. There is no librarian, no knowledge core and
no language model in it. It prints an API key and commands to try.

Everything is kept in memory and gone when it stops. text-load and
document-load (plain text) read one statement a line, subject predicate object,
where a term is <iri>, a bare word, _:name, or "text" with @language or
^^<datatype>; other lines are skipped.

With --amqp-url the same services run over RabbitMQ, in topicspace dev unless
told otherwise. It refuses to start where a config, flow or IAM service already
answers within 2 seconds.

Every option is a flag and an environment variable; flags go first.`,
		Args: cobra.NoArgs,
	}
	sections := devOptions(c)
	l := newLoader(sections, cmd.Flags(), os.LookupEnv)
	groupUsage(cmd, sections)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := l.load(""); err != nil {
			return err
		}
		if err := c.validate(); err != nil {
			return err
		}
		log := newLogger(c, cmd.ErrOrStderr())
		slog.SetDefault(log)
		ctx, stop := untilSignal(cmd.Context())
		defer stop()
		return runDev(ctx, c, log, cmd.OutOrStdout())
	}
	return cmd
}

// devConfig is a gateway's configuration for one person at one machine: nothing
// is reachable from outside, and only trouble is logged.
func devConfig() *Config {
	c := defaultConfig()
	c.ID = "sluice-dev"
	c.Listen, c.MetricsListen = "127.0.0.1", "127.0.0.1"
	c.Metrics = false
	c.Topicspace = "dev"
	c.DrainTimeout = 5 * time.Second
	c.LogLevel = slog.LevelWarn
	return c
}

// runDev brings the platform up, says so on out, and serves until ctx ends.
func runDev(ctx context.Context, c *Config, log *slog.Logger, out io.Writer) error {
	if !isLoopback(c.Listen) {
		log.Warn("other machines can reach this demonstration, and do anything in it with the key that is printed", "listen", c.Listen)
	}
	codec.PretouchRecords()
	g, err := newGateway(c, log, c.devBus(log))
	if err != nil {
		return err
	}
	defer g.close()
	services, err := startPlatform(ctx, g)
	if err != nil {
		return failure(err)
	}
	g.behind = services.close
	if err := g.openDoors(); err != nil {
		return err
	}
	serving, stop := context.WithCancel(ctx)
	defer stop()
	served := make(chan error, 1)
	go func() { served <- g.serve(serving) }()
	err = awaitReady(ctx, g.ready)
	if err == nil {
		err = printWelcome(out, c, g.ln.Addr(), services.admin.APIKey)
	}
	if err != nil {
		stop()
		return failure(errors.Join(err, <-served))
	}
	return failure(<-served)
}

// devBus is the embedded bus, or RabbitMQ where a broker is given.
func (c *Config) devBus(log *slog.Logger) openBus {
	if len(c.AMQPURLs) > 0 {
		return c.rabbitMQ(log)
	}
	return func(replies bus.Replies) (bus.Bus, error) { return memory.New(replies), nil }
}
