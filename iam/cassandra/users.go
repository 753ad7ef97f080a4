package cassandra

import (
	"context"
	"errors"
	"time"

	"sluice/iam"
)

const (
	// claimPatience is how long a name may lead to nobody before its owner counts
	// as dead. It writes the user at once, but a write may take seconds.
	claimPatience = 2 * time.Second
	claimPause    = 50 * time.Millisecond
	// evictedFor, in seconds, is how long a dead owner is kept from returning. No
	// operation lasts so long.
	evictedFor = 3600
)

// CreateUser implements iam.Store. The name comes first. A user that was written
// has it, and keeps it until it is deleted: whoever takes a name from an owner
// that seems dead makes sure that it can no longer write its user.
func (s *Store) CreateUser(ctx context.Context, u iam.User) error {
	return s.createUser(ctx, u, s.patience)
}

func (s *Store) createUser(ctx context.Context, u iam.User, patience time.Duration) error {
	if err := s.claim(ctx, &u, patience); err != nil {
		return err
	}
	won, err := s.insertUser(ctx, &u)
	if err != nil || won {
		return err
	}
	// We were too slow and somebody has evicted us, or the id is somebody's.
	if err := s.unclaim(ctx, &u); err != nil {
		return err
	}
	return iam.ErrExists
}

func (s *Store) insertUser(ctx context.Context, u *iam.User) (bool, error) {
	return s.won(ctx, func() (bool, error) {
		stored, err := s.user(ctx, s.serial, u.ID)
		if errors.Is(err, iam.ErrNotFound) {
			return false, nil
		}
		return err == nil && stored.PasswordHash == u.PasswordHash && stored.Workspace == u.Workspace && stored.Username == u.Username, err
	}, `INSERT INTO iam_users (`+userColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) IF NOT EXISTS`, userRow(u)...)
}

// claim gives u its name, or fails with iam.ErrExists. A name whose owner does
// not exist is about to get one, about to be given back, or was left by somebody
// who died: what it is, time tells.
func (s *Store) claim(ctx context.Context, u *iam.User, patience time.Duration) error {
	var owner string
	var since time.Time
	for {
		won, err := s.won(ctx, s.holds(ctx, u),
			`INSERT INTO iam_users_by_username (workspace, username, user_id) VALUES (?, ?, ?) IF NOT EXISTS`, u.Workspace, u.Username, u.ID)
		if err != nil || won {
			return err
		}
		current, err := s.holder(ctx, s.serial, u.Workspace, u.Username)
		if errors.Is(err, iam.ErrNotFound) {
			continue // it was given back just now
		}
		if err != nil {
			return err
		}
		if current != owner || since.IsZero() {
			owner, since = current, time.Now()
		}
		if err := s.mustBeMissing(ctx, owner); err != nil {
			return err
		}
		if time.Since(since) >= patience {
			won, err := s.evict(ctx, owner, u)
			if err != nil || won {
				return err
			}
		} else if err := sleep(ctx, claimPause); err != nil {
			return err
		}
	}
}

// holds tells whether the name leads to u.
func (s *Store) holds(ctx context.Context, u *iam.User) func() (bool, error) {
	return func() (bool, error) {
		owner, err := s.holder(ctx, s.serial, u.Workspace, u.Username)
		if errors.Is(err, iam.ErrNotFound) {
			return false, nil
		}
		return owner == u.ID, err
	}
}

// mustBeMissing fails with iam.ErrExists when there is such a user.
func (s *Store) mustBeMissing(ctx context.Context, id string) error {
	_, err := s.user(ctx, s.serial, id)
	return absent(err)
}

// absent turns the outcome of a look-up round: nothing is what is wanted.
func absent(err error) error {
	switch {
	case err == nil:
		return iam.ErrExists
	case errors.Is(err, iam.ErrNotFound):
		return nil
	}
	return err
}

// evict takes the name from an owner that has no user. First it puts an empty row
// where the owner would write its user: the owner's insert finds that and fails,
// however late it comes. To everybody else such a row is none.
func (s *Store) evict(ctx context.Context, owner string, u *iam.User) (bool, error) {
	if isKey(owner) {
		if _, _, err := s.cas(ctx, `INSERT INTO iam_users (id) VALUES (?) IF NOT EXISTS USING TTL ?`, owner, evictedFor); err != nil {
			return false, err
		}
		// It may have come first.
		if err := s.mustBeMissing(ctx, owner); err != nil {
			return false, err
		}
	}
	return s.won(ctx, s.holds(ctx, u),
		`UPDATE iam_users_by_username SET user_id = ? WHERE workspace = ? AND username = ? IF user_id = ?`,
		u.ID, u.Workspace, u.Username, textOrNull(owner))
}

func textOrNull(text string) any {
	if text == "" {
		return nil
	}
	return text
}

// unclaim gives the name back, unless somebody else has it.
func (s *Store) unclaim(ctx context.Context, u *iam.User) error {
	_, _, err := s.cas(ctx, `DELETE FROM iam_users_by_username WHERE workspace = ? AND username = ? IF user_id = ?`,
		u.Workspace, u.Username, u.ID)
	return err
}

// SetPassword implements iam.Store.
func (s *Store) SetPassword(ctx context.Context, userID, was, hash string, mustChange bool) error {
	if !isKey(userID) {
		return iam.ErrNotFound
	}
	text, args := `UPDATE iam_users SET password_hash = ?, must_change_password = ? WHERE id = ? IF `+isUser, []any{hash, mustChange, userID}
	if was != "" {
		text, args = text+` AND password_hash = ?`, append(args, was)
	}
	won, err := s.won(ctx, func() (bool, error) {
		// Hashes are salted: this one is nobody else's.
		stored, err := s.user(ctx, s.serial, userID)
		return err == nil && stored.PasswordHash == hash, err
	}, text, args...)
	if err != nil || won {
		return err
	}
	if _, err := s.user(ctx, s.serial, userID); err != nil {
		return err
	}
	return iam.ErrChanged
}
