package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
)

var keyColumns = []column{
	{"id", plain("id")},
	{"name", plain("name")},
	{"prefix", plain("prefix")},
	{"created", plain("created")},
	{"last used", or("last_used", "—")},
	{"expires", or("expires", "never")},
}

// owner is the user whose keys a command is about.
type owner struct {
	userID string
	self   bool
}

func ownerFlags(cmd *cobra.Command) *owner {
	o := &owner{}
	cmd.Flags().StringVar(&o.userID, "user-id", "", "`id` of the user")
	cmd.Flags().Lookup("user-id").Annotations = map[string][]string{required: {"self"}}
	cmd.Flags().BoolVar(&o.self, "self", false, "the user whose token is used")
	ours(cmd, "self")
	cmd.MarkFlagsMutuallyExclusive("user-id", "self")
	return o
}

// resolve returns the user's id.
func (o *owner) resolve(g *gateway) (string, error) {
	if !o.self {
		return o.userID, nil
	}
	r, err := g.ask(pathIAM, object{{"operation", "whoami"}})
	if err != nil {
		return "", err
	}
	id := r.record.record("user").text("id")
	if id == "" {
		return "", errors.New("the gateway does not say whose token this is")
	}
	return id, nil
}

func newCreateAPIKey(a *app) *cobra.Command {
	cmd, g := a.command("create-api-key (--user-id ID | --self) --name NAME", "Create an API key and print it",
		`Create an API key for a user, or with --self for yourself. It is shown once, on
standard output. Without --expires it never expires; a date or time is ISO 8601,
midnight unless it says otherwise, and in UTC unless it has an offset:
2099-12-31, 2099-12-31T12:00:00+01:00.`)
	g.withToken(cmd)
	g.withWorkspace(cmd)
	user := ownerFlags(cmd)
	name := requiredFlag(cmd, "name", "`name` to recognise the key by")
	expires := cmd.Flags().String("expires", "", "date or `time` from which on the key is not valid")
	return g.run(cmd, func() error {
		if *expires != "" && !isISOTime(*expires) {
			// The service of the contract would make a key that never expires of it.
			return fmt.Errorf("--expires %s is not an ISO 8601 date or time such as 2099-12-31", *expires)
		}
		id, err := user.resolve(g)
		if err != nil {
			return err
		}
		key := object{{"user_id", id}, {"name", *name}}.with("expires", *expires)
		r, err := g.iam("create-api-key", member{"key", key})
		if err != nil {
			return err
		}
		return g.show(r.raw, func() {
			made := r.record.record("api_key")
			fmt.Fprintf(g.err, "Key id: %s\nName: %s\nPrefix: %s\nAPI key (shown once, capture now):\n",
				made.text("id"), made.text("name"), made.text("prefix"))
			fmt.Fprintln(g.out, r.text("api_key_plaintext"))
		})
	})
}

func newListAPIKeys(a *app) *cobra.Command {
	cmd, g := a.command("list-api-keys (--user-id ID | --self)", "List a user's API keys",
		`List the API keys of a user, or with --self your own. Expired ones are listed
too. The keys themselves cannot be shown again.`)
	g.withToken(cmd)
	g.withWorkspace(cmd)
	user := ownerFlags(cmd)
	return g.run(cmd, func() error {
		id, err := user.resolve(g)
		if err != nil {
			return err
		}
		return g.showList("list-api-keys", "api_keys", keyColumns, "No keys.", member{"user_id", id})
	})
}

func newRevokeAPIKey(a *app) *cobra.Command {
	cmd, g := a.command("revoke-api-key --key-id ID", "Delete an API key",
		`Delete an API key. Gateways may honour it for up to a minute more. With --self
it is deleted only if it is one of your own.`)
	g.withToken(cmd)
	g.withWorkspace(cmd)
	id := requiredFlag(cmd, "key-id", "`id` of the key")
	user := &owner{}
	cmd.Flags().BoolVar(&user.self, "self", false, "refuse if the key is not one of your own")
	ours(cmd, "self")
	return g.run(cmd, func() error {
		if err := user.mustOwn(g, *id); err != nil {
			return err
		}
		r, err := g.iam("revoke-api-key", member{"key_id", *id})
		if err != nil {
			return err
		}
		return g.done(r, "Revoked key %s", *id)
	})
}

// mustOwn fails when only one's own keys are meant and this is none of them.
func (o *owner) mustOwn(g *gateway, keyID string) error {
	if !o.self {
		return nil
	}
	id, err := o.resolve(g)
	if err != nil {
		return err
	}
	r, err := g.iam("list-api-keys", member{"user_id", id})
	if err != nil {
		return err
	}
	keys, err := r.list("api_keys")
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(keys, func(k record) bool { return k.text("id") == keyID }) {
		return fmt.Errorf("key %s is not one of your own", keyID)
	}
	return nil
}
