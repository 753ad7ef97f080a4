package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

var userColumns = []column{
	{"id", plain("id")},
	{"username", plain("username")},
	{"name", plain("name")},
	{"roles", joined("roles")},
	{"enabled", yesNo("enabled")},
	{"change-pw", yesNo("must_change_password")},
}

// userFields are all that is known of one user.
var userFields = []column{
	{"id", plain("id")},
	{"username", plain("username")},
	{"name", plain("name")},
	{"email", plain("email")},
	{"workspace", plain("workspace")},
	{"roles", joined("roles")},
	{"enabled", yesNo("enabled")},
	{"must change password", yesNo("must_change_password")},
	{"created", plain("created")},
}

func newWhoami(a *app) *cobra.Command {
	cmd, g := a.command("whoami", "Show who a token belongs to",
		`Show the user whose token is used, as the gateway sees them.`)
	g.withToken(cmd)
	return g.run(cmd, func() error {
		r, err := g.iam("whoami")
		if err != nil {
			return err
		}
		return g.showUser(r)
	})
}

func (g *gateway) showUser(r *reply) error {
	return g.show(r.object("user"), func() { printFields(g.out, "user", userFields, r.record.record("user")) })
}

func newCreateUser(a *app) *cobra.Command {
	cmd, g := a.command("create-user --username NAME", "Create a user and print their id",
		`Create a user and print their id. The roles are reader, writer and admin; give
several as words: --roles reader writer.`)
	g.withToken(cmd)
	g.withWorkspace(cmd)
	username := requiredFlag(cmd, "username", "`name` to log in with; it cannot be changed later")
	password := secretFlag(cmd, "password", "the user's `password`", nil)
	name := cmd.Flags().String("name", "", "full `name` (default: the username)")
	email := cmd.Flags().String("email", "", "e-mail `address`")
	roles := cmd.Flags().StringArray("roles", []string{"reader"}, "one or more `roles`, separated by blanks")
	mustChange := cmd.Flags().Bool("must-change-password", false, "ask the user to change the password")
	return g.run(cmd, func() error {
		secret, err := password.read(a, fmt.Sprintf("Password for new user %s: ", *username), "The same password again: ")
		if err != nil {
			return err
		}
		user := object{{"username", *username}, {"password", secret}, {"roles", *roles}}
		user = user.with("name", *name).with("email", *email)
		if *mustChange {
			user = append(user, member{"must_change_password", true})
		}
		r, err := g.iam("create-user", member{"user", user})
		if err != nil {
			return err
		}
		return g.show(r.object("user"), func() {
			made := r.record.record("user")
			fmt.Fprintf(g.err, "User id: %s\nUsername: %s\nRoles: %s\n",
				made.text("id"), made.text("username"), strings.Join(made.texts("roles"), ", "))
			fmt.Fprintln(g.out, made.text("id"))
		})
	})
}

func newListUsers(a *app) *cobra.Command {
	cmd, g := a.command("list-users", "List the users of a workspace",
		`List the users of a workspace, the disabled ones too.`)
	g.withToken(cmd)
	g.withWorkspace(cmd)
	return g.run(cmd, func() error { return g.showList("list-users", "users", userColumns, "No users.") })
}

// showList prints what a list operation returns under key.
func (g *gateway) showList(operation, key string, columns []column, none string, members ...member) error {
	r, err := g.iam(operation, members...)
	if err != nil {
		return err
	}
	list, err := r.list(key)
	if err != nil {
		return err
	}
	document := r.record[key]
	if len(list) == 0 {
		document = json.RawMessage("[]")
	}
	return g.show(document, func() {
		if len(list) == 0 {
			fmt.Fprintln(g.out, none)
			return
		}
		printTable(g.out, columns, list)
	})
}

func newGetUser(a *app) *cobra.Command {
	cmd, g := a.command("get-user --user-id ID", "Show one user", `Show all that is known of a user.`)
	g.withToken(cmd)
	g.withWorkspace(cmd)
	id := requiredFlag(cmd, "user-id", "`id` of the user")
	return g.run(cmd, func() error {
		r, err := g.iam("get-user", member{"user_id", *id})
		if err != nil {
			return err
		}
		return g.showUser(r)
	})
}
