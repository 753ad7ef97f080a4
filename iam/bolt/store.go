// Package bolt is the IAM service's embedded store: one file, kept by bbolt, that
// one process at a time may open. A write that was reported is on the disk, and
// every method is one transaction: after a crash the file holds each of them
// wholly or not at all.
//
// It refuses files that it did not write, that are damaged, or that somebody
// else has open, and changes none of them.
package bolt

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"sluice/iam"
)

const (
	fileMode = 0o600
	// lockPatience is how long to wait for another process that is ending.
	lockPatience = time.Second
	// batchDelay is how long a write waits for others to share its fsync, which
	// takes about as long.
	batchDelay = 2 * time.Millisecond
	// format is what meta holds under keyFormat.
	format = "sluice-iam-1"
)

// Errors of Open.
var (
	// ErrInUse: another process has the file open.
	ErrInUse = errors.New("in use by another process")
	// ErrDamaged: the file is not, or not any more, a store.
	ErrDamaged = errors.New("not a usable IAM store; it was left as it is")
	// ErrNotThere: Options.MustExist, and there is no file.
	ErrNotThere = errors.New("there is no such store")
)

// The buckets.
var (
	bucketMeta       = []byte("meta")
	bucketWorkspaces = []byte("workspaces") // id → record
	bucketUsers      = []byte("users")      // id → record
	bucketNames      = []byte("names")      // workspace and user name → user id
	bucketMembers    = []byte("members")    // workspace and user id → nothing
	bucketKeys       = []byte("keys")       // hash → record
	bucketKeyIDs     = []byte("key-ids")    // key id → hash
	bucketUserKeys   = []byte("user-keys")  // user id and hash → nothing
	bucketSigning    = []byte("signing")    // kid → record

	buckets = [][]byte{
		bucketMeta, bucketWorkspaces, bucketUsers, bucketNames, bucketMembers,
		bucketKeys, bucketKeyIDs, bucketUserKeys, bucketSigning,
	}

	keyFormat = []byte("format")
)

// Options says how to open a store.
type Options struct {
	// MustExist refuses to make a new file.
	MustExist bool
	// Logger is told of repairs to the file's mode; nil means slog.Default().
	Logger *slog.Logger
}

// Store is an iam.Store in a file.
type Store struct {
	db   *bbolt.DB
	path string
}

var (
	_ iam.Store   = (*Store)(nil)
	_ iam.Archive = (*Store)(nil)
)

// Open opens the store in a file and checks all of it, or makes the file. Only
// its owner may read it: wider modes are narrowed.
func Open(path string, o Options) (*Store, error) {
	s, err := open(path, o)
	if err != nil {
		return nil, fmt.Errorf("IAM store %s: %w", path, err)
	}
	return s, nil
}

func open(path string, o Options) (*Store, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && o.MustExist:
		return nil, ErrNotThere
	case errors.Is(err, fs.ErrNotExist):
		if err := create(path); err != nil {
			return nil, err
		}
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%w: it is no regular file", ErrDamaged)
	case info.Mode().Perm()&0o077 != 0:
		if err := narrow(path, info.Mode(), o.Logger); err != nil {
			return nil, err
		}
	}
	if err := inspect(path); err != nil {
		return nil, err
	}
	db, err := openFile(path)
	if err != nil {
		return nil, err
	}
	s := &Store{db: db, path: path}
	if err := s.verify(); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

// openFile locks and opens a file that bbolt can be trusted with.
func openFile(path string) (db *bbolt.DB, err error) {
	defer containFault(&err)
	db, err = bbolt.Open(path, fileMode, &bbolt.Options{Timeout: lockPatience, FreelistType: bbolt.FreelistMapType})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, ErrInUse
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	db.MaxBatchDelay = batchDelay
	return db, nil
}

// narrow takes a file away from group and others.
func narrow(path string, mode fs.FileMode, log *slog.Logger) error {
	if err := os.Chmod(path, mode.Perm()&fileMode); err != nil {
		return fmt.Errorf("others than its owner may use it (mode %04o): %w", mode.Perm(), err)
	}
	if log == nil {
		log = slog.Default()
	}
	log.Warn("IAM store was open to others than its owner, and is not any more", "path", path, "mode", fmt.Sprintf("%04o", mode.Perm()))
	return nil
}

// create makes an empty store beside path and then gives it the name, so that no
// crash leaves half a file there.
func create(path string) error {
	draft := fmt.Sprintf("%s.new-%d", path, os.Getpid())
	if err := os.Remove(draft); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	defer os.Remove(draft) //nolint:errcheck // it is gone when all went well
	db, err := bbolt.Open(draft, fileMode, nil)
	if err != nil {
		return err
	}
	err = db.Update(initialise)
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	if err := settle(draft, path); err != nil {
		return err
	}
	return syncDirectory(path)
}

// settle gives a draft its name. Unlike a rename, a link does not replace what
// another process made meanwhile; some file systems have none.
func settle(draft, path string) error {
	err := os.Link(draft, path)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return nil
	}
	if _, err := os.Lstat(path); err == nil {
		return nil
	}
	return os.Rename(draft, path)
}

func initialise(tx *bbolt.Tx) error {
	for _, name := range buckets {
		if _, err := tx.CreateBucket(name); err != nil {
			return err
		}
	}
	return tx.Bucket(bucketMeta).Put(keyFormat, []byte(format))
}

// syncDirectory makes the name of a new file survive a crash.
func syncDirectory(path string) error {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Close waits for running transactions and gives the file up.
func (s *Store) Close() error {
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("IAM store %s: %w", s.path, err)
	}
	return nil
}
