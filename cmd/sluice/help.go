package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// helpColumns is the width that help texts are wrapped to.
const helpColumns = 110

// groupUsage makes cmd's --help list its options under the sections' headings,
// then whatever other flags it has.
func groupUsage(cmd *cobra.Command, sections []section) {
	cmd.SetUsageFunc(func(cmd *cobra.Command) error {
		out := cmd.OutOrStderr()
		fmt.Fprintf(out, "Usage:\n  %s\n", cmd.UseLine())
		listed := map[string]bool{}
		for _, s := range sections {
			group := pflag.NewFlagSet(s.title, pflag.ContinueOnError)
			group.SortFlags = false
			for _, o := range s.options {
				for _, name := range []string{o.name, o.name + "-file", "no-" + o.name} {
					if f := cmd.Flags().Lookup(name); f != nil && !listed[name] {
						listed[name] = true
						group.AddFlag(f)
					}
				}
			}
			fmt.Fprintf(out, "\n%s:\n%s", s.title, group.FlagUsagesWrapped(helpColumns))
		}
		rest := pflag.NewFlagSet("rest", pflag.ContinueOnError)
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if !listed[f.Name] {
				rest.AddFlag(f)
			}
		})
		fmt.Fprintf(out, "\nGeneral:\n%s", rest.FlagUsagesWrapped(helpColumns))
		return nil
	})
}

// configHelp explains the sources once for every command that has them.
var configHelp = strings.TrimSpace(`
Every option is a flag, an environment variable and a key of the YAML file
given with --config (the flag's name without dashes in front). Flags go over
the environment, the environment over the file. An empty variable counts as
not set; unknown keys are errors. Durations are seconds (600) or carry a unit
(10m, 250ms); sizes are bytes or carry a unit (64KiB, 128MiB, 1GiB).
Secrets can also be read from a file (--…-file, …_FILE), which keeps them out
of the process list; they are never printed or logged.
`)
