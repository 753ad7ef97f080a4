package main

import (
	"context"
	"errors"
	"log/slog"

	"github.com/spf13/cobra"

	"sluice/codec"
)

func newIAMCommand() *cobra.Command {
	c := iamServiceConfig()
	cmd := &cobra.Command{
		Use:   "iam",
		Short: "Run the IAM service for a platform on RabbitMQ",
		Long: `Serve users, workspaces, API keys, passwords and the key that signs tokens, in
the place of the reference's iam-svc. Records are kept in one file that one
process at a time may use (--store), readable by its owner only, or in Cassandra
(--store cassandra), in the reference's own tables. If only a Cassandra host is
named (--cassandra-host, CASSANDRA_HOST), or another --cassandra option is on the
command line, that means Cassandra too.

--bootstrap-mode has no default: say token, with --bootstrap-token, or bootstrap.

Without a broker, or without Cassandra, it runs, waits, and heals by itself:
/healthz and /readyz on the metrics port tell. Replicas that share a store in
Cassandra and one --id serve side by side; where any other IAM service answers it
refuses to serve. One that a gateway embeds is called iam-svc, whatever the
gateway's --id. Never run it and the reference's service at the same time.

Anybody who may publish on its request queue can do anything, and anybody who may
read its replies sees secrets: restrict both at the broker.

` + configHelp,
		Args: cobra.NoArgs,
	}
	asProcess(cmd, c, serviceOptions(c), c.validateService, runIAM)
	cmd.AddCommand(newExportCommand(), newImportCommand(), newBackupCommand())
	return cmd
}

// iamServiceConfig is what holds for a process that only serves IAM. There is no
// bootstrap mode by default: it must be chosen.
func iamServiceConfig() *Config {
	c := defaultConfig()
	c.ID = "iam-svc"
	c.Port = 0
	c.Slots = 16
	c.IAM = iamEmbedded
	c.Service.BootstrapMode = ""
	return c
}

// validateService is validate for `sluice iam`.
func (c *Config) validateService() error {
	for _, check := range []func() error{c.checkService, c.checkAddresses, c.checkBroker, c.checkTopics, c.checkTLS} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// runIAM serves until ctx ends, or another IAM service turns up, and returns
// when everything is closed.
func runIAM(ctx context.Context, c *Config, log *slog.Logger) error {
	codec.PretouchRecords()
	own, err := openIdentity(c, log, false)
	if err != nil {
		return err
	}
	g, err := newGateway(c, log, c.rabbitMQ(log))
	if err != nil {
		return errors.Join(err, own.store.Close())
	}
	defer g.close()
	if c.Metrics {
		if g.metrics, err = startMetrics(c, log, func() error { return g.servesIAM(own) }); err != nil {
			return failure(errors.Join(err, own.store.Close()))
		}
	}
	return failure(own.run(ctx, g))
}
