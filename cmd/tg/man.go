package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
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
			for _, c := range pagesOf(bare.root()) {
				file := strings.ReplaceAll(c.CommandPath(), " ", "-") + ".1"
				if err := os.WriteFile(filepath.Join(args[0], file), []byte(manPage(c)), 0o644); err != nil {
					return failed{err}
				}
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

// manPage is the page of a command in roff.
func manPage(cmd *cobra.Command) string {
	name := strings.ReplaceAll(cmd.CommandPath(), " ", "-")
	var b strings.Builder
	// Without a date: the same program makes the same pages.
	fmt.Fprintf(&b, ".TH %q 1 \"\" Sluice\n.SH NAME\n%s \\- %s\n.SH SYNOPSIS\n%s\n",
		strings.ToUpper(name), roff(name), roff(cmd.Short), roff(cmd.UseLine()))
	if cmd.HasParent() && cmd.Annotations[builtIn] == "" {
		fmt.Fprintf(&b, ".br\n%s\n", roff(strings.Replace(cmd.UseLine(), " ", "-", 1)))
	}
	b.WriteString(".SH DESCRIPTION\n")
	for paragraph := range strings.SplitSeq(cmd.Long, "\n\n") {
		if strings.HasPrefix(paragraph, "  ") {
			fmt.Fprintf(&b, ".PP\n.nf\n%s\n.fi\n", roff(paragraph)) // an example
		} else {
			fmt.Fprintf(&b, ".PP\n%s\n", roff(paragraph))
		}
	}
	cmd.InitDefaultHelpFlag()
	for _, group := range flagGroups(cmd) {
		fmt.Fprintf(&b, ".SH %s\n", strings.ToUpper(group.title))
		group.flags.VisitAll(func(f *pflag.Flag) { b.WriteString(manFlag(f)) })
	}
	b.WriteString(".SH SEE ALSO\n" + seeAlso(cmd) + "\n")
	return b.String()
}

func manFlag(f *pflag.Flag) string {
	spelling := `\fB` + roff("--"+f.Name) + `\fR`
	if f.Shorthand != "" {
		spelling = `\fB` + roff("-"+f.Shorthand) + `\fR, ` + spelling
	}
	value, usage := pflag.UnquoteUsage(f)
	if value != "" {
		spelling += ` \fI` + roff(value) + `\fR`
	}
	switch f.DefValue {
	case "", "false", "[]":
	default:
		usage += " (default " + f.DefValue + ")"
	}
	return fmt.Sprintf(".TP\n%s\n%s\n", spelling, roff(usage))
}

// seeAlso are the other pages that a page names: tg's are all of them.
func seeAlso(cmd *cobra.Command) string {
	if cmd.HasParent() {
		return ".BR tg (1)"
	}
	var pages []string
	for _, c := range pagesOf(cmd)[1:] {
		pages = append(pages, ".BR "+roff("tg-"+c.Name())+" (1)")
	}
	return strings.Join(pages, ",\n")
}

// pagesOf are tg and the commands that have a page.
func pagesOf(root *cobra.Command) []*cobra.Command {
	pages := []*cobra.Command{root}
	for _, c := range root.Commands() {
		if c.IsAvailableCommand() {
			pages = append(pages, c)
		}
	}
	return pages
}

var roffEscapes = strings.NewReplacer(`\`, `\e`, "-", `\-`, "\n.", "\n\\&.", "\n'", "\n\\&'")

// roff is text as roff prints it to the letter.
func roff(text string) string { return roffEscapes.Replace(text) }
