package iam

import (
	"context"
	"errors"
	"time"

	"sluice/codec"
)

func newAPIKey(plaintext, userID, name string, now time.Time) APIKey {
	return APIKey{
		Hash: hashAPIKey(plaintext), ID: newUUID(), UserID: userID, Name: name,
		Prefix: apiKeyPrefix(plaintext), Created: now,
	}
}

func (s *Service) createAPIKey(ctx context.Context, r *codec.IAMRequest, ev *event) (*codec.IAMReply, error) {
	in := r.Key
	switch {
	case r.Workspace == "":
		return nil, invalid("workspace required for create-api-key")
	case in == nil || in.UserID == "":
		return nil, invalid("key.user_id required")
	case in.Name == "":
		return nil, invalid("key.name required")
	}
	ev.target = in.UserID
	if err := checkText("key.name", in.Name, maxNameBytes); err != nil {
		return nil, err
	}
	user, err := s.store.User(ctx, in.UserID)
	if err != nil {
		return nil, orRefusal(err, errUserNotFound)
	}
	if user.Workspace != r.Workspace {
		return nil, notPermitted("target user is in a different workspace")
	}
	plaintext := formatAPIKey(randomBytes(apiKeyBytes))
	key := newAPIKey(plaintext, user.ID, in.Name, s.now())
	if in.Expires != "" {
		expires, err := parseISOTime(in.Expires)
		if err != nil {
			// The reference makes a key that never expires of it.
			return nil, invalid("key.expires is " + err.Error())
		}
		key.Expires = Expiry(expires)
	}
	err = s.store.CreateAPIKey(ctx, key)
	if errors.Is(err, ErrDisabled) {
		return nil, notPermitted("target user is disabled")
	}
	if err != nil {
		return nil, orRefusal(err, errUserNotFound)
	}
	return &codec.IAMReply{APIKeyPlaintext: plaintext, APIKey: new(keyRecord(key))}, nil
}

func (s *Service) listAPIKeys(ctx context.Context, r *codec.IAMRequest, _ *event) (*codec.IAMReply, error) {
	switch {
	case r.Workspace == "":
		return nil, invalid("workspace required for list-api-keys")
	case r.UserID == "":
		return nil, invalid("user_id required for list-api-keys")
	}
	errNone := notFound("user not found in workspace")
	user, err := s.store.User(ctx, r.UserID)
	if err != nil {
		return nil, orRefusal(err, errNone)
	}
	if user.Workspace != r.Workspace {
		return nil, errNone
	}
	keys, err := s.store.APIKeys(ctx, user.ID)
	if err != nil {
		return nil, err
	}
	return &codec.IAMReply{APIKeys: mapSlice(keys, keyRecord)}, nil
}

func (s *Service) revokeAPIKey(ctx context.Context, r *codec.IAMRequest, ev *event) (*codec.IAMReply, error) {
	ev.target = r.KeyID
	switch {
	case r.Workspace == "":
		return nil, invalid("workspace required for revoke-api-key")
	case r.KeyID == "":
		return nil, invalid("key_id required")
	}
	key, err := s.store.APIKeyByID(ctx, r.KeyID)
	if err != nil {
		return nil, orRefusal(err, errKeyNotFound)
	}
	errForeign := notPermitted("key belongs to a different workspace")
	owner, err := s.store.User(ctx, key.UserID)
	if err != nil {
		return nil, orRefusal(err, errForeign)
	}
	if owner.Workspace != r.Workspace {
		return nil, errForeign
	}
	if err := s.store.DeleteAPIKey(ctx, key.Hash); err != nil {
		return nil, orRefusal(err, errKeyNotFound)
	}
	return &codec.IAMReply{}, nil
}

// keyRecord is what callers see of an API key.
func keyRecord(k APIKey) codec.IAMAPIKey {
	return codec.IAMAPIKey{
		ID: k.ID, UserID: k.UserID, Name: k.Name, Prefix: k.Prefix,
		Expires: stamp(k.Expires), Created: stamp(k.Created), LastUsed: stamp(k.LastUsed),
	}
}
