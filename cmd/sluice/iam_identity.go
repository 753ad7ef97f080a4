package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"sluice/bus"
	"sluice/codec"
	"sluice/iam"
	"sluice/iam/cassandra"
	"sluice/proxy/dispatch"
)

// errStarting is why a gateway is not ready while its IAM service is not.
var errStarting = errors.New("the IAM service is starting")

// identity is this process's own IAM service with its store.
type identity struct {
	log      *slog.Logger
	store    *openedStore
	path     string // the store's; means something if it is a file
	settings iam.Config
	started  atomic.Bool
}

// openIdentity opens the store and makes the service. Its errors are about the
// configuration or the file. An embedded service makes a token that is missing;
// one of its own process is named by --id.
func openIdentity(c *Config, log *slog.Logger, embedded bool) (*identity, error) {
	useProcessors()
	store, err := openStore(c, log, false)
	if err != nil {
		return nil, err
	}
	logStore(c, log)
	i := &identity{log: log, store: store, path: c.Service.Store}
	settings := c.iamConfig()
	settings.Logger = log
	if !embedded {
		settings.Name = c.ID
	}
	if embedded && settings.Mode == iam.ModeToken && settings.Token == "" {
		settings.Token, err = i.token(i.path + ".token")
	}
	if err == nil {
		err = settings.Validate()
	}
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	i.settings = settings
	return i, nil
}

// token returns the first administrator's API key: what is in the file, or a new
// one that is written there. A store that has begun needs none: any will do.
func (i *identity) token(path string) (string, error) {
	workspaces, err := i.store.Workspaces(context.Background())
	if err != nil {
		return "", failure(err)
	}
	if len(workspaces) > 0 {
		return iam.NewAPIKey(), nil
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return i.writeToken(path)
	case err != nil:
		return "", failure(err)
	case info.Mode().Perm()&0o077 != 0:
		return "", failure(fmt.Errorf("%s: others than its owner may read it (mode %04o); delete it, or give a token that nobody knows", path, info.Mode().Perm()))
	}
	token, err := readSecret(path)
	return token, failure(err)
}

func (i *identity) writeToken(path string) (string, error) {
	token := iam.NewAPIKey()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", failure(err)
	}
	_, err = f.WriteString(token + "\n")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return "", failure(errors.Join(err, os.Remove(path)))
	}
	i.log.Warn("the first administrator's API key is in a file: use it, then delete the file", "path", path)
	return token, nil
}

// run serves from the moment the bus is there until ctx ends, or another IAM
// service turns up, and closes everything.
func (i *identity) run(ctx context.Context, g *gateway) error {
	var backups *copies
	if i.store.file != nil {
		backups = serveCopies(i.store.file, i.path, i.log)
	}
	err := i.serve(ctx, g)
	backups.Close()
	if closeErr := i.store.Close(); closeErr != nil {
		i.log.Warn("not closed cleanly", "what", "IAM store", "error", closeErr)
	}
	return err
}

// serve starts a service, and another one where bus or store failed it meanwhile.
func (i *identity) serve(ctx context.Context, g *gateway) error {
	said := ""
	for {
		service, err := i.start(ctx, g)
		switch {
		case err == nil:
			return i.attend(ctx, service)
		case ctx.Err() != nil:
			return nil
		case !comesBack(err):
			return err
		}
		if why := err.Error(); why != said {
			i.log.Warn("IAM service not started, trying again", "error", err)
			said = why
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return nil
		}
	}
}

// start waits for the bus and starts a service on it, if the store is there.
func (i *identity) start(ctx context.Context, g *gateway) (*iam.Service, error) {
	for err := errStarting; err != nil; {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		err = awaitReady(ctx, g.bus.Ready)
	}
	name, err := i.store.sharedName(ctx)
	if err != nil {
		return nil, &waiting{err}
	}
	settings := i.settings
	settings.SharedStore, settings.Probe = name, g.answersIAM
	service, err := iam.New(i.store.Store, settings)
	if err != nil {
		return nil, err
	}
	return service, service.Start(ctx, g.bus)
}

// waiting is about a store that is elsewhere and cannot be used yet. Whatever is
// wrong there, it is put right there.
type waiting struct{ error }

func (w *waiting) Unwrap() error { return w.error }

// comesBack reports whether err is about the bus or a store elsewhere.
func comesBack(err error) bool {
	var store *waiting
	if errors.As(err, &store) {
		return true
	}
	for _, known := range []error{
		bus.ErrUnavailable, bus.ErrBusy, dispatch.ErrUnavailable, dispatch.ErrLost,
		cassandra.ErrUnavailable, cassandra.ErrLogin, cassandra.ErrTables, // a role may read before it may write
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

// attend waits until ctx ends or another service turns up, and closes this one.
func (i *identity) attend(ctx context.Context, service *iam.Service) error {
	i.started.Store(true)
	var err error
	select {
	case <-ctx.Done():
	case err = <-service.Conflict():
	}
	i.started.Store(false)
	closing, cancel := context.WithTimeout(context.Background(), closePatience)
	defer cancel()
	if closeErr := service.Close(closing); closeErr != nil {
		i.log.Warn("not closed cleanly", "what", "IAM service", "error", closeErr)
	}
	return err
}

// answersIAM asks something harmless before this process's own service can answer:
// an answer comes from somebody else.
func (g *gateway) answersIAM() (bool, error) {
	questions, err := harmless()
	if err != nil {
		return false, err
	}
	present, err := answering(g.table, map[codec.Kind][]byte{codec.IAM: questions[codec.IAM]})
	return len(present) > 0, err
}

// ready says why nobody can be identified now, or nil.
func (i *identity) ready() error {
	if i == nil {
		return nil
	}
	if err := i.store.ready(context.Background()); err != nil {
		return err
	}
	if !i.started.Load() {
		return errStarting
	}
	return nil
}

// servesIAM says why own does not answer on the bus now, or nil.
func (g *gateway) servesIAM(own *identity) error {
	if err := g.bus.Ready(); err != nil {
		return err
	}
	return own.ready()
}

// serveEmbedded serves HTTP with an IAM service of its own beside it, which
// outlives the drain. When either ends, so does the other.
func (g *gateway) serveEmbedded(ctx context.Context) error {
	serving, stop := context.WithCancel(ctx)
	defer stop()
	alive, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	ended := make(chan error, 1)
	go func() {
		defer stop()
		ended <- g.identity.run(alive, g)
	}()
	err := g.serve(serving)
	end()
	return errors.Join(err, <-ended)
}
