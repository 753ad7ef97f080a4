package iam

import (
	"context"
	"errors"

	"sluice/codec"
)

// Admin is the first administrator. APIKey is a secret that is not kept.
type Admin struct{ UserID, APIKey string }

// Bootstrap seeds an empty store, whatever the mode: the workspace `default`, an
// administrator, an API key for it (in token mode the operator's token), and a
// signing key if none is active. It fails with ErrExists when there is a
// workspace already. Several may try at once; one wins.
func (s *Service) Bootstrap(ctx context.Context) (Admin, error) {
	existing, err := s.store.Workspaces(ctx)
	if err != nil {
		return Admin{}, err
	}
	if len(existing) > 0 {
		return Admin{}, ErrExists
	}
	seed, plaintext, err := s.newSeed(ctx)
	if err != nil {
		return Admin{}, err
	}
	if err := s.store.Seed(ctx, seed); err != nil {
		return Admin{}, err
	}
	s.log.Info("IAM seeded", "workspace", seed.Workspace.ID, "admin", seed.Admin.ID)
	return Admin{UserID: seed.Admin.ID, APIKey: plaintext}, nil
}

func (s *Service) newSeed(ctx context.Context) (Seed, string, error) {
	// Nobody knows this password; reset-password makes one that somebody does.
	hash, err := s.hash.hash(ctx, formatPasswordText(randomBytes(adminPasswordBytes)))
	if err != nil {
		return Seed{}, "", err
	}
	now := s.now()
	signing, err := newSigningKey(now)
	if err != nil {
		return Seed{}, "", err
	}
	plaintext := s.cfg.Token
	if plaintext == "" {
		plaintext = formatAPIKey(randomBytes(apiKeyBytes))
	}
	admin := User{
		ID: newUUID(), Workspace: defaultWorkspace, Username: "admin", Name: "Administrator",
		PasswordHash: hash, Roles: []string{"admin"}, Enabled: true, MustChangePassword: true, Created: now,
	}
	return Seed{
		Workspace:  Workspace{ID: defaultWorkspace, Name: "Default", Enabled: true, Created: now},
		Admin:      admin,
		Key:        newAPIKey(plaintext, admin.ID, "bootstrap", now),
		SigningKey: signing,
	}, plaintext, nil
}

// bootstrap does not tell a deployment that has begun from one that does not
// allow it.
func (s *Service) bootstrap(ctx context.Context, _ *codec.IAMRequest, ev *event) (*codec.IAMReply, error) {
	ev.workspace = defaultWorkspace
	if s.cfg.Mode != ModeBootstrap {
		return nil, errMasked
	}
	admin, err := s.Bootstrap(ctx)
	if errors.Is(err, ErrExists) {
		return nil, errMasked
	}
	if err != nil {
		return nil, err
	}
	ev.target = admin.UserID
	return &codec.IAMReply{BootstrapAdminUserID: admin.UserID, BootstrapAdminAPIKey: admin.APIKey}, nil
}
