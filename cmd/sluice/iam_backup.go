package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"sluice/iam/bolt"
)

const (
	// socketSuffix makes the name of the socket beside a store that is in use.
	socketSuffix = ".sock"
	// copyPatience bounds one copy, so that a reader that stalls does not keep the
	// store from reusing space for ever.
	copyPatience = 10 * time.Minute
)

// copies hands copies of a store that is in use to whoever may open its socket:
// the store's owner.
type copies struct {
	file *bolt.Store
	log  *slog.Logger
	ln   net.Listener
	done sync.WaitGroup
}

// serveCopies listens beside the store at path. It returns nil, and says so in
// the log, where no socket can be.
func serveCopies(file *bolt.Store, path string, log *slog.Logger) *copies {
	path += socketSuffix
	// Left by a process that was killed: this one has the store now.
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		log.Warn("no backups of the IAM store while it is in use", "error", err)
		return nil
	}
	ln, err := net.Listen("unix", path)
	if err == nil {
		err = os.Chmod(path, 0o600)
	}
	if err != nil {
		log.Warn("no backups of the IAM store while it is in use", "error", err)
		if ln != nil {
			ln.Close()
		}
		return nil
	}
	c := &copies{file: file, log: log, ln: ln}
	c.done.Go(c.run)
	return c
}

// run serves one copy after the other until Close.
func (c *copies) run() {
	for {
		conn, err := c.ln.Accept()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				c.log.Warn("no more backups of the IAM store while it is in use", "error", err)
			}
			return
		}
		err = conn.SetDeadline(time.Now().Add(copyPatience))
		if err == nil {
			err = c.file.WriteBackup(conn)
		}
		if err := errors.Join(err, conn.Close()); err != nil {
			c.log.Warn("backup of the IAM store failed", "error", err)
			continue
		}
		c.log.Info("IAM store copied")
	}
}

// Close ends it; a copy that runs is finished. c may be nil.
func (c *copies) Close() {
	if c == nil {
		return
	}
	c.ln.Close()
	c.done.Wait()
}

func newBackupCommand() *cobra.Command {
	var to string
	cmd := moveCommand("backup", "Copy a store into a new file",
		`Copy a store into a new file that only its owner may read, and check the copy.
A service may have the store open: it is then asked for the copy through the
socket beside it, STORE.sock. To go back, put the copy in the store's place.

What is in Cassandra is backed up with Cassandra's own tools: nodetool snapshot.`,
		func(_ *cobra.Command, c *Config) error {
			if c.Service.Store == storeInCassandra {
				return errors.New("--store must be a file: back up Cassandra with its own tools, such as nodetool snapshot, or write the records with sluice iam export")
			}
			if to == "" {
				return errors.New("--to is missing")
			}
			return failure(backupStore(c.Service.Store, to))
		})
	cmd.Flags().StringVar(&to, "to", "", "new `file` to write")
	return cmd
}

// backupStore writes a draft beside the new file, checks it, and gives it the
// name.
func backupStore(from, to string) error {
	if _, err := os.Lstat(to); err == nil {
		return fmt.Errorf("%s: %w", to, fs.ErrExist)
	}
	draft := fmt.Sprintf("%s.new-%d", to, os.Getpid())
	if err := writeNewFile(draft, func(w io.Writer) error { return copyStore(from, w) }); err != nil {
		return err
	}
	defer os.Remove(draft) //nolint:errcheck // it is gone when all went well
	copied, err := bolt.Open(draft, bolt.Options{MustExist: true, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return fmt.Errorf("the copy is not usable: %w", err)
	}
	if err := copied.Close(); err != nil {
		return err
	}
	return os.Rename(draft, to)
}

// copyStore writes a copy of a store, whoever has it open.
func copyStore(from string, w io.Writer) error {
	file, err := bolt.Open(from, bolt.Options{MustExist: true, Logger: slog.New(slog.DiscardHandler)})
	if err == nil {
		return errors.Join(file.WriteBackup(w), file.Close())
	}
	if !errors.Is(err, bolt.ErrInUse) {
		return err
	}
	conn, dialErr := net.Dial("unix", from+socketSuffix)
	if dialErr != nil {
		return fmt.Errorf("%w, which gives no copy away: %w", err, dialErr)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(copyPatience)); err != nil {
		return err
	}
	_, err = io.Copy(w, conn)
	return err
}
