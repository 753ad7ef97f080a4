package main

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/spf13/pflag"
)

// word is one argument, classified before any is used: what looks like a flag is
// never a value.
type word struct {
	text   string
	option bool        // looks like a flag
	flag   *pflag.Flag // the flag it is; nil when there is none
	bound  bool        // value stands in the same argument
	value  string
	help   bool // -h stood in the same argument
	mark   bool // the first --
}

func classify(flags *pflag.FlagSet, args []string) ([]word, error) {
	words := make([]word, len(args))
	for i, arg := range args {
		if arg == "--" {
			words[i] = word{text: arg, mark: true}
			for j := i + 1; j < len(args); j++ {
				words[j] = word{text: args[j]}
			}
			break
		}
		w, err := classifyOne(flags, arg)
		if err != nil {
			return nil, err
		}
		words[i] = w
	}
	return words, nil
}

var negativeNumber = regexp.MustCompile(`^-(\d+|\d*\.\d+)$`)

func classifyOne(flags *pflag.FlagSet, arg string) (word, error) {
	w := word{text: arg}
	if len(arg) < 2 || arg[0] != '-' {
		return w, nil
	}
	var err error
	if arg[1] == '-' {
		err = w.long(flags)
	} else {
		w.short(flags)
	}
	w.option = w.flag != nil || !negativeNumber.MatchString(arg) && !strings.Contains(arg, " ")
	return w, err
}

// long resolves --name, --name=value and prefixes of both.
func (w *word) long(flags *pflag.FlagSet) error {
	name, value, bound := strings.Cut(w.text[2:], "=")
	for _, ours := range []bool{false, true} {
		fits := matching(flags, name, ours)
		if len(fits) > 1 {
			return fmt.Errorf("ambiguous option: %s could match --%s", w.text, strings.Join(fits, ", --"))
		}
		if len(fits) == 1 {
			w.flag, w.value, w.bound = flags.Lookup(fits[0]), value, bound
			return nil
		}
	}
	return nil
}

// matching are the flags that start with prefix, or the one that is it.
func matching(flags *pflag.FlagSet, prefix string, ours bool) (names []string) {
	if f := flags.Lookup(prefix); f != nil && isAdditional(f) == ours {
		return []string{prefix}
	}
	flags.VisitAll(func(f *pflag.Flag) {
		if isAdditional(f) == ours && strings.HasPrefix(f.Name, prefix) {
			names = append(names, f.Name)
		}
	})
	return names
}

// short resolves -u, -uVALUE and -u=VALUE. Behind -h, which takes no value, another
// short flag may follow.
func (w *word) short(flags *pflag.FlagSet) {
	w.flag = flags.ShorthandLookup(w.text[1:2])
	if w.flag == nil {
		return
	}
	w.value, w.bound = strings.TrimPrefix(w.text[2:], "="), len(w.text) > 2
	for isSwitch(w.flag) && w.value != "" {
		next := flags.ShorthandLookup(w.value[:1])
		if next == nil {
			return // an explicit argument of a flag that takes none
		}
		w.flag, w.value, w.help = next, w.value[1:], true
		w.bound = w.value != ""
	}
}

// take returns w's values, of which those that w does not hold itself are at the
// start of rest. One that the flag refuses is an error here already, because argparse
// says so before it says what is missing.
func (w word) take(rest []word) ([]string, error) {
	values, err := w.values(rest)
	if err != nil || isSwitch(w.flag) || isMany(w.flag) {
		return values, err
	}
	if err := w.flag.Value.Set(values[0]); err != nil {
		return nil, fmt.Errorf("argument %s: %w", spelled(w.flag), err)
	}
	return values, nil
}

func (w word) values(rest []word) ([]string, error) {
	switch {
	case isSwitch(w.flag) && w.bound:
		return nil, fmt.Errorf("argument %s: ignored explicit argument '%s'", spelled(w.flag), w.value)
	case isSwitch(w.flag):
		return []string{}, nil
	case w.bound:
		return []string{w.value}, nil
	}
	var values []string
	for _, next := range rest {
		if next.option || next.mark || len(values) == 1 && !isMany(w.flag) {
			break
		}
		values = append(values, next.text)
	}
	switch {
	case len(values) > 0:
		return values, nil
	case isMany(w.flag):
		return nil, fmt.Errorf("argument %s: expected at least one argument", spelled(w.flag))
	}
	return nil, fmt.Errorf("argument %s: expected one argument", spelled(w.flag))
}
