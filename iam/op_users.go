package iam

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"sluice/codec"
)

func (s *Service) createUser(ctx context.Context, r *codec.IAMRequest, ev *event) (*codec.IAMReply, error) {
	switch {
	case r.Workspace == "":
		return nil, invalid("workspace required for create-user")
	case r.User == nil:
		return nil, invalid("user field required for create-user")
	case r.User.Username == "":
		return nil, invalid("user.username required")
	case r.User.Password == "":
		return nil, invalid("user.password required")
	}
	ev.target = r.User.Username
	if err := checkNewUser(r.User); err != nil {
		return nil, err
	}
	if ok, err := s.workspaceEnabled(ctx, r.Workspace); err != nil || !ok {
		return nil, cmp.Or[error](err, notFound("workspace not found or disabled"))
	}
	errTaken := duplicate("username already exists")
	// Asked before the hash is paid for; CreateUser decides.
	if _, err := s.store.UserID(ctx, r.Workspace, r.User.Username); !errors.Is(err, ErrNotFound) {
		return nil, cmp.Or[error](err, errTaken)
	}
	if err := s.checkPassword("user.password", r.User.Password); err != nil {
		return nil, err
	}
	hash, err := s.hash.hash(ctx, r.User.Password)
	if err != nil {
		return nil, err
	}
	user := newUser(r, hash)
	user.Created = s.now()
	if err := s.store.CreateUser(ctx, user); err != nil {
		if errors.Is(err, ErrExists) {
			return nil, errTaken
		}
		return nil, err
	}
	ev.target = user.ID
	return &codec.IAMReply{User: new(userRecord(user))}, nil
}

func newUser(r *codec.IAMRequest, hash string) User {
	in := r.User
	return User{
		ID:                 newUUID(),
		Workspace:          r.Workspace,
		Username:           in.Username,
		Name:               cmp.Or(in.Name, in.Username),
		Email:              in.Email,
		PasswordHash:       hash,
		Roles:              roleSet(in.Roles),
		Enabled:            in.Enabled.Or(true),
		MustChangePassword: in.MustChangePassword.Or(false),
	}
}

// roleSet sorts roles and drops repetitions.
func roleSet(roles []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(roles)))
}

func (s *Service) listUsers(ctx context.Context, r *codec.IAMRequest, _ *event) (*codec.IAMReply, error) {
	if r.Workspace == "" {
		return nil, invalid("workspace required for list-users")
	}
	users, err := s.store.Users(ctx, r.Workspace)
	if err != nil {
		return nil, err
	}
	return &codec.IAMReply{Users: mapSlice(users, userRecord)}, nil
}

func (s *Service) getUser(ctx context.Context, r *codec.IAMRequest, _ *event) (*codec.IAMReply, error) {
	if r.Workspace == "" {
		return nil, errWorkspaceRequired
	}
	user, err := s.userInWorkspace(ctx, r)
	if err != nil {
		return nil, err
	}
	return &codec.IAMReply{User: new(userRecord(user))}, nil
}

// userInWorkspace reads the user that a request names, for operations that may
// touch users of the request's workspace only.
func (s *Service) userInWorkspace(ctx context.Context, r *codec.IAMRequest) (User, error) {
	if r.UserID == "" {
		return User{}, errUserIDRequired
	}
	user, err := s.store.User(ctx, r.UserID)
	if err != nil {
		return User{}, orRefusal(err, errUserNotFound)
	}
	if user.Workspace != r.Workspace {
		return User{}, notPermitted("user is in a different workspace")
	}
	return user, nil
}

// userRecord is what callers see of a user.
func userRecord(u User) codec.IAMUser {
	return codec.IAMUser{
		ID: u.ID, Workspace: u.Workspace, Username: u.Username, Name: u.Name, Email: u.Email,
		Roles: u.Roles, Enabled: u.Enabled, MustChangePassword: u.MustChangePassword, Created: stamp(u.Created),
	}
}

func mapSlice[A, B any](in []A, f func(A) B) []B {
	out := make([]B, len(in))
	for i, a := range in {
		out[i] = f(a)
	}
	return out
}
