package auth

import (
	"errors"
	"fmt"
	"log/slog"

	"sluice/codec"
)

var errNoIAM = errors.New("no IAM service is configured")

// ownsKey looks for a key among those of the identity. A key that is not there may
// be anybody's, so it is not theirs.
func (t *RoleTable) ownsKey(id *Identity, keyID string) (bool, error) {
	keys, err := t.keysOf(id)
	if err != nil {
		slog.Warn("API keys of a user could not be listed", "user", id.UserID, "error", err)
		return false, ErrUnavailable
	}
	for i := range keys {
		// IAM answers for one user, but the decision rests on what it says of
		// the key, not on what it was asked.
		if keys[i].ID == keyID && keys[i].UserID == id.UserID {
			return true, nil
		}
	}
	return false, nil
}

func (t *RoleTable) keysOf(id *Identity) ([]codec.IAMAPIKey, error) {
	if t.iam == nil {
		return nil, errNoIAM
	}
	request, err := codec.MarshalIAMRequest(&codec.IAMRequest{
		Operation: "list-api-keys",
		Workspace: id.Workspace,
		Actor:     id.UserID,
		UserID:    id.UserID,
	})
	if err != nil {
		return nil, fmt.Errorf("writing the request failed: %w", err)
	}
	answer, err := t.iam.Ask(request)
	if err != nil {
		return nil, err
	}
	reply, err := codec.ParseIAMReply(answer)
	if err != nil {
		return nil, err
	}
	switch {
	case reply.Error == nil:
		return reply.APIKeys, nil
	case reply.Error.Type == "not-found":
		return nil, nil // the user is gone, and the keys with it
	}
	return nil, reply.Error
}
