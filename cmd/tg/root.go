package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// helpColumns is the width that help texts are wrapped to.
const helpColumns = 110

// commands are those that have a name of their own as a program, in the order of
// the help text.
func (a *app) commands() []*cobra.Command {
	return []*cobra.Command{
		newBootstrap(a), newLogin(a), newChangePassword(a), newWhoami(a),
		newCreateUser(a), newListUsers(a), newGetUser(a), newUpdateUser(a),
		newSwitchUser(a, "disable"), newSwitchUser(a, "enable"), newDeleteUser(a), newResetPassword(a),
		newCreateAPIKey(a), newListAPIKeys(a), newRevokeAPIKey(a),
		newCreateWorkspace(a), newListWorkspaces(a), newListMyWorkspaces(a), newGetWorkspace(a), newUpdateWorkspace(a),
		newDisableWorkspace(a), newEnableWorkspace(a),
		newRotateSigningKey(a),
	}
}

// find returns the command line's root, and the command with its arguments when
// it is one of commands: by the program's name, or by the first argument.
func (a *app) find(name string, args []string) (root, cmd *cobra.Command, rest []string) {
	word, byLink := strings.CutPrefix(name, "tg-")
	if !byLink && len(args) > 0 {
		word, rest = args[0], args[1:]
	}
	root = a.root()
	for _, c := range root.Commands() {
		if c.Name() != word || c.Annotations[builtIn] != "" {
			continue
		}
		if !byLink {
			return root, c, rest
		}
		root.RemoveCommand(c)
		c.Use = "tg-" + c.Use
		c.SilenceErrors, c.SilenceUsage = true, true
		c.SetUsageFunc(printUsage)
		if len(args) > 0 && strings.HasPrefix(args[0], cobra.ShellCompRequestCmd) {
			return c, nil, nil // a shell asks on Tab
		}
		return c, c, args
	}
	return root, nil, nil
}

// builtIn marks commands that are about tg itself.
const builtIn = "built-in"

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "tg",
		Short: "Users, workspaces and API keys of a TrustGraph gateway",
		Long: `Talk to a gateway about users, workspaces and API keys. Results go to standard
output; explanations, prompts' warnings and errors to standard error.

  export TRUSTGRAPH_URL=http://localhost:8088/
  export TRUSTGRAPH_TOKEN=$(tg bootstrap-iam)
  tg create-user --username bob

Every command is also a program: tg-login is tg login. Flags may be shortened as
long as one fits. Passwords and tokens given as arguments can be seen by every
user of the machine: rather have them asked for, or read from a file. A password
that may begin with a dash, as temporary ones do, is bound to its flag, which always
works: --password="$X".

Exit codes: 0 success (also when a deletion is declined), 1 failure, 2 wrong
usage, 130 interrupted.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cobra.EnableCommandSorting = false
	root.SetUsageFunc(printUsage)
	root.AddCommand(a.commands()...)
	for _, c := range []*cobra.Command{newVersion(), newCompletion(a), newMan(), newLinks(a)} {
		c.Annotations = map[string]string{builtIn: "yes"}
		root.AddCommand(c)
	}
	return root
}

// printUsage is the part of --help behind the description.
func printUsage(cmd *cobra.Command) error {
	out := cmd.OutOrStderr()
	fmt.Fprintf(out, "Usage:\n  %s\n", cmd.UseLine())
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(out, "\nCommands:\n")
		for _, c := range cmd.Commands() {
			if c.IsAvailableCommand() {
				fmt.Fprintf(out, "  %-20s %s\n", c.Name(), c.Short)
			}
		}
	}
	options := pflag.NewFlagSet("", pflag.ContinueOnError)
	additional := pflag.NewFlagSet("", pflag.ContinueOnError)
	options.SortFlags, additional.SortFlags = false, false
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if isAdditional(f) {
			additional.AddFlag(f)
		} else {
			options.AddFlag(f)
		}
	})
	fmt.Fprintf(out, "\nOptions:\n%s", options.FlagUsagesWrapped(helpColumns))
	if additional.HasFlags() {
		fmt.Fprintf(out, "\nBeyond TrustGraph's own tool:\n%s", additional.FlagUsagesWrapped(helpColumns))
	}
	return nil
}
