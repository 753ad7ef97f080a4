// Package iam is the identity service: it owns users, workspaces, API keys,
// passwords and the key that signs tokens, and answers for them on the bus
// (spec iam.md).
//
// It authenticates nobody who may publish on its request topic: that, and who
// may listen to its replies, which carry secrets, is the broker's business. It
// refuses to let one request hold up another: look-ups never wait for password
// hashing, and hashing never takes all cores.
package iam

import (
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
	// subscription is shared by all replicas: a request goes to one of them.
	subscription = "iam-svc"
	// minTokenBytes keeps operators from choosing keys that can be guessed.
	minTokenBytes = 16
	// maxHashing bounds the password operations that run or wait. At some five
	// hashes per core and second the last of them waits for several seconds;
	// more would only wait for nothing.
	maxHashing = 64
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
	// TopicSpace is the second part of the topic ids; empty means `tg`.
	TopicSpace string
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

	// Set by Start.
	bus     bus.Bus
	replies bus.Topic
	sub     bus.Subscription
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
	if cfg.TopicSpace == "" {
		cfg.TopicSpace = "tg"
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	return &Service{
		store: store,
		cfg:   cfg,
		log:   cfg.Logger,
		hash:  newHasher(passwordRounds),
		seen:  newRecentIDs(),
		quick: make(chan struct{}, maxQuick),
		slow:  make(chan struct{}, maxHashing),
	}, nil
}

// Start seeds an empty store in token mode and begins to answer requests on b.
// It returns once requests reach the service, and must be called at most once.
func (s *Service) Start(ctx context.Context, b bus.Bus) error {
	requests, err := bus.ParseTopic("request:" + s.cfg.TopicSpace + ":iam")
	if err != nil {
		return fmt.Errorf("IAM requests: %w", err)
	}
	replies, err := bus.ParseTopic("response:" + s.cfg.TopicSpace + ":iam")
	if err != nil {
		return fmt.Errorf("IAM replies: %w", err)
	}
	if s.cfg.Mode == ModeToken {
		if _, err := s.Bootstrap(ctx); err != nil && !errors.Is(err, ErrExists) {
			return fmt.Errorf("IAM seeding: %w", err)
		}
	}
	s.bus, s.replies = b, replies
	s.life, s.endLife = context.WithCancel(context.WithoutCancel(ctx))
	s.sub, err = b.Subscribe(ctx, bus.Consumer{
		Topic: requests, Name: subscription, Prefetch: prefetch, Handler: s.receive,
	})
	if err != nil {
		s.endLife()
		return fmt.Errorf("IAM requests: %w", err)
	}
	s.log.Info("IAM service started", "mode", string(s.cfg.Mode), "requests", requests.Exchange)
	return nil
}

// Close stops taking requests and lets those that run finish. When ctx ends
// first, password operations that still wait for their turn and replies that
// could not be sent yet are dropped. It may be called once, after Start.
func (s *Service) Close(ctx context.Context) error {
	stop := context.AfterFunc(ctx, s.endLife)
	defer stop()
	err := s.sub.Close(ctx)
	s.running.Wait()
	s.endLife()
	if err != nil {
		return fmt.Errorf("IAM requests: %w", err)
	}
	return nil
}

// now is the time to store: whole milliseconds, UTC.
func (s *Service) now() time.Time { return stored(s.cfg.Clock()) }
