package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// newMan and newLinks are for whoever installs tg.
func newMan() *cobra.Command {
	return &cobra.Command{
		Use:    "man DIR",
		Short:  "Write the manual pages into a directory",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			// Pages for everybody: what stands in this environment is no default.
			bare := &app{lookup: func(string) (string, bool) { return "", false }}
			root := bare.root()
			root.DisableAutoGenTag = true
			if err := doc.GenManTree(root, &doc.GenManHeader{Section: "1", Source: "Sluice"}, args[0]); err != nil {
				return failed{err}
			}
			return nil
		},
	}
}

func newLinks(a *app) *cobra.Command {
	return &cobra.Command{
		Use:    "links",
		Short:  "Print the names that tg answers to",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			for _, name := range a.links() {
				fmt.Fprintln(a.out, name)
			}
			return nil
		},
	}
}

func (a *app) links() (names []string) {
	for _, c := range a.commands() {
		names = append(names, "tg-"+c.Name())
	}
	return names
}

func newCompletion(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|zsh|fish",
		Short: "Print a script that makes a shell complete commands and flags",
		Long: `Print a script for tg and the programs linked to it. To use it at once:

  bash   source <(tg completion bash)
  zsh    source <(tg completion zsh)
  fish   tg completion fish | source`,
		ValidArgs: []string{"bash", "zsh", "fish"},
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.printCompletion(cmd.Root(), args[0], a.out); err != nil {
				return failed{err}
			}
			return nil
		},
	}
}

// printCompletion prints cobra's script. It calls whichever program stands on the
// command line, so that the links only have to be told to use it too.
func (a *app) printCompletion(root *cobra.Command, shell string, out io.Writer) (err error) {
	link := ""
	switch shell {
	case "bash":
		err, link = root.GenBashCompletionV2(out, true), "complete -o default -o nospace -F __start_tg %s\n"
	case "zsh":
		err, link = root.GenZshCompletion(out), "compdef _tg %s\n"
	case "fish":
		err, link = root.GenFishCompletion(out, true), "complete -c %s -f -a '(__tg_prepare_completions; and string join \\n -- $__tg_comp_results)'\n"
	}
	for _, name := range a.links() {
		fmt.Fprintf(out, link, name)
	}
	return err
}
