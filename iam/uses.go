package iam

import (
	"context"
	"sync"
	"time"
)

const (
	// usePrecision is how exact `last_used` is: uses that follow a noted one
	// sooner are not written.
	usePrecision = time.Minute
	// useDelay gathers uses, so that a burst costs one write.
	useDelay = time.Second
	// maxPendingUses bounds what is gathered; further ones are noted next time.
	maxPendingUses = 4096
	useWriteLimit  = 10 * time.Second
)

// uses gathers when API keys were used, because a look-up must not wait for the
// disk.
type uses struct {
	wake chan struct{}
	stop chan struct{}
	done chan struct{}

	mu      sync.Mutex
	pending map[string]time.Time // by key hash
}

func newUses() *uses {
	return &uses{
		wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
		pending: make(map[string]time.Time),
	}
}

// noteUse remembers that a key was used now, unless that is known.
func (s *Service) noteUse(k *APIKey) {
	now := s.now()
	if now.Sub(k.LastUsed) < usePrecision {
		return
	}
	u := s.uses
	u.mu.Lock()
	if _, known := u.pending[k.Hash]; !known && len(u.pending) < maxPendingUses {
		u.pending[k.Hash] = now
	}
	u.mu.Unlock()
	select {
	case u.wake <- struct{}{}:
	default:
	}
}

// writeUses runs until stop and writes what was gathered.
func (s *Service) writeUses() {
	defer close(s.uses.done)
	for {
		select {
		case <-s.uses.wake:
		case <-s.uses.stop:
			s.flushUses()
			return
		}
		select {
		case <-time.After(useDelay):
		case <-s.uses.stop:
		}
		s.flushUses()
	}
}

// flushUses writes what was gathered. What cannot be written is forgotten: the
// next use of the key is as good.
func (s *Service) flushUses() {
	s.uses.mu.Lock()
	pending := s.uses.pending
	s.uses.pending = make(map[string]time.Time)
	s.uses.mu.Unlock()
	if len(pending) == 0 {
		return
	}
	list := make([]KeyUse, 0, len(pending))
	for hash, at := range pending {
		list = append(list, KeyUse{Hash: hash, At: at})
	}
	ctx, cancel := context.WithTimeout(context.Background(), useWriteLimit)
	defer cancel()
	if err := s.store.TouchAPIKeys(ctx, list); err != nil {
		s.log.Warn("uses of API keys not noted", "keys", len(list), "error", err)
	}
}
