package iam

import (
	"cmp"
	"context"
	"errors"

	"sluice/codec"
)

// defaultWorkspace is where seeding puts the administrator and where login
// looks when no workspace is named.
const defaultWorkspace = "default"

// login trades a name and a password for a token. However it fails, it takes as
// long as a wrong password, so that account names cannot be found out.
func (s *Service) login(ctx context.Context, r *codec.IAMRequest, ev *event) (*codec.IAMReply, error) {
	ev.target, ev.workspace = r.Username, cmp.Or(r.Workspace, defaultWorkspace)
	switch {
	case r.Username == "":
		return nil, authFailed("username required")
	case r.Password == "":
		return nil, authFailed("password required")
	}
	user, err := s.loginUser(ctx, ev.workspace, r.Username)
	if err != nil {
		return nil, s.failSlowly(ctx, r.Password, err)
	}
	ev.target = user.ID
	if err := s.authenticate(ctx, user, r.Password); err != nil {
		return nil, err
	}
	if ok, err := s.workspaceEnabled(ctx, user.Workspace); err != nil || !ok {
		return nil, cmp.Or[error](err, authFailed("workspace disabled"))
	}
	return s.issueToken(ctx, user)
}

func (s *Service) loginUser(ctx context.Context, workspace, username string) (User, error) {
	id, err := s.store.UserID(ctx, workspace, username)
	if err != nil {
		return User{}, orRefusal(err, errNoUser)
	}
	user, err := s.store.User(ctx, id)
	return user, orRefusal(err, authFailed("user disappeared"))
}

// authenticate checks that a user may be who knows the password.
func (s *Service) authenticate(ctx context.Context, user User, password string) error {
	if !user.Enabled {
		return s.failSlowly(ctx, password, errUserDisabled)
	}
	ok, err := s.hash.check(ctx, password, user.PasswordHash)
	if err != nil {
		return err
	}
	if !ok {
		return errBadCredentials
	}
	return nil
}

// failSlowly returns err after the time that a comparison takes.
func (s *Service) failSlowly(ctx context.Context, password string, err error) error {
	if wasteErr := s.hash.waste(ctx, password); wasteErr != nil {
		return wasteErr
	}
	return err
}

func (s *Service) issueToken(ctx context.Context, user User) (*codec.IAMReply, error) {
	key, _, err := s.signingKeys(ctx)
	if err != nil {
		return nil, err
	}
	private, err := parsePrivateKey(key.PrivatePEM)
	if err != nil {
		return nil, err
	}
	issued := s.now()
	expires := issued.Add(tokenLife)
	token := signToken(claims{
		subject: user.ID, workspace: user.Workspace, roles: user.Roles,
		issued: issued.Unix(), expires: expires.Unix(),
	}, key.KID, private)
	return &codec.IAMReply{JWT: token, JWTExpires: stampSeconds(expires)}, nil
}

// resolveAPIKey tells whose an API key is.
func (s *Service) resolveAPIKey(ctx context.Context, r *codec.IAMRequest, ev *event) (*codec.IAMReply, error) {
	ev.workspace = "" // the request's means nothing here
	if r.APIKey == "" {
		return nil, authFailed("no api key")
	}
	key, err := s.store.APIKey(ctx, hashAPIKey(r.APIKey))
	if err != nil {
		return nil, orRefusal(err, authFailed("unknown api key"))
	}
	ev.target = key.UserID
	if !key.Expires.IsZero() && key.Expires.Before(s.cfg.Clock()) {
		return nil, authFailed("api key expired")
	}
	user, err := s.store.User(ctx, key.UserID)
	if err != nil {
		return nil, orRefusal(err, authFailed("owning user missing"))
	}
	ev.workspace = user.Workspace
	if !user.Enabled {
		return nil, authFailed("owning user disabled")
	}
	if ok, err := s.workspaceEnabled(ctx, user.Workspace); err != nil || !ok {
		return nil, cmp.Or[error](err, authFailed("owning workspace disabled"))
	}
	s.noteUse(&key)
	return &codec.IAMReply{
		ResolvedUserID: user.ID, ResolvedWorkspace: user.Workspace, ResolvedRoles: user.Roles,
	}, nil
}

// workspaceEnabled reports whether a workspace exists and is enabled.
func (s *Service) workspaceEnabled(ctx context.Context, id string) (bool, error) {
	w, err := s.store.Workspace(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil && w.Enabled, err
}

// orRefusal turns ErrNotFound into what the caller is told.
func orRefusal(err error, refusal *codec.ServiceError) error {
	if errors.Is(err, ErrNotFound) {
		return refusal
	}
	return err
}

func (s *Service) signingKeyPublic(ctx context.Context, _ *codec.IAMRequest, _ *event) (*codec.IAMReply, error) {
	text, err := s.publicKeys(ctx)
	if err != nil {
		return nil, err
	}
	return &codec.IAMReply{SigningKeyPublic: text}, nil
}

func (s *Service) rotateSigningKey(ctx context.Context, _ *codec.IAMRequest, ev *event) (*codec.IAMReply, error) {
	key, err := newSigningKey(s.now())
	if err != nil {
		return nil, err
	}
	ev.target = key.KID
	if err := s.store.RotateSigningKey(ctx, key); err != nil {
		return nil, err
	}
	return &codec.IAMReply{}, nil
}
