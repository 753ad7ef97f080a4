package main

import (
	"context"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

// asProcess makes cmd run until it is told to end. The options of sections and
// the file of --config go into c; all of it is validated before run is called with
// a log and a context that a signal ends.
func asProcess(cmd *cobra.Command, c *Config, sections []section, validate func() error, run func(context.Context, *Config, *slog.Logger) error) {
	l := newLoader(sections, cmd.Flags(), os.LookupEnv)
	c.origins = l.origins
	cmd.Flags().StringVar(&c.File, "config", "", "YAML `file` of options (env SLUICE_CONFIG)")
	groupUsage(cmd, sections)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if c.File == "" {
			c.File = os.Getenv("SLUICE_CONFIG")
		}
		if err := l.load(c.File); err != nil {
			return err
		}
		if err := validate(); err != nil {
			return err
		}
		log := newLogger(c, cmd.ErrOrStderr())
		slog.SetDefault(log)
		if len(l.ignored) > 0 {
			log.Warn("settings without effect: only RabbitMQ is supported, and logs go to standard error", "names", strings.Join(l.ignored, ","))
		}
		ctx, stop := untilSignal(cmd.Context())
		defer stop()
		return run(ctx, c, log)
	}
}
