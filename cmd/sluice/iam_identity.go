package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"sluice/bus"
	"sluice/codec"
	"sluice/iam"
	"sluice/proxy/dispatch"
)

// errStarting is why a gateway is not ready while its IAM service is not.
var errStarting = errors.New("the IAM service is starting")

// identity is this process's own IAM service with its store.
type identity struct {
	log      *slog.Logger
	store    *openedStore
	path     string // the store's, if it is a file
	settings iam.Config
	started  atomic.Bool
}

// openIdentity opens the store and makes the service. Its errors are about the
// configuration or the file. An embedded service makes a token that is missing;
// one of its own process is named by --id.
func openIdentity(c *Config, log *slog.Logger, embedded bool) (*identity, error) {
	store, err := openStore(c, log, false)
	if err != nil {
		return nil, err
	}
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

// serve starts a service, and another one where the bus failed it meanwhile.
func (i *identity) serve(ctx context.Context, g *gateway) error {
	for {
		service, err := i.start(ctx, g)
		switch {
		case err == nil:
			return i.attend(ctx, service)
		case ctx.Err() != nil:
			return nil
		case !busFailed(err):
			return err
		}
		i.log.Warn("IAM service not started, trying again", "error", err)
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return nil
		}
	}
}

// start waits for the bus and starts a service on it.
func (i *identity) start(ctx context.Context, g *gateway) (*iam.Service, error) {
	for err := errStarting; err != nil; {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		err = awaitReady(ctx, g.bus.Ready)
	}
	if err := refuseOtherIAM(g); err != nil {
		return nil, err
	}
	service, err := iam.New(i.store.Store, i.settings)
	if err != nil {
		return nil, err
	}
	return service, service.Start(ctx, g.bus)
}

// busFailed reports whether err is about the bus, which comes back.
func busFailed(err error) bool {
	for _, known := range []error{bus.ErrUnavailable, bus.ErrBusy, dispatch.ErrUnavailable, dispatch.ErrLost} {
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

// refuseOtherIAM asks something harmless before this service can answer itself:
// an answer comes from somebody with other users. Sluice's own kind is noticed
// later too (see iam.ErrOtherStore).
func refuseOtherIAM(g *gateway) error {
	questions, err := harmless()
	if err != nil {
		return err
	}
	present, err := answering(g.table, map[codec.Kind][]byte{codec.IAM: questions[codec.IAM]})
	if len(present) > 0 {
		return fmt.Errorf("%w (topicspace %s)", iam.ErrOtherStore, g.cfg.Topicspace)
	}
	if err != nil {
		return fmt.Errorf("looking for other IAM services: %w", err)
	}
	return nil
}

// ready says why nobody can be identified yet, or nil.
func (i *identity) ready() error {
	if i == nil || i.started.Load() {
		return nil
	}
	return errStarting
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

// storeName is the store in messages.
func storeName(c *Config) string {
	if c.Service.Store == storeInMemory {
		return "memory (gone when the process ends)"
	}
	return strings.TrimSpace(c.Service.Store)
}
