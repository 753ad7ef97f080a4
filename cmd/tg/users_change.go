package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

func newUpdateUser(a *app) *cobra.Command {
	cmd, g := a.command("update-user --user-id ID", "Change a user's name, e-mail address, roles or flags",
		`Change what is given and keep the rest. The roles given replace the ones the
user has. Name and e-mail address cannot be emptied, the username cannot be
changed. --enabled no keeps the user's API keys, which work again when the user is
enabled; disable-user deletes them.`)
	g.withToken(cmd)
	g.withWorkspace(cmd)
	id := requiredFlag(cmd, "user-id", "`id` of the user")
	name := cmd.Flags().String("name", "", "full `name`")
	email := cmd.Flags().String("email", "", "e-mail `address`")
	roles := cmd.Flags().StringArray("roles", nil, "one or more `roles`, separated by blanks")
	enabled := flagYesNo(cmd, "enabled", "whether the user may log in: `yes|no`")
	mustChange := flagYesNo(cmd, "must-change-password", "whether the user is asked to change the password: `yes|no`")
	cmd.MarkFlagsOneRequired("name", "email", "roles", "enabled", "must-change-password")
	return g.run(cmd, func() error {
		user := object(nil).with("name", *name).with("email", *email)
		if len(*roles) > 0 {
			user = append(user, member{"roles", *roles})
		}
		user = append(user, member{"enabled", enabled.wanted()}, member{"must_change_password", mustChange.wanted()})
		r, err := g.iam("update-user", member{"user_id", *id}, member{"user", user})
		if err != nil {
			return err
		}
		return g.show(r.object("user"), func() { fmt.Fprintf(g.out, "Updated user %s\n", *id) })
	})
}

func flagYesNo(cmd *cobra.Command, name, usage string) *choice {
	c := &choice{of: []string{"yes", "no"}}
	cmd.Flags().Var(c, name, usage)
	return c
}

// wanted is the value for an update. Null keeps what is stored; a flag left out
// would count as true or false.
func (c *choice) wanted() any {
	if c.value == "" {
		return nil
	}
	return c.value == "yes"
}

// newSwitchUser is disable-user or enable-user.
func newSwitchUser(a *app, verb string) *cobra.Command {
	short, long := "Enable a user", `Enable a user. API keys that were deleted when the user was disabled stay gone.`
	if verb == "disable" {
		short, long = "Disable a user and delete their API keys", `Disable a user and delete their API keys.`
	}
	cmd, g := a.command(verb+"-user --user-id ID", short, long)
	g.withToken(cmd)
	g.withWorkspace(cmd)
	id := requiredFlag(cmd, "user-id", "`id` of the user")
	return g.run(cmd, func() error {
		r, err := g.iam(verb+"-user", member{"user_id", *id})
		if err != nil {
			return err
		}
		return g.done(r, "%sd user %s", strings.ToUpper(verb[:1])+verb[1:], *id)
	})
}

func newDeleteUser(a *app) *cobra.Command {
	cmd, g := a.command("delete-user --user-id ID", "Delete a user and their API keys",
		`Delete a user and their API keys, for ever. It asks first, on standard output,
unless --yes is given; any answer but yes changes nothing, with exit code 0.`)
	g.withToken(cmd)
	g.withWorkspace(cmd)
	id := requiredFlag(cmd, "user-id", "`id` of the user")
	sure := cmd.Flags().Bool("yes", false, "do not ask")
	return g.run(cmd, func() error {
		if !*sure {
			confirmed, err := g.confirm(fmt.Sprintf("Delete user %s?  This is irreversible. [type 'yes' to confirm]: ", *id))
			if err != nil || !confirmed {
				return err
			}
		}
		r, err := g.iam("delete-user", member{"user_id", *id})
		if err != nil {
			return err
		}
		return g.done(r, "Deleted user %s", *id)
	})
}

// confirm asks for a yes. Where standard output is to be JSON, it asks elsewhere.
func (g *gateway) confirm(question string) (bool, error) {
	to := io.Writer(g.out)
	if g.json {
		to = g.err
	}
	fmt.Fprint(to, question)
	answer, err := g.readLine(errors.New("EOF when reading a line"))
	if err != nil {
		return false, err
	}
	if strings.TrimSpace(answer) != "yes" {
		fmt.Fprintln(to, "Aborted.")
		return false, nil
	}
	return true, nil
}

func newResetPassword(a *app) *cobra.Command {
	cmd, g := a.command("reset-password --user-id ID", "Replace a user's password by a temporary one and print it",
		`Replace a user's password by a temporary one, which is shown once, on standard
output.`)
	g.withToken(cmd)
	g.withWorkspace(cmd)
	id := requiredFlag(cmd, "user-id", "`id` of the user")
	return g.run(cmd, func() error {
		r, err := g.iam("reset-password", member{"user_id", *id})
		if err != nil {
			return err
		}
		if !r.yes("temporary_password") {
			return errors.New("IAM returned no temporary password — unexpected")
		}
		return g.show(r.raw, func() {
			fmt.Fprintln(g.err, "Temporary password (shown once, capture now):")
			fmt.Fprintln(g.out, r.text("temporary_password"))
		})
	})
}
