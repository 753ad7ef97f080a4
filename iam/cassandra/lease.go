package cassandra

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"time"

	"sluice/iam"
)

const (
	// The lease is a name of nobody's, in a workspace that nobody can make: ids
	// that begin with '_' are reserved. To the reference it is one that leads to
	// no user.
	leaseWorkspace = "_lock"
	leaseName      = "changes"

	// leaseTTL, in seconds, is how long a dead owner's lease lasts. Work under the
	// lease ends leaseWork after it was last renewed: the difference is for clocks
	// that differ and for a write that is still on its way.
	leaseTTL      = 20
	leaseWork     = 12 * time.Second
	leaseRenewal  = 4 * time.Second
	leasePatience = (leaseTTL + 10) * time.Second
	leasePause    = 20 * time.Millisecond
)

var errLeaseLost = fmt.Errorf("%w: the lease for this change could not be kept", ErrUnavailable)

// lease makes operations exclusive among all processes that use the keyspace.
// It is for decisions about several rows; what one row can decide needs none.
type lease struct {
	store *Store
	owner string
	since time.Time // before the last renewal was sent
}

// exclusively runs fn under the lease. The context of fn ends in time when the
// lease cannot be kept.
func (s *Store) exclusively(ctx context.Context, fn func(context.Context) error) error {
	return s.leased(ctx, ctx, fn)
}

// leased is exclusively for work that goes on when ctx, in which the lease is
// waited for, has ended.
func (s *Store) leased(ctx, work context.Context, fn func(context.Context) error) error {
	select {
	case s.leasing <- struct{}{}:
		defer func() { <-s.leasing }()
	case <-ctx.Done():
		return ctx.Err()
	}
	l := &lease{store: s, owner: rand.Text()}
	if err := l.take(ctx); err != nil {
		l.release(ctx) // it may have been taken without an answer
		return err
	}
	err := l.work(work, fn)
	if outcomeKnown(err) {
		l.release(ctx)
	}
	return err
}

// outcomeKnown is false when a write may still be under way in the cluster. Then
// the lease is left to run out, so that nobody decides anything before that.
func outcomeKnown(err error) bool {
	return !errors.Is(err, ErrUnavailable) && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
}

// work runs fn while the lease is kept.
func (l *lease) work(ctx context.Context, fn func(context.Context) error) error {
	work, cancel := context.WithCancelCause(ctx)
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		l.keep(work, cancel)
	}()
	err := fn(work)
	lost := context.Cause(work)
	cancel(nil)
	<-kept
	if err != nil && errors.Is(lost, errLeaseLost) {
		return lost
	}
	return err
}

// take waits until nobody has the lease.
func (l *lease) take(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, leasePatience, errLeaseTaken)
	defer cancel()
	for {
		l.since = time.Now()
		won, err := l.store.won(ctx, l.ours(ctx),
			`INSERT INTO iam_users_by_username (workspace, username, user_id) VALUES (?, ?, ?) IF NOT EXISTS USING TTL ?`,
			leaseWorkspace, leaseName, l.owner, leaseTTL)
		if err == nil && won {
			return l.refresh(ctx)
		}
		if err == nil {
			err = sleep(ctx, leasePause+mathrand.N(leasePause))
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			return err
		}
	}
}

var errLeaseTaken = fmt.Errorf("%w: another process keeps the lease for changes", ErrUnavailable)

func (l *lease) ours(ctx context.Context) func() (bool, error) {
	return l.store.holds(ctx, &iam.User{Workspace: leaseWorkspace, Username: leaseName, ID: l.owner})
}

// refresh renews a lease that was long in coming.
func (l *lease) refresh(ctx context.Context) error {
	if time.Since(l.since) > leaseRenewal && !l.renew(ctx) {
		return errLeaseLost
	}
	return nil
}

// keep renews the lease until ctx ends, and ends ctx when that fails.
func (l *lease) keep(ctx context.Context, lost context.CancelCauseFunc) {
	for sleep(ctx, min(l.store.renewal, time.Until(l.since.Add(leaseWork)))) == nil {
		if !l.renew(ctx) && ctx.Err() == nil {
			lost(errLeaseLost)
			return
		}
	}
}

func (l *lease) renew(ctx context.Context) bool {
	ctx, cancel := context.WithDeadline(ctx, l.since.Add(leaseWork))
	defer cancel()
	sent := time.Now()
	won, err := l.store.won(ctx, l.ours(ctx),
		`UPDATE iam_users_by_username USING TTL ? SET user_id = ? WHERE workspace = ? AND username = ? IF user_id = ?`,
		leaseTTL, l.owner, leaseWorkspace, leaseName, l.owner)
	if err != nil || !won {
		return false
	}
	l.since = sent
	return true
}

// release gives the lease back, though the caller may have gone. If that fails it
// runs out.
func (l *lease) release(ctx context.Context) {
	ctx, cancel := l.store.detached(ctx)
	defer cancel()
	_ = l.store.unclaim(ctx, &iam.User{Workspace: leaseWorkspace, Username: leaseName, ID: l.owner})
}
