package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"
)

func newBootstrap(a *app) *cobra.Command {
	cmd, g := a.command("bootstrap-iam", "Create the first administrator and print their API key",
		`Create the workspace default, an administrator and their API key in an IAM
service that was started in bootstrap mode and never bootstrapped. The key is
shown once, on standard output. No token is sent.`)
	return g.run(cmd, func() error {
		r, err := g.bootstrap()
		if err != nil {
			return err
		}
		return g.show(r.raw, func() {
			fmt.Fprintf(g.err, "Admin user id: %s\n", r.text("bootstrap_admin_user_id"))
			fmt.Fprintln(g.err, "Admin API key (shown once, capture now):")
			fmt.Fprintln(g.out, r.text("bootstrap_admin_api_key"))
		})
	})
}

// bootstrap has error texts of its own.
func (g *gateway) bootstrap() (*reply, error) {
	status, raw, err := g.post(pathBootstrap, object{})
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, fmt.Errorf("HTTP %d: %s", status, raw)
	}
	var r record
	if json.Unmarshal(raw, &r) != nil || r == nil {
		return nil, notJSON(raw)
	}
	if refusal, ok := r["error"]; ok {
		return nil, fmt.Errorf("IAM %s", errorText(refusal))
	}
	if !r.yes("bootstrap_admin_api_key") {
		return nil, errors.New("IAM response did not contain a bootstrap token — the service may already be bootstrapped, or may be running in token mode.")
	}
	return &reply{r, raw}, nil
}

func newLogin(a *app) *cobra.Command {
	cmd, g := a.command("login --username NAME", "Log in with a password and print a JWT",
		`Print a JWT for a user and their password, and on standard error when it
expires. Without -w it is a user of the workspace named default that logs in;
users of other workspaces must name theirs.`)
	username := requiredFlag(cmd, "username", "`name` of the user")
	password := secretFlag(cmd, "password", "the user's `password`", nil)
	cmd.Flags().StringVarP(&g.workspace, "workspace", "w", "", "`workspace` of the user (default: the one named default)")
	return g.run(cmd, func() error {
		secret, err := password.read(a, fmt.Sprintf("Password for %s: ", *username), "")
		if err != nil {
			return err
		}
		body := object{{"username", *username}, {"password", secret}}
		r, err := g.ask(pathLogin, body.with("workspace", g.workspace))
		if err != nil {
			return err
		}
		return g.show(r.raw, func() {
			if r.yes("jwt_expires") {
				fmt.Fprintf(g.err, "JWT expires: %s\n", r.text("jwt_expires"))
			}
			fmt.Fprintln(g.out, r.text("jwt"))
		})
	})
}

func newChangePassword(a *app) *cobra.Command {
	cmd, g := a.command("change-password", "Change your own password",
		`Change the password of the user whose token is used. The token may be a JWT or
an API key; both stay valid.`)
	g.withToken(cmd)
	current := secretFlag(cmd, "current", "your current `password`", nil)
	next := secretFlag(cmd, "new", "your new `password`", current.stdin)
	return g.run(cmd, func() error {
		was, err := current.read(a, "Current password: ", "")
		if err != nil {
			return err
		}
		will, err := next.read(a, "New password: ", "New password again: ")
		if err != nil {
			return err
		}
		r, err := g.ask(pathChangePassword, object{{"current_password", was}, {"new_password", will}})
		if err != nil {
			return err
		}
		return g.done(r, "Password changed.")
	})
}

func newRotateSigningKey(a *app) *cobra.Command {
	cmd, g := a.command("rotate-signing-key", "Have new JWTs signed by a new key",
		`Retire the key that signs JWTs and sign with a new one from now on.`)
	g.withToken(cmd)
	return g.run(cmd, func() error {
		r, err := g.iam("rotate-signing-key")
		if err != nil {
			return err
		}
		return g.done(r, "Signing key rotated.")
	})
}
