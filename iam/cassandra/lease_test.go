package cassandra

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"sluice/iam"
)

// A process that died with the lease keeps others waiting, but not for ever.
func TestLeaseRunsOut(t *testing.T) {
	s := newStore(t)
	b := behind{t, s}
	b.exec(`INSERT INTO iam_users_by_username (workspace, username, user_id) VALUES (?, ?, 'dead') IF NOT EXISTS USING TTL 2`, leaseWorkspace, leaseName)
	_, err := s.UserID(t.Context(), leaseWorkspace, leaseName)
	want(t, err, iam.ErrNotFound)
	ok(t, createAcme(s, ""))
	if n := b.count("iam_users_by_username"); n != 0 {
		t.Errorf("%d names left", n)
	}
}

// Whoever gives up waiting is told so, and what is another's stays.
func TestLeaseIsAnothers(t *testing.T) {
	s := newStore(t)
	(behind{t, s}).exec(`INSERT INTO iam_users_by_username (workspace, username, user_id) VALUES (?, ?, 'other') IF NOT EXISTS`, leaseWorkspace, leaseName)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	want(t, s.CreateWorkspace(ctx, iam.Workspace{ID: "acme"}), context.DeadlineExceeded)
	if id, err := s.holder(t.Context(), s.serial, leaseWorkspace, leaseName); err != nil || id != "other" {
		t.Errorf("the lease is %q's, %v", id, err)
	}
}

// TestLeaseIsRenewed holds the lease until it was renewed some times, and then
// loses it: what runs under it must end.
func TestLeaseIsRenewed(t *testing.T) {
	s := newStore(t)
	s.renewal = time.Millisecond
	b := behind{t, s}
	err := s.exclusively(t.Context(), func(ctx context.Context) error {
		b.awaitRenewal()
		b.runOut()
		<-ctx.Done()
		return ctx.Err()
	})
	if !errors.Is(err, errLeaseLost) || !errors.Is(err, ErrUnavailable) {
		t.Errorf("error %v", err)
	}
	ok(t, createAcme(s, "")) // nothing is left of it
}

// awaitRenewal returns when the lease was renewed once more.
func (b behind) awaitRenewal() {
	b.t.Helper()
	var first any
	for {
		rows := b.rows(`SELECT WRITETIME(user_id) FROM iam_users_by_username WHERE workspace = ? AND username = ?`, leaseWorkspace, leaseName)
		if len(rows) != 1 {
			b.t.Fatalf("%d leases", len(rows))
		}
		last := rows[0]["writetime(user_id)"]
		if first != nil && last != first {
			return
		}
		first = last
	}
}

// A write whose outcome nobody knows may still come: until then nobody else may
// decide anything.
func TestLeaseOutlivesUnknownOutcomes(t *testing.T) {
	s := newStore(t)
	for outcome, kept := range map[error]bool{
		nil: false, iam.ErrLastAdmin: false,
		ErrUnavailable: true, context.Canceled: true, context.DeadlineExceeded: true,
	} {
		err := s.exclusively(t.Context(), func(context.Context) error { return outcome })
		want(t, err, outcome)
		_, err = s.holder(t.Context(), s.serial, leaseWorkspace, leaseName)
		if kept != (err == nil) {
			t.Errorf("after %v: %v", outcome, err)
		}
		(behind{t, s}).runOut()
	}
}

// Whose time runs out in the middle of many writes does not know what became of
// those that were under way.
func TestLeaseOutlivesManyWrites(t *testing.T) {
	s := newStore(t)
	seedAnn(t, s)
	ok(t, s.CreateUser(t.Context(), testUser("bob", "acme", "bob")))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s.meddle = func(attempt context.Context, query *gocql.Query) (bool, error) {
		if strings.Contains(query.String(), "iam_users ") {
			cancel()
			return false, failure(gocql.ErrTimeoutNoResponse)
		}
		return once(attempt, query)
	}
	want(t, s.DisableWorkspace(ctx, "acme"), ErrUnavailable)
	_, err := s.holder(t.Context(), s.serial, leaseWorkspace, leaseName)
	ok(t, err)
}
