package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"sluice/iam"
)

// moveCommand is a command on a store. run gets the
// store's settings.
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
		func(cmd *cobra.Command, c *Config) error { return failure(exportStore(cmd, c, to)) })
	cmd.Flags().StringVar(&to, "to", "-", "new `file` to write, readable by its owner only; - writes to standard output")
	return cmd
}

func exportStore(cmd *cobra.Command, c *Config, to string) error {
	store, err := openStore(c, nil, true)
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // nothing was written to it
	archive, err := store.archive(cmd.Context())
	if err != nil {
		return err
	}
	n := 0
	write := func(w io.Writer) (err error) {
		n, err = iam.ExportLines(cmd.Context(), archive, w)
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
		`Store what export wrote, all of it or, after any error, nothing. The store must
be empty, and is made when it is not there; no service may have a file open, or
serve from Cassandra. Export from a file and import with --store cassandra moves
the records there.`,
		func(cmd *cobra.Command, c *Config) error { return failure(importStore(cmd, c, from)) })
	cmd.Flags().StringVar(&from, "from", "-", "`file` to read; - reads standard input")
	return cmd
}

func importStore(cmd *cobra.Command, c *Config, from string) error {
	in := cmd.InOrStdin()
	if from != "-" {
		f, err := os.Open(from)
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	store, err := openStore(c, nil, false)
	if err != nil {
		return err
	}
	archive, err := store.archive(cmd.Context())
	if err != nil {
		return errors.Join(err, store.Close())
	}
	n, err := iam.ImportLines(cmd.Context(), archive, in)
	if errors.Is(err, iam.ErrExists) {
		err = fmt.Errorf("IAM store (%s): only an empty store can be filled, and this one is not", storeName(c))
	}
	if err := errors.Join(err, store.Close()); err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.ErrOrStderr(), "imported %d records into %s\n", n, storeName(c))
	return err
}
