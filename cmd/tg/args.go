package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// Annotations of flags.
const (
	// additional flags are ours. A prefix means one of TrustGraph's flags first, so
	// that a flag more cannot make a script's abbreviation ambiguous.
	additional = "additional"
	// required flags must be given, unless one of those it lists is.
	required = "required"
)

func isAdditional(f *pflag.Flag) bool { return f.Annotations[additional] != nil }

func isMany(f *pflag.Flag) bool { return f.Value.Type() == "stringArray" }

// parseArgs reads arguments as Python's argparse does, on which scripts for these
// commands rely, and returns them as --name=value for pflag, or just --help. Its
// errors are argparse's.
func parseArgs(flags *pflag.FlagSet, args []string) ([]string, error) {
	words, err := classify(flags, args)
	if err != nil {
		return nil, err
	}
	given := map[string][]string{}
	var extras []string
	for len(words) > 0 {
		w := words[0]
		words = words[1:]
		if w.flag == nil {
			extras = append(extras, w.text)
			continue
		}
		values, err := w.take(words)
		switch {
		case err != nil:
			return nil, err
		case w.help || w.flag.Name == "help":
			return []string{"--help"}, nil
		case !w.bound:
			words = words[len(values):]
		}
		given[w.flag.Name] = values
	}
	if missing := missing(flags, given); len(missing) > 0 {
		return nil, fmt.Errorf("the following arguments are required: %s", strings.Join(missing, ", "))
	}
	if len(extras) > 0 {
		return nil, fmt.Errorf("unrecognized arguments: %s", strings.Join(extras, " "))
	}
	return canonical(flags, given), nil
}

// isSwitch reports whether a flag takes no value.
func isSwitch(f *pflag.Flag) bool { return f.NoOptDefVal != "" }

// spelled is how errors name a flag.
func spelled(f *pflag.Flag) string {
	if f.Shorthand == "" {
		return "--" + f.Name
	}
	return "-" + f.Shorthand + "/--" + f.Name
}

func missing(flags *pflag.FlagSet, given map[string][]string) (names []string) {
	flags.VisitAll(func(f *pflag.Flag) {
		instead, must := f.Annotations[required]
		isGiven := func(name string) bool { return given[name] != nil }
		if must && !isGiven(f.Name) && !slices.ContainsFunc(instead, isGiven) {
			names = append(names, "--"+f.Name)
		}
	})
	return names
}

func canonical(flags *pflag.FlagSet, given map[string][]string) (out []string) {
	flags.VisitAll(func(f *pflag.Flag) {
		if isSwitch(f) && given[f.Name] != nil {
			out = append(out, "--"+f.Name)
			return
		}
		for _, value := range given[f.Name] {
			out = append(out, "--"+f.Name+"="+value)
		}
	})
	return out
}
