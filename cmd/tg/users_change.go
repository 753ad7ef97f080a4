package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
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
	enabled := flagYesNo(cmd, "enabled", "whether the user may log in")
	mustChange := flagYesNo(cmd, "must-change-password", "whether the user is asked to change the password")
	changes(cmd, "name", "email", "roles", "enabled", "must-change-password")
	return g.run(cmd, func() error {
		var user object
		if cmd.Flags().Changed("name") {
			user = append(user, member{"name", *name})
		}
		if cmd.Flags().Changed("email") {
			user = append(user, member{"email", *email})
		}
		if cmd.Flags().Changed("roles") {
			user = append(user, member{"roles", *roles})
		}
		user = append(user, member{"enabled", enabled.wanted()}, member{"must_change_password", mustChange.wanted()})
		r, err := g.iam("update-user", member{"user_id", *id}, member{"user", user})
		if err != nil {
			return err
		}
		return g.show(r.object("user"), func() { printUpdated(g.out, r.record.record("user")) })
	})
}

// printUpdated prints a user as TrustGraph does here, and nowhere else.
func printUpdated(out io.Writer, user record) {
	for _, f := range userFields[:len(userFields)-1] { // all but created
		label := f.header
		if label == "must change password" {
			label = "must-change-pw"
		}
		fmt.Fprintf(out, "%-10s: %s\n", label, f.cell(user))
	}
}

// changes are the flags of which an update must have one.
func changes(cmd *cobra.Command, names ...string) {
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error {
		if slices.ContainsFunc(names, cmd.Flags().Changed) {
			return nil
		}
		return unchanged{fmt.Errorf("nothing to change — supply at least one of --%s", strings.Join(names, " / --"))}
	}
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
output. It may begin with a dash. Handed on in a flag, it is understood in any case
when it is bound to the flag: tg login --username bob --password="$X".`)
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
