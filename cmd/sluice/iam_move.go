package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"sluice/iam"
)

// moveCommand is a command on a store, which is as the options say when run is
// called.
func moveCommand(use, short, long string, run func(cmd *cobra.Command, c *Config) error) *cobra.Command {
	c := iamServiceConfig()
	cmd := &cobra.Command{Use: use, Short: short, Long: long, Args: cobra.NoArgs}
	sections := []section{{"Store", storeOptions(c, "")}, {cassandraTitle, cassandraOptions(c)}}
	l := newLoader(sections, cmd.Flags(), os.LookupEnv)
	c.origins = l.origins
	groupUsage(cmd, sections)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := l.load(""); err != nil {
			return err
		}
		if err := c.checkStore("", true); err != nil {
			return err
		}
		if c.Service.Store == storeInMemory {
			return errors.New("--store must be a file or cassandra: what is in memory belongs to its process")
		}
		return run(cmd, c)
	}
	return cmd
}

func newExportCommand() *cobra.Command {
	var to string
	cmd := moveCommand("export", "Write all records of a store as JSON lines",
		`Write users, API keys, signing keys and workspaces as JSON lines, one record a
line, named like the reference's columns. No service may have a file open; what
changes in Cassandra meanwhile may be in the output or not.

The output holds password hashes and private keys: it is as secret as the store.
Private keys that are encrypted in the store are written in clear if --store-key
is given, and as they are otherwise.`,
		func(cmd *cobra.Command, c *Config) error {
			return untilInterrupted(cmd, func(ctx context.Context) error { return exportStore(ctx, cmd, c, to) })
		})
	cmd.Flags().StringVar(&to, "to", "-", "new `file` to write, readable by its owner only; - writes to standard output")
	return cmd
}

// untilInterrupted runs what can be given up half-way and leaves nothing behind.
func untilInterrupted(cmd *cobra.Command, run func(ctx context.Context) error) error {
	ctx, stop := untilSignal(cmd.Context())
	defer stop()
	err := run(ctx)
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("interrupted: %w", err)
	}
	return failure(err)
}

func exportStore(ctx context.Context, cmd *cobra.Command, c *Config, to string) error {
	store, err := openStore(c, slog.New(slog.DiscardHandler), true)
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // nothing was written to it
	archive, err := store.archive(ctx)
	if err != nil {
		return err
	}
	n := 0
	write := func(w io.Writer) (err error) {
		n, err = iam.ExportLines(ctx, archive, w)
		return err
	}
	if to == "-" {
		err = write(cmd.OutOrStdout())
	} else {
		err = writeNewFile(to, write)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.ErrOrStderr(), "exported %d records\n", n)
	return err
}

// writeNewFile makes a file that only its owner may read, wholly or not at all.
func writeNewFile(path string, write func(io.Writer) error) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = write(f)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

func newImportCommand() *cobra.Command {
	var from string
	cmd := moveCommand("import", "Fill an empty store from JSON lines",
		`Store what export wrote, all of it or, after any error or signal, nothing. In
Cassandra that means undoing what was done; if that fails too, the command says
so, and the keyspace has to be dropped before the next attempt. A second signal
ends it at once, and leaves such a keyspace. The store must be empty, and is made
when it is not there; no service may have a file open, or serve from Cassandra.
Export from a file and import with --store cassandra moves the records there.`,
		func(cmd *cobra.Command, c *Config) error {
			return untilInterrupted(cmd, func(ctx context.Context) error { return importStore(ctx, cmd, c, from) })
		})
	cmd.Flags().StringVar(&from, "from", "-", "`file` to read; - reads standard input")
	return cmd
}

func importStore(ctx context.Context, cmd *cobra.Command, c *Config, from string) error {
	in := cmd.InOrStdin()
	if from != "-" {
		f, err := os.Open(from)
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	store, err := openStore(c, slog.New(slog.DiscardHandler), false)
	if err != nil {
		return err
	}
	archive, err := store.archive(ctx)
	if err != nil {
		return errors.Join(err, store.Close())
	}
	n, err := iam.ImportLines(ctx, archive, interruptible(ctx, in))
	if errors.Is(err, iam.ErrExists) {
		err = fmt.Errorf("IAM store (%s): only an empty store can be filled, and this one is not", storeName(c))
	}
	if err := errors.Join(err, store.Close()); err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.ErrOrStderr(), "imported %d records into %s\n", n, storeName(c))
	return err
}

// interruptible reads from r until ctx ends, also where r does not return, as a
// terminal at which nobody types. r must not be read otherwise.
func interruptible(ctx context.Context, r io.Reader) io.Reader {
	out, in := io.Pipe()
	context.AfterFunc(ctx, func() { in.CloseWithError(ctx.Err()) })
	go func() {
		_, err := io.Copy(in, r)
		in.CloseWithError(err)
	}()
	return out
}
