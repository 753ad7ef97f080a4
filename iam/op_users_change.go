package iam

import (
	"context"
	"errors"

	"sluice/codec"
)

func (s *Service) updateUser(ctx context.Context, r *codec.IAMRequest, ev *event) (*codec.IAMReply, error) {
	ev.target = r.UserID
	in := r.User
	switch {
	case r.Workspace == "":
		return nil, errWorkspaceRequired
	case r.UserID == "":
		return nil, errUserIDRequired
	case in == nil:
		return nil, invalid("user field required")
	case in.Password != "":
		return nil, invalid("password cannot be changed via update-user; use change-password or reset-password")
	}
	user, err := s.userInWorkspace(ctx, r)
	if err != nil {
		return nil, err
	}
	if in.Username != "" && in.Username != user.Username {
		return nil, invalid("username is immutable; create a new user instead")
	}
	if err := checkUserChange(in, user.Roles); err != nil {
		return nil, err
	}
	updated, err := s.store.UpdateUser(ctx, user.ID, userChange(in))
	if err != nil {
		return nil, orChangeRefusal(err, errUserNotFound)
	}
	return &codec.IAMReply{User: new(userRecord(updated))}, nil
}

// userChange keeps what a request leaves out, booleans included: the reference
// would enable the user again.
func userChange(in *codec.IAMUserInput) UserChange {
	c := UserChange{
		Name: given(in.Name), Email: given(in.Email),
		Enabled: givenFlag(in.Enabled), MustChangePassword: givenFlag(in.MustChangePassword),
	}
	if len(in.Roles) > 0 {
		c.Roles = roleSet(in.Roles)
	}
	return c
}

// given is nil for text that is absent, null or empty.
func given(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// givenFlag is nil for a flag that is absent or null.
func givenFlag(f codec.Flag) *bool {
	if f == codec.Absent || f == codec.Null {
		return nil
	}
	return new(f == codec.True)
}

func (s *Service) enableUser(ctx context.Context, r *codec.IAMRequest, ev *event) (*codec.IAMReply, error) {
	return s.changeUser(ctx, r, ev, func(id string) error {
		_, err := s.store.UpdateUser(ctx, id, UserChange{Enabled: new(true)})
		return err
	})
}

func (s *Service) disableUser(ctx context.Context, r *codec.IAMRequest, ev *event) (*codec.IAMReply, error) {
	return s.changeUser(ctx, r, ev, func(id string) error { return s.store.DisableUser(ctx, id) })
}

func (s *Service) deleteUser(ctx context.Context, r *codec.IAMRequest, ev *event) (*codec.IAMReply, error) {
	return s.changeUser(ctx, r, ev, func(id string) error { return s.store.DeleteUser(ctx, id) })
}

// changeUser does something to a user of the request's workspace.
func (s *Service) changeUser(ctx context.Context, r *codec.IAMRequest, ev *event, do func(id string) error) (*codec.IAMReply, error) {
	ev.target = r.UserID
	if r.Workspace == "" {
		return nil, errWorkspaceRequired
	}
	user, err := s.userInWorkspace(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := do(user.ID); err != nil {
		return nil, orChangeRefusal(err, errUserNotFound)
	}
	return &codec.IAMReply{}, nil
}

// orChangeRefusal is orRefusal for changes that may lock everybody out.
func orChangeRefusal(err error, missing *codec.ServiceError) error {
	if errors.Is(err, ErrLastAdmin) {
		return errLastAdmin
	}
	return orRefusal(err, missing)
}
