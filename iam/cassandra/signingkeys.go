package cassandra

import (
	"context"
	"errors"
	"slices"
	"time"

	"sluice/iam"
)

// EnsureSigningKey implements iam.Store.
func (s *Store) EnsureSigningKey(ctx context.Context, k iam.SigningKey) (iam.SigningKey, error) {
	active, err := s.settle(ctx)
	if !errors.Is(err, iam.ErrNotFound) {
		return active, err
	}
	if err := s.insertSigningKey(ctx, &k); err != nil {
		return iam.SigningKey{}, err
	}
	return s.settle(ctx)
}

// RotateSigningKey implements iam.Store. The new key is made the newest there is,
// whatever the clocks say.
func (s *Store) RotateSigningKey(ctx context.Context, next iam.SigningKey) error {
	keys, err := s.SigningKeys(ctx)
	if err != nil {
		return err
	}
	if len(keys) > 0 && !next.Created.After(keys[0].Created) {
		next.Created = keys[0].Created.Add(time.Millisecond)
	}
	if err := s.insertSigningKey(ctx, &next); err != nil {
		return err
	}
	_, err = s.settle(ctx)
	return err
}

func (s *Store) insertSigningKey(ctx context.Context, k *iam.SigningKey) error {
	won, err := s.won(ctx, func() (bool, error) { return true, nil }, // ids are random
		`INSERT INTO iam_signing_keys (`+signingKeyColumns+`) VALUES (?, ?, ?, ?, ?) IF NOT EXISTS`, signingKeyRow(k)...)
	if err == nil && !won {
		return iam.ErrExists
	}
	return err
}

// settle retires every active key but the newest, which it returns, else
// iam.ErrNotFound. Of all who add keys the last to get here sees every key, so one
// remains; and who retires a key has seen a newer one, so one always does.
func (s *Store) settle(ctx context.Context) (iam.SigningKey, error) {
	keys, err := s.SigningKeys(ctx)
	if err != nil {
		return iam.SigningKey{}, err
	}
	active := slices.DeleteFunc(keys, func(k iam.SigningKey) bool { return !k.Retired.IsZero() })
	if len(active) == 0 {
		return iam.SigningKey{}, iam.ErrNotFound
	}
	newest := active[0]
	return newest, parallel(ctx, active[1:], func(ctx context.Context, k iam.SigningKey) error {
		_, _, err := s.cas(ctx, `UPDATE iam_signing_keys SET retired = ? WHERE kid = ? IF retired = null AND public_pem != null`,
			newest.Created, k.KID)
		return err
	})
}
