package iam

import (
	"context"
	"crypto/rand"
	"runtime"
)

// hasher derives password hashes, on half the cores and at least one: never on
// all, so that whatever else runs here goes on while logins pour in.
type hasher struct {
	slots  chan struct{}
	rounds int
}

func newHasher(rounds int) *hasher {
	return &hasher{slots: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)), rounds: rounds}
}

// hash returns the text to store for a password. It fails when ctx ends before
// its turn has come.
func (h *hasher) hash(ctx context.Context, password string) (string, error) {
	if err := h.enter(ctx); err != nil {
		return "", err
	}
	defer h.leave()
	salt := make([]byte, saltBytes)
	rand.Read(salt) // never fails: it ends the process instead
	return formatPassword(password, salt, h.rounds)
}

// check compares a password with a stored text, which may be empty. It works as
// long when there is nothing to compare with: the time must not tell whether
// an account exists.
func (h *hasher) check(ctx context.Context, password, stored string) (bool, error) {
	if err := h.enter(ctx); err != nil {
		return false, err
	}
	defer h.leave()
	ok, err := checkPassword(password, stored)
	if err == nil {
		return ok, nil
	}
	_, err = formatPassword(password, make([]byte, saltBytes), h.rounds)
	return false, err
}

// waste takes the time of a comparison on paths that fail before one.
func (h *hasher) waste(ctx context.Context, password string) error {
	_, err := h.check(ctx, password, "")
	return err
}

func (h *hasher) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case h.slots <- struct{}{}:
		hashesTotal.Inc()
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (h *hasher) leave() { <-h.slots }
