// Package iam is the identity service: it owns users, workspaces, API keys,
// passwords and the key that signs tokens, and answers for them on the bus
// (spec iam.md).
//
// It authenticates nobody who may publish on its request topic: that, and who
// may listen to its replies, which carry secrets, is the broker's business. It
// refuses to let one request hold up another: look-ups wait neither for password
// hashing nor for changes that other processes have a say in, and hashing never
// takes all cores.
package iam

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"sluice/bus"
)

// Mode says how a deployment gets its first administrator.
type Mode string

// The modes of Config.
const (
	// ModeToken seeds at start, with an API key that the operator chose.
	ModeToken Mode = "token"
	// ModeBootstrap lets the first caller of `bootstrap` seed.
	ModeBootstrap Mode = "bootstrap"
)

const (
	// defaultName is the subscription that all replicas share: a request goes to
	// one of them.
	defaultName = "iam-svc"
	// minTokenBytes keeps operators from choosing keys that can be guessed.
	minTokenBytes = 16
	// maxHashing bounds the password operations that run or wait. At some five
	// hashes per core and second the last of them waits for several seconds;
	// more would only wait for nothing.
	maxHashing = 64
	// maxSettling bounds the changes that run or wait for other processes. A store
	// carries out one at a time.
	maxSettling = 64
	// maxQuick bounds all other operations; more of them wait in the broker.
	maxQuick = 64
	prefetch = 256
)

// Config says how a Service works. The zero value lacks a Mode.
type Config struct {
	// Mode is required.
	Mode Mode
	// Token is the administrator's API key in token mode: at least 16 bytes
	// that start with `tg_`. A secret.
	Token string
	// Name is the subscription name; empty means `iam-svc`. Services of different
	// names would each carry out every request.
	Name string
	// TopicSpace is the second part of the topic ids; empty means `tg`.
	TopicSpace string
	// Requests and Replies are topic ids; empty means request:TopicSpace:iam and
	// response:TopicSpace:iam.
	Requests, Replies string
	// Guarded makes another service that answers the same requests from another
	// store a mistake, which Start or Conflict reports.
	Guarded bool
	// SharedStore names the store where other processes use it too: guarded
	// services that name the same one serve side by side. Empty means that no other
	// process uses the store.
	SharedStore string
	// Probe reports whether somebody answers the requests already, so that Start of
	// a guarded service also notices those that do not tell of themselves. It is
	// called before the service answers; nil asks nobody.
	Probe func() (bool, error)
	// MinPasswordLength, in characters, is asked of new passwords; 0 asks nothing.
	MinPasswordLength int
	// Logger gets failures and the audit trail; nil means slog.Default().
	Logger *slog.Logger
	// Clock tells the time; nil means time.Now.
	Clock func() time.Time
}

// Validate says what is wrong with c, in the words of the contract.
func (c Config) Validate() error {
	switch {
	case c.Mode == "":
		return errors.New("iam-svc: --bootstrap-mode is required.  Set to 'token' (with --bootstrap-token) for production, or 'bootstrap' to enable the explicit bootstrap operation over the pub/sub bus (dev / quick-start only, not safe under public exposure).  Refusing to start.")
	case c.Mode != ModeToken && c.Mode != ModeBootstrap:
		return fmt.Errorf("iam-svc: invalid bootstrap mode %q: choose 'token' or 'bootstrap'", c.Mode)
	case c.Mode == ModeToken && c.Token == "":
		return errors.New("iam-svc: --bootstrap-mode=token requires --bootstrap-token.  Refusing to start.")
	case c.Mode == ModeBootstrap && c.Token != "":
		return errors.New("iam-svc: --bootstrap-token is not accepted when --bootstrap-mode=bootstrap.  Ambiguous intent.  Refusing to start.")
	case c.Mode == ModeToken && (!strings.HasPrefix(c.Token, apiKeyMark) || len(c.Token) < minTokenBytes):
		return fmt.Errorf("iam-svc: the bootstrap token must start with %q and have at least %d characters", apiKeyMark, minTokenBytes)
	}
	return nil
}

// Service answers IAM requests. Its methods may be called concurrently.
type Service struct {
	// Set once.
	store Store
	cfg   Config
	log   *slog.Logger
	hash  *hasher
	seen  *recentIDs
	quick chan struct{}
	slow  chan struct{}
	// settling is for operations that settle.
	settling chan struct{}

	accounts *accounts
	uses     *uses

	// Set by Start.
	bus     bus.Bus
	replies bus.Topic
	sub     bus.Subscription
	watch   *watch // nil unless guarded
	// life ends when Close gives up waiting.
	life    context.Context
	endLife context.CancelFunc
	running sync.WaitGroup
}

