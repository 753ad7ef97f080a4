package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"

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
// command line, so that the shell only has to be told to use it for the links too.
func (a *app) printCompletion(root *cobra.Command, shell string, out io.Writer) error {
	var script bytes.Buffer
	generate := map[string]func() error{
		"bash": func() error { return root.GenBashCompletionV2(&script, true) },
		"zsh":  func() error { return root.GenZshCompletion(&script) },
		"fish": func() error { return root.GenFishCompletion(&script, true) },
	}[shell]
	if err := generate(); err != nil {
		return err
	}
	for _, link := range a.links() {
		for _, line := range registrations(shell, script.String()) {
			script.WriteString(strings.Replace(line, " tg", " "+link, 1) + "\n")
		}
	}
	_, err := script.WriteTo(out)
	return err
}

// registrations are what tells a shell to use the script for tg.
func registrations(shell, script string) (lines []string) {
	switch shell {
	case "bash":
		return []string{"complete -o default -o nospace tg -F __start_tg"}
	case "zsh":
		return []string{"compdef _tg tg"}
	}
	for line := range strings.Lines(script) {
		if strings.HasPrefix(line, "complete ") && strings.Contains(line, " -c tg -n ") {
			lines = append(lines, strings.TrimSuffix(line, "\n"))
		}
	}
	return lines
}
