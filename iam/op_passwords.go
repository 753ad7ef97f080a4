package iam

import (
	"context"
	"errors"

	"sluice/codec"
)

// changePassword is for users themselves, who prove it with the old one.
func (s *Service) changePassword(ctx context.Context, r *codec.IAMRequest, ev *event) (*codec.IAMReply, error) {
	ev.target = r.UserID
	switch {
	case r.UserID == "":
		return nil, errUserIDRequired
	case r.Password == "":
		return nil, invalid("password (current) required")
	case r.NewPassword == "":
		return nil, invalid("new_password required")
	}
	user, err := s.store.User(ctx, r.UserID)
	if err != nil {
		return nil, s.failSlowly(ctx, r.Password, orRefusal(err, errNoUser))
	}
	ev.workspace = user.Workspace
	if err := s.authenticate(ctx, user, r.Password); err != nil {
		return nil, err
	}
	if err := s.checkPassword("new_password", r.NewPassword); err != nil {
		return nil, err
	}
	err = s.setPassword(ctx, user.ID, user.PasswordHash, r.NewPassword, false)
	if errors.Is(err, ErrChanged) {
		return nil, errBadCredentials // it was right when it came, and is not any more
	}
	if err != nil {
		return nil, orRefusal(err, errNoUser)
	}
	return &codec.IAMReply{}, nil
}

// resetPassword is for administrators: it makes a password that is shown once.
func (s *Service) resetPassword(ctx context.Context, r *codec.IAMRequest, ev *event) (*codec.IAMReply, error) {
	ev.target = r.UserID
	if r.Workspace == "" {
		return nil, invalid("workspace required for reset-password")
	}
	user, err := s.userInWorkspace(ctx, r)
	if err != nil {
		return nil, err
	}
	password := formatPasswordText(randomBytes(temporaryPasswordBytes))
	if err := s.setPassword(ctx, user.ID, "", password, true); err != nil {
		return nil, orRefusal(err, errUserNotFound)
	}
	return &codec.IAMReply{TemporaryPassword: password}, nil
}

// setPassword stores a password, if the stored hash is still was or was is empty.
func (s *Service) setPassword(ctx context.Context, userID, was, password string, mustChange bool) error {
	hash, err := s.hash.hash(ctx, password)
	if err != nil {
		return err
	}
	return s.store.SetPassword(ctx, userID, was, hash, mustChange)
}
