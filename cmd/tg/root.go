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
		Use:   "tg COMMAND [flags]",
		Short: "Users, workspaces and API keys of a TrustGraph gateway",
		Long: `Talk to a gateway about users, workspaces and API keys. Results go to standard
output; explanations, prompts' warnings and errors to standard error.

  export TRUSTGRAPH_URL=http://localhost:8088/
  export TRUSTGRAPH_TOKEN=$(tg bootstrap-iam)
  tg create-user --username bob

The commands that talk to a gateway are also programs: tg-login is tg login. Flags
may be shortened as long as one fits. Passwords and tokens given as arguments can be
seen by every user of the machine: rather have them asked for, or read from a file.
A password that may begin with a dash, as temporary ones do, is bound to its flag,
which always works: --password="$X".

HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY say which proxy to use. None is
asked for this machine itself: localhost and its addresses.

Exit codes: 0 success (also when a deletion is declined), 1 failure, 2 wrong
usage. Ctrl-C ends a command by SIGINT, which shells show as 130.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetHelpCommand(newHelp())
	cobra.EnableCommandSorting = false
	root.SetUsageFunc(printUsage)
	root.AddCommand(a.commands()...)
	for _, c := range []*cobra.Command{newVersion(), newCompletion(a), newMan(), newLinks(a)} {
		c.Annotations = map[string]string{builtIn: "yes"}
		root.AddCommand(c)
	}
	return root
}

// noCommand refuses arguments of tg itself: they were meant to be a command.
func noCommand(root *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	root.SuggestionsMinimumDistance = 2
	hint := "tg --help lists them all"
	if similar := root.SuggestionsFor(args[0]); len(similar) > 0 {
		hint = "did you mean " + strings.Join(similar, " or ") + "?"
	}
	return fmt.Errorf("unknown command %q: %s", args[0], hint)
}

func newHelp() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Print what --help does",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			about, rest, err := cmd.Root().Find(args)
			if err == nil {
				err = noCommand(cmd.Root(), rest)
			}
			if err != nil {
				return err
			}
			about.InitDefaultHelpFlag()
			return about.Help()
		},
		ValidArgsFunction: func(cmd *cobra.Command, _ []string, prefix string) (names []cobra.Completion, _ cobra.ShellCompDirective) {
			for _, c := range cmd.Root().Commands() {
				if c.IsAvailableCommand() && strings.HasPrefix(c.Name(), prefix) {
					names = append(names, cobra.CompletionWithDesc(c.Name(), c.Short))
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
	}
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
	for _, group := range flagGroups(cmd) {
		fmt.Fprintf(out, "\n%s:\n%s", group.title, group.flags.FlagUsagesWrapped(helpColumns))
	}
	return nil
}

// flagGroup are flags that help texts show together.
type flagGroup struct {
	title string
	flags *pflag.FlagSet
}

func flagGroups(cmd *cobra.Command) (groups []flagGroup) {
	for i, title := range []string{"Options", "Beyond TrustGraph's own tool"} {
		flags := pflag.NewFlagSet("", pflag.ContinueOnError)
		flags.SortFlags = false
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if isAdditional(f) == (i == 1) {
				flags.AddFlag(f)
			}
		})
		if flags.HasFlags() {
			groups = append(groups, flagGroup{title, flags})
		}
	}
	return groups
}
