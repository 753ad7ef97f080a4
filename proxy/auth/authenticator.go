package auth

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// IAM is how this package reaches the IAM service: one message of iam.md 4.1,
// answered with one of 4.2. Implementations are safe for concurrent use, borrow
// the request until they return, and give up after 10 seconds with an error. The
// request may hold a secret: it must not be logged or kept.
type IAM interface {
	Ask(request []byte) (reply []byte, err error)
}

// Config says where credentials come from. At least one of the three sources must
// be there: nothing can be called without a credential.
type Config struct {
	// IAM resolves API keys, serves the signing keys of JWTs and confirms their
	// users. It may be out of reach when the gateway starts. Nil: the files are
	// all there is, and a JWT counts until its own end.
	IAM IAM
	// PublicKeyFile names a file with the PEM blocks of the keys that sign JWTs.
	// It takes the place of IAM's keys, which are then never fetched.
	PublicKeyFile string
	// APIKeysFile names a file of API keys. They are looked at before IAM is
	// asked, so they also work while IAM is away.
	APIKeysFile string
	// Grace is the age up to which IAM's last answer counts while it can't be
	// asked again. Less than a minute means a minute, for which every answer
	// counts.
	Grace time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Authenticator turns tokens into identities. It is safe for concurrent use.
type Authenticator struct {
	// set once
	tokens *tokens
	keys   *apiKeys
	now    func() time.Time

	once    sync.Once
	stop    chan struct{}
	stopped chan struct{}
}

var errNoSource = errors.New("no source of credentials: IAM, a JWT public key or a file of API keys is needed")

// New reads the files, so that mistakes in them are found before a port opens, and
// starts to fetch the signing keys in the background. Close ends it.
func New(cfg Config) (*Authenticator, error) {
	if cfg.IAM == nil && cfg.PublicKeyFile == "" && cfg.APIKeysFile == "" {
		return nil, errNoSource
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	a := &Authenticator{now: cfg.Now, stop: make(chan struct{}), stopped: make(chan struct{})}
	if err := a.open(cfg); err != nil {
		return nil, err
	}
	go a.run()
	return a, nil
}

func (a *Authenticator) open(cfg Config) error {
	ring := newKeyring(cfg.IAM, nil, cfg.Now)
	if cfg.PublicKeyFile != "" {
		public, err := loadPublicKeys(cfg.PublicKeyFile)
		if err != nil {
			return err
		}
		ring = newKeyring(nil, public, cfg.Now)
	}
	var confirm *users
	if cfg.IAM != nil {
		u := newUsers(cfg.IAM, cfg.Grace, cfg.Now)
		confirm = &u
	}
	a.tokens = newTokens(ring, confirm, cfg.Now)
	a.keys = newAPIKeys(cfg.IAM, cfg.Grace, cfg.Now)
	if cfg.APIKeysFile == "" {
		return nil
	}
	var err error
	a.keys.file, err = loadAPIKeys(cfg.APIKeysFile)
	return err
}

// Authenticate finds out whom a token stands for. It answers ErrRefused for
// whatever is wrong with the token or its user, and ErrUnavailable when IAM could
// not be asked about them. A token that is known already costs no allocation; an
// unknown one may wait for IAM, ten seconds at most for the answer and as long
// for its turn to ask. The token is borrowed and never kept.
func (a *Authenticator) Authenticate(token []byte) (*Identity, error) {
	switch {
	case bytes.HasPrefix(token, apiKeyPrefix):
		return a.keys.authenticate(token)
	case bytes.Count(token, dot) == 2:
		return a.tokens.authenticate(token)
	}
	otherRefusals.Inc()
	return nil, ErrRefused
}

// Forget makes the next request of a JWT's user ask IAM again: something has been
// changed that must not wait a minute. Other identities are left as they are.
func (a *Authenticator) Forget(id *Identity) {
	if id.Source == JWT && a.tokens.users != nil {
		a.tokens.users.forget(userKey(id.Workspace, id.UserID))
	}
}

// apiKeyPrefix decides even when there are dots behind it.
var apiKeyPrefix = []byte("tg_")

// Close stops the background work and waits for it, which takes as long as a
// question to IAM that is under way: close the bus first. Authenticate goes on to
// work.
func (a *Authenticator) Close() {
	a.once.Do(func() { close(a.stop) })
	<-a.stopped
	a.keys.background.close()
	if a.tokens.users != nil {
		a.tokens.users.background.close()
	}
}

const (
	sweepEvery = 30 * time.Second
	// pollEvery is the slow rhythm of key fetches when all is well.
	pollEvery = 10 * time.Minute
	// The pause after a failure doubles from firstRetry to lastRetry.
	firstRetry, lastRetry = 250 * time.Millisecond, 15 * time.Second
)

// run fetches the signing keys and sweeps the caches.
func (a *Authenticator) run() {
	defer close(a.stopped)
	sweep := time.NewTicker(sweepEvery)
	defer sweep.Stop()
	poll := time.NewTimer(0)
	defer poll.Stop()
	if a.tokens.keys.iam == nil {
		poll.Stop()
	}
	for retry := firstRetry; ; {
		select {
		case <-a.stop:
			return
		case <-sweep.C:
			a.sweep()
		case <-poll.C:
			retry = a.poll(poll, retry)
		}
	}
}

func (a *Authenticator) sweep() {
	now := a.now()
	a.tokens.verified.sweep(now.UnixNano())
	a.tokens.current.sweep(now.UnixNano())
	if a.tokens.users != nil {
		a.tokens.users.sweep(now)
	}
	a.keys.sweep(now)
}

// poll fetches the keys, sets the timer for the next time, and returns the pause
// to make should that fail as well. Of a row of failures only the first is worth
// an operator's attention.
func (a *Authenticator) poll(next *time.Timer, retry time.Duration) time.Duration {
	err := a.tokens.keys.poll()
	again := retry > firstRetry
	if err == nil {
		if again {
			slog.Info("signing keys fetched from IAM after all")
		}
		next.Reset(pollEvery)
		return firstRetry
	}
	level := slog.LevelWarn
	if again {
		level = slog.LevelDebug
	}
	slog.Log(context.Background(), level, "no signing keys from IAM, trying again", "error", err, "in", retry)
	next.Reset(retry)
	return min(2*retry, lastRetry)
}