// New makes a service. The store stays the caller's to close, after Close.
func New(store Store, cfg Config) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.Name = cmp.Or(cfg.Name, defaultName)
	cfg.TopicSpace = cmp.Or(cfg.TopicSpace, "tg")
	cfg.Requests = cmp.Or(cfg.Requests, "request:"+cfg.TopicSpace+":iam")
	cfg.Replies = cmp.Or(cfg.Replies, "response:"+cfg.TopicSpace+":iam")
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.Probe == nil {
		cfg.Probe = func() (bool, error) { return false, nil }
	}
	return &Service{
		store: store,
		cfg:   cfg,
		log:   cfg.Logger,
		hash:  newHasher(passwordRounds),
		seen:  newRecentIDs(),
		quick: make(chan struct{}, maxQuick),
		slow:  make(chan struct{}, maxHashing),

		settling: make(chan struct{}, maxSettling),

		accounts: newAccounts(),
		uses:     newUses(),
	}, nil
}

// Start seeds an empty store in token mode and begins to answer requests on b.
// It returns once requests reach the service, and must be called at most once.
// A guarded service listens for others first, for a second, and fails with
// ErrOtherStore or ErrOtherName.
func (s *Service) Start(ctx context.Context, b bus.Bus) error {
	requests, err := bus.ParseTopic(s.cfg.Requests)
	if err != nil {
		return fmt.Errorf("IAM requests: %w", err)
	}
	replies, err := bus.ParseTopic(s.cfg.Replies)
	if err != nil {
		return fmt.Errorf("IAM replies: %w", err)
	}
	s.bus, s.replies = b, replies
	s.life, s.endLife = context.WithCancel(context.WithoutCancel(ctx))
	if err := s.begin(ctx, requests); err != nil {
		s.endLife()
		if s.watch != nil {
			err = errors.Join(err, s.watch.close(ctx))
		}
		return err
	}
	go s.writeUses()
	s.log.Info("IAM service started", "mode", string(s.cfg.Mode), "requests", requests.Exchange)
	return nil
}

func (s *Service) begin(ctx context.Context, requests bus.Topic) error {
	if err := s.checkSealed(ctx); err != nil {
		return fmt.Errorf("IAM store: %w", err)
	}
	var err error
	if s.cfg.Guarded {
		me := presence{
			Requests: requests.Exchange, Instance: newUUID(), Store: s.cfg.SharedStore, Name: s.cfg.Name, Since: time.Now().UnixNano(),
		}
		if s.watch, err = startWatch(ctx, s.life, s.bus, s.cfg.TopicSpace, me, s.cfg.Probe); err != nil {
			return fmt.Errorf("IAM: %w", err)
		}
	}
	if s.cfg.Mode == ModeToken {
		if _, err := s.Bootstrap(ctx); err != nil && !errors.Is(err, ErrExists) {
			return fmt.Errorf("IAM seeding: %w", err)
		}
	}
	s.sub, err = s.bus.Subscribe(ctx, bus.Consumer{
		Topic: requests, Name: s.cfg.Name, Prefetch: prefetch, Handler: s.receive,
	})
	if err != nil {
		return fmt.Errorf("IAM requests: %w", err)
	}
	return nil
}

// Conflict delivers ErrOtherStore or ErrOtherName when another service turns up
// that goes first: this one is to be closed. It delivers nothing unless the service
// is guarded, and must be called after Start.
func (s *Service) Conflict() <-chan error {
	if s.watch == nil {
		return nil
	}
	return s.watch.conflict
}

// Close stops taking requests and lets those that run finish. When ctx ends
// first, password operations that still wait for their turn and replies that
// could not be sent yet are dropped. It may be called once, after Start.
func (s *Service) Close(ctx context.Context) error {
	stop := context.AfterFunc(ctx, s.endLife)
	defer stop()
	err := s.sub.Close(ctx)
	s.running.Wait()
	close(s.uses.stop)
	<-s.uses.done
	s.endLife()
	if s.watch != nil {
		err = errors.Join(err, s.watch.close(ctx))
	}
	if err != nil {
		return fmt.Errorf("IAM requests: %w", err)
	}
	return nil
}

// now is the time to store: whole milliseconds, UTC.
func (s *Service) now() time.Time { return stored(s.cfg.Clock()) }
