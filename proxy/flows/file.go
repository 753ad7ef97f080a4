package flows

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"

	"sluice/codec"
)

const (
	// maxFileBytes bounds a flows file, so that a wrong path cannot fill the
	// memory.
	maxFileBytes = 16 << 20
	// settle is how long a directory must be quiet before the file is read:
	// writers that do not rename leave it half-written for a moment.
	settle = 100 * time.Millisecond
	// settleMax is how long a directory that is never quiet can put that off.
	settleMax = time.Second
	// reread is how often the file is read whether or not the system reported a
	// change: network file systems never do.
	reread = 15 * time.Second
)

// File keeps a Table in step with a flows file, for people who have no config
// service. The file is read again when it changes; while it cannot be read or
// understood, the last good definitions stay.
type File struct {
	// set once
	path   string
	table  Table
	log    *slog.Logger
	cancel context.CancelFunc
	done   chan struct{}

	// owned by run, once it is started
	read  digest // of the text that the definitions are from
	known map[string]definitions
	// broken is the last complaint, so that it is made once.
	broken string
}

// OpenFile reads the file at path, defines its flows in t and starts to watch it.
// A file that is missing or wrong is an error; errors name the line. log may be
// nil for slog.Default.
func OpenFile(path string, t Table, log *slog.Logger) (*File, error) {
	if log == nil {
		log = slog.Default()
	}
	f := &File{path: path, table: t, log: log, done: make(chan struct{}), known: make(map[string]definitions)}
	if _, err := f.load(); err != nil {
		return nil, fmt.Errorf("flows file %s: %w", path, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	f.cancel = cancel
	go f.run(ctx, f.watch())
	return f, nil
}

// Ready returns nil: the definitions were there before OpenFile returned.
func (f *File) Ready() error { return nil }

// Close stops watching and waits for that until ctx ends. Flows stay as they are.
// It may be called more than once.
func (f *File) Close(ctx context.Context) error {
	f.cancel()
	select {
	case <-f.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("flows file: %w", ctx.Err())
	}
}

// watch asks the system for changes. The directory is watched and not the file:
// editors and Kubernetes replace files by renaming others over them, and a watch
// would stay with the file that is gone. It returns nil when the system has no
// watches to give; then changes are noticed when the file is read again.
func (f *File) watch() *fsnotify.Watcher {
	w, err := fsnotify.NewWatcher()
	if err == nil {
		if err = w.Add(filepath.Dir(f.path)); err == nil {
			return w
		}
		_ = w.Close() // it watches nothing
	}
	f.log.Warn("flows file is not watched, changes will be noticed late", "path", f.path, "within", reread, "error", err)
	return nil
}

func (f *File) run(ctx context.Context, w *fsnotify.Watcher) {
	defer close(f.done)
	var events <-chan fsnotify.Event
	var failures <-chan error
	if w != nil {
		defer func() { _ = w.Close() }() // nothing is read from it any more
		events, failures = w.Events, w.Errors
	}
	timer := time.NewTimer(reread)
	defer timer.Stop()
	var first time.Time // of the events not acted on yet
	for {
		select {
		case <-ctx.Done():
			return
		case <-events:
			// Any name: behind a symbolic link the file changes without an event
			// of its own name.
			if first.IsZero() {
				first = time.Now()
			}
			timer.Reset(max(0, min(settle, time.Until(first.Add(settleMax)))))
		case err := <-failures: // events were lost
			f.log.Debug("watching the flows file", "path", f.path, "error", err)
			timer.Reset(settle)
		case <-timer.C:
			f.reload()
			first = time.Time{}
			timer.Reset(reread)
		}
	}
}

// reload loads the file and reports how that went, each complaint once.
func (f *File) reload() {
	changed, err := f.load()
	if err != nil {
		if err.Error() != f.broken {
			f.broken = err.Error()
			reloadsFailed.Inc()
			f.log.Error("flows file cannot be used, the old definitions stay", "path", f.path, "error", err)
		}
		return
	}
	if changed || f.broken != "" {
		f.broken = ""
		reloadsOK.Inc()
		f.log.Info("flows file reloaded", "path", f.path, "workspaces", len(f.known))
	}
}

// load reads the file and, if it is another than before and understood, tells
// the table the difference.
func (f *File) load() (changed bool, err error) {
	text, err := readFile(f.path)
	if err != nil {
		return false, err
	}
	is := digest(sha256.Sum256(text))
	if is == f.read {
		return false, nil
	}
	next, err := parseFile(text)
	if err != nil {
		return false, err
	}
	f.read = is
	f.apply(next)
	return true, nil
}

func (f *File) apply(next map[string]map[string]codec.FlowRecord) {
	for ws, d := range f.known {
		if _, ok := next[ws]; !ok {
			d.replace(f.table, ws, nil, nil)
			delete(f.known, ws)
		}
	}
	for ws, records := range next {
		f.known[ws] = f.known[ws].replace(f.table, ws, records, nil)
	}
}

// readFile reads a file whole, if it is a reasonable one.
func readFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxFileBytes+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxFileBytes {
		return nil, fmt.Errorf("larger than %d bytes", maxFileBytes)
	}
	return text, nil
}
