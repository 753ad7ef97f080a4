package cassandra

import (
	"context"
	"errors"
	"fmt"

	"sluice/iam"
)

// CreateAPIKey implements iam.Store. The owner is looked at before, to refuse,
// and after, because it may have been disabled or deleted in between by somebody
// who did not see the key yet.
func (s *Store) CreateAPIKey(ctx context.Context, k iam.APIKey) error {
	if err := s.mustBeEnabled(ctx, k.UserID); err != nil {
		return err
	}
	won, err := s.insertKey(ctx, &k)
	if err == nil {
		// Even of a key that is not ours: ours may have come, without an answer,
		// and gone with its owner.
		err = s.mustBeEnabled(ctx, k.UserID)
	}
	if err == nil && !won {
		err = iam.ErrExists
	}
	if err == nil {
		return nil
	}
	// Nobody has been told the key: what cannot be taken back now is of no use.
	tidy, cancel := s.detached(ctx)
	defer cancel()
	_, _, _ = s.dropKey(tidy, &k)
	return err
}

func (s *Store) mustBeEnabled(ctx context.Context, userID string) error {
	owner, err := s.user(ctx, s.serial, userID)
	if err == nil && !owner.Enabled {
		return iam.ErrDisabled
	}
	return err
}

func (s *Store) insertKey(ctx context.Context, k *iam.APIKey) (bool, error) {
	return s.won(ctx, func() (bool, error) {
		stored, err := s.apiKey(ctx, s.serial, k.Hash)
		if errors.Is(err, iam.ErrNotFound) {
			return false, nil
		}
		return err == nil && stored.ID == k.ID, err
	}, `INSERT INTO iam_api_keys (`+keyColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?) IF NOT EXISTS`, keyRow(k)...)
}

// DeleteAPIKey implements iam.Store. Where a reply is lost, two who delete a key at
// once may both hear that they did.
func (s *Store) DeleteAPIKey(ctx context.Context, hash string) error {
	k, err := s.apiKey(ctx, s.serial, hash)
	if err != nil {
		return err
	}
	applied, doubtful, err := s.dropKey(ctx, &k)
	if err == nil && !applied && !doubtful {
		return iam.ErrNotFound
	}
	return err
}

// dropKey deletes this key, and none that has the same hash.
func (s *Store) dropKey(ctx context.Context, k *iam.APIKey) (applied, doubtful bool, err error) {
	return s.cas(ctx, `DELETE FROM iam_api_keys WHERE key_hash = ? IF id = ?`, k.Hash, k.ID)
}

// maxSweeps bounds how often the keys of a user are listed and deleted.
const maxSweeps = 8

// dropKeys deletes the keys of a user who is disabled or gone, until there are
// none, or until the user is seen enabled again. Each time the look at the user
// comes after the list: keys that are made later are not touched.
func (s *Store) dropKeys(ctx context.Context, userID string) error {
	for range maxSweeps {
		keys, err := s.APIKeys(ctx, userID)
		if err != nil || len(keys) == 0 {
			return err
		}
		u, err := s.user(ctx, s.serial, userID)
		if err != nil && !errors.Is(err, iam.ErrNotFound) || u.Enabled {
			return err
		}
		err = parallel(ctx, keys, func(ctx context.Context, k iam.APIKey) error {
			_, _, err := s.dropKey(ctx, &k)
			return err
		})
		if err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: API keys of a user come back as they are deleted", ErrUnavailable)
}

// TouchAPIKeys implements iam.Store. Who loses a race loses it to another use.
func (s *Store) TouchAPIKeys(ctx context.Context, uses []iam.KeyUse) error {
	return parallel(ctx, uses, func(ctx context.Context, use iam.KeyUse) error {
		k, err := s.APIKey(ctx, use.Hash)
		if errors.Is(err, iam.ErrNotFound) {
			return nil
		}
		if err != nil || !use.At.After(k.LastUsed) {
			return err
		}
		_, _, err = s.cas(ctx, `UPDATE iam_api_keys SET last_used = ? WHERE key_hash = ? IF id = ? AND last_used = ?`,
			use.At, k.Hash, k.ID, timestamp(k.LastUsed))
		return err
	})
}
