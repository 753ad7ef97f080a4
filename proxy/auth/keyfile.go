package auth

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"slices"

	"github.com/goccy/go-yaml"
)

// fileKey is one entry of the file of --api-keys, a list in YAML (or JSON, which
// is YAML too) with entries like
//
//	{sha256: 6b3a…, user: ingest, workspace: default, roles: [writer]}
//
// where sha256 is that of the key's text, as printed by
//
//	printf %s "$KEY" | sha256sum
//
// The file holds no secret: the text can't be had from it, provided that it was
// long and random. It must start with "tg_" to be recognised as an API key.
type fileKey struct {
	SHA256    string   `yaml:"sha256"`
	User      string   `yaml:"user"`
	Workspace string   `yaml:"workspace"`
	Roles     []string `yaml:"roles"`
}

func loadAPIKeys(path string) (map[digest]*Identity, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("API keys: %w", err)
	}
	keys, err := parseAPIKeys(text)
	if err != nil {
		return nil, fmt.Errorf("API keys: %s: %w", path, err)
	}
	return keys, nil
}

// parseAPIKeys is strict where IAM is lenient: a misspelt role in a file would
// otherwise be found out by a refused user.
func parseAPIKeys(text []byte) (map[digest]*Identity, error) {
	var list []fileKey
	if err := yaml.UnmarshalWithOptions(text, &list, yaml.Strict()); err != nil {
		return nil, fmt.Errorf("expected a list of keys with sha256, user, workspace and roles: %w", err)
	}
	keys := make(map[digest]*Identity, len(list))
	for i, k := range list {
		key, err := k.digest()
		if err == nil {
			err = k.check()
		}
		if err == nil && keys[key] != nil {
			err = fmt.Errorf("sha256 is that of an earlier key")
		}
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", i+1, err)
		}
		id := NewIdentity(k.User, k.Workspace, k.Roles)
		id.Source = APIKey
		keys[key] = id
	}
	return keys, nil
}

func (k *fileKey) digest() (digest, error) {
	raw, err := hex.DecodeString(k.SHA256)
	if err != nil || len(raw) != sha256.Size {
		return digest{}, fmt.Errorf("sha256 must be %d hexadecimal digits", 2*sha256.Size)
	}
	return digest(raw), nil
}

func (k *fileKey) check() error {
	if k.User == "" {
		return fmt.Errorf("user is missing")
	}
	if k.Workspace == "" {
		return fmt.Errorf("workspace is missing")
	}
	for _, name := range k.Roles {
		if !slices.ContainsFunc(roles, func(r role) bool { return r.name == name }) {
			return fmt.Errorf("unknown role %q: the roles are reader, writer and admin", name)
		}
	}
	return nil
}
