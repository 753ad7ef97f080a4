package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sluice/bus"
	"sluice/bus/memory"
	"sluice/cmd/sluice/internal/demo"
	"sluice/codec"
	"sluice/iam"
	"sluice/proxy/dispatch"
)

const (
	// devStart bounds how long the platform may take to come up.
	devStart = 30 * time.Second
	// probePatience is how long another platform gets to betray itself.
	probePatience = 2 * time.Second
)

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
// platforms on the same queues would each get half of the requests. AMQP offers a
// gateway no look at other people's consumers, so each service is asked
// something harmless; a queue without consumers lets the question expire.
func refuseCompany(table *dispatch.Table, topicspace string) error {
	questions, err := harmless()
	if err != nil {
		return err
	}
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
	var present []string
	for range questions {
		switch a := <-answers; {
		case a.err == nil:
			present = append(present, a.kind.String())
		case !errors.Is(a.err, dispatch.ErrNoService) && !errors.Is(a.err, dispatch.ErrTimeout):
			err = fmt.Errorf("looking for other services in topicspace %s: %w", topicspace, a.err)
		}
	}
	if len(present) > 0 {
		slices.Sort(present)
		return fmt.Errorf("another platform already answers in topicspace %s (%s): stop it, or choose another --topicspace", topicspace, strings.Join(present, ", "))
	}
	return err
}

// example is a request that a newcomer can paste. Titles are comments; they hold
// no quotes and brackets because an interactive zsh knows no comments.
type example struct{ title, path, body string }

var examples = []example{
	{"Text completion by a model that echoes", "/api/v1/flow/default/service/text-completion",
		`{"system": "You are an echo.", "prompt": "Hello, bus!"}`},
	{"Embeddings made of hashes", "/api/v1/flow/default/service/embeddings",
		`{"texts": ["a cat", "a dog"]}`},
	{"Load statements, one a line", "/api/v1/flow/default/service/text-load",
		`{"id": "doc-1", "text": "alice knows bob .\nbob knows carol .\nbob age \"42\" ."}`},
	{"Query them as triples", "/api/v1/flow/default/service/triples",
		`{"p": {"t": "i", "i": "knows"}, "limit": 10}`},
	{"List the flows", "/api/v1/flow", `{"operation": "list-flows"}`},
	{"List the users", "/api/v1/iam", `{"operation": "list-users"}`},
}

// printWelcome tells how to use the platform. It is the only place that shows
// the administrator's key.
func printWelcome(out io.Writer, c *Config, address fmt.Stringer, key string) error {
	kind := "the embedded bus"
	if len(c.AMQPURLs) > 0 {
		kind = "RabbitMQ, topicspace " + c.Topicspace
	}
	var b strings.Builder
	fmt.Fprintf(&b, "sluice dev serves http://%s over %s.\n", address, kind)
	fmt.Fprintf(&b, "Everything is in memory and gone when it stops. Stop it with Ctrl-C.\n\n")
	fmt.Fprintf(&b, "Paste into another terminal (the key is the administrator's and shown only here):\n\n")
	fmt.Fprintf(&b, "  KEY=%s\n", key)
	for _, e := range examples {
		fmt.Fprintf(&b, "\n# %s\n  curl -s -H \"Authorization: Bearer $KEY\" http://%s%s \\\n    -d '%s'; echo\n", e.title, address, e.path, e.body)
	}
	_, err := io.WriteString(out, b.String()+"\n")
	return err
}
