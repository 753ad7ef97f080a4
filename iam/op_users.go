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
	if ok, err := s.workspaceEnabled(ctx, r.Workspace); err != nil || !ok {
		return nil, cmp.Or[error](err, notFound("workspace not found or disabled"))
	}
	errTaken := duplicate("username already exists")
	// Asked before the hash is paid for; CreateUser decides.
	if _, err := s.store.UserID(ctx, r.Workspace, r.User.Username); !errors.Is(err, ErrNotFound) {
		return nil, cmp.Or[error](err, errTaken)
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
		return nil, invalid("workspace required")
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
	if err := s.setPassword(ctx, user.ID, r.NewPassword, false); err != nil {
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
	if err := s.setPassword(ctx, user.ID, password, true); err != nil {
		return nil, orRefusal(err, errUserNotFound)
	}
	return &codec.IAMReply{TemporaryPassword: password}, nil
}

func (s *Service) setPassword(ctx context.Context, userID, password string, mustChange bool) error {
	hash, err := s.hash.hash(ctx, password)
	if err != nil {
		return err
	}
	return s.store.SetPassword(ctx, userID, hash, mustChange)
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
