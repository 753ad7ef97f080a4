package main

import (
	"bytes"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

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

// completeFlags says what Tab offers for a command's arguments: file names only
// where a file is meant, and the words of a flag that takes a few.
func completeFlags(cmd *cobra.Command) {
	cmd.ValidArgsFunction = cobra.NoFileCompletions
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		var words []cobra.Completion
		switch v := f.Value.(type) {
		case *filename:
			return
		case *choice:
			words = v.of
		case *yesOrNo:
			words = []cobra.Completion{"yes", "no"}
		}
		if f.Name == "roles" {
			words = []cobra.Completion{"reader", "writer", "admin"}
		}
		// It fails for flags that do not exist, or were told before.
		_ = cmd.RegisterFlagCompletionFunc(f.Name, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
	})
}
