package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/spf13/pflag"
)

// maxSecretBytes bounds a secret's file, so that a wrong path cannot hang or
// bloat the start.
const maxSecretBytes = 64 << 10

// loader fills a Config from its sources. Values are recorded as text first and
// applied source by source, so that precedence is decided in one place and no
// error message can quote a value.
type loader struct {
	sections []section
	given    map[string][]string // option name → texts from the command line
	lookup   func(string) (string, bool)
	ignored  []string // names of ignored options that were set anywhere
	origins  map[string]origin
}

// origin is where an option's value came from.
type origin struct {
	label string // for messages; empty for a default
	place place
}

// place is a kind of source.
type place int

const (
	inFile place = iota
	inEnvironment
	inArguments
)

// newLoader declares the options as flags. lookup is os.LookupEnv, or a test's.
func newLoader(sections []section, flags *pflag.FlagSet, lookup func(string) (string, bool)) *loader {
	l := &loader{sections: sections, given: map[string][]string{}, origins: map[string]origin{}, lookup: lookup}
	for _, s := range sections {
		for i := range s.options {
			l.declare(flags, &s.options[i])
		}
	}
	return l
}

func (l *loader) declare(flags *pflag.FlagSet, o *option) {
	value := o.value
	if o.secret {
		value = secretValue{o.value}
		flags.Var(&recorder{l: l, name: o.name + "-file", kind: text(new(string))}, o.name+"-file",
			fmt.Sprintf("`file` that holds it instead (env %s_FILE)", o.variable()))
	}
	f := flags.VarPF(&recorder{l: l, name: o.name, kind: value}, o.name, o.short, fmt.Sprintf("%s (env %s)", o.help, o.variable()))
	if o.secret {
		f.DefValue = "" // a default password is still a password
	}
	if isBool(o.value) {
		f.NoOptDefVal = "true"
	}
	if o.off {
		help := "the opposite of --" + o.name
		if !isBool(o.value) {
			help = "the same as --" + o.name + "=none"
		}
		flags.VarPF(&recorder{l: l, name: o.name, kind: boolValue{new(bool), false}, negate: true}, "no-"+o.name, "", help).NoOptDefVal = "true"
	}
}

func isBool(v pflag.Value) bool {
	_, ok := v.(boolValue)
	return ok
}

// recorder is the pflag.Value of every option: it keeps the text for later.
type recorder struct {
	l      *loader
	name   string
	kind   pflag.Value // for help: default and type
	negate bool
}

func (r *recorder) String() string {
	if r.kind == nil {
		return "" // pflag asks a zero value for its text
	}
	return r.kind.String()
}

func (r *recorder) Type() string { return r.kind.Type() }

func (r *recorder) Set(s string) error {
	if r.negate {
		on, err := parseBool(s)
		if err != nil {
			return err
		}
		s = fmt.Sprint(!on)
	}
	r.l.given[r.name] = append(r.l.given[r.name], s)
	return nil
}

// source is one place that values come from.
type source struct {
	// texts returns what the source says under a key, nil for nothing.
	texts func(o *option, file bool) []string
	// label names the place in error messages.
	label func(o *option, file bool) string
	place place
}

// load applies flags over environment over the YAML file (if file is not
// empty). Any error is the user's and names where the bad value came from.
func (l *loader) load(file string) error {
	values := map[string][]string{}
	if file != "" {
		var err error
		if values, err = readYAML(file, l.knows); err != nil {
			return err
		}
	}
	sources := []source{l.flagSource(), l.envSource(), fileSource(file, values)}
	for _, s := range l.sections {
		for i := range s.options {
			if err := l.apply(&s.options[i], sources); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *loader) apply(o *option, sources []source) error {
	for _, s := range sources {
		label, err := applySource(o, s)
		if err != nil {
			return err
		}
		if label == "" {
			continue
		}
		l.origins[o.name] = origin{label, s.place}
		if o.ignored {
			l.ignored = append(l.ignored, o.name)
		}
		return nil
	}
	return nil
}

// applySource sets o to what s says, and returns where that stood; "" where s says
// nothing.
func applySource(o *option, s source) (string, error) {
	texts, label := s.texts(o, false), s.label(o, false)
	if o.secret {
		if path := s.texts(o, true); path != nil {
			if texts != nil {
				return "", fmt.Errorf("%s and %s exclude each other", label, s.label(o, true))
			}
			label = s.label(o, true)
			secret, err := readSecret(path[len(path)-1])
			if err != nil {
				return "", fmt.Errorf("%s: %w", label, err)
			}
			texts = []string{secret}
		}
	}
	for _, t := range texts {
		if err := o.value.Set(t); err != nil {
			if o.secret {
				err = errors.New("is not valid")
			}
			return "", fmt.Errorf("%s: %w", label, err)
		}
	}
	if texts == nil {
		return "", nil
	}
	return label, nil
}

func (l *loader) flagSource() source {
	return source{
		texts: func(o *option, file bool) []string { return l.given[o.key(file)] },
		label: func(o *option, file bool) string { return "--" + o.key(file) },
		place: inArguments,
	}
}

// envSource reads variables. An empty one counts as not set: compose files pass
// them on when nobody filled them in. So does a port that is a URL: Kubernetes
// sets SLUICE_PORT=tcp://… and RABBITMQ_PORT=tcp://… in every pod beside services
// of those names.
func (l *loader) envSource() source {
	name := func(o *option, file bool) string {
		suffix := ""
		if file {
			suffix = "_FILE"
		}
		if ours, _ := l.lookup(o.variable() + suffix); ours == "" && o.later != "" {
			if theirs, _ := l.lookup(o.later + suffix); theirs != "" {
				return o.later + suffix
			}
		}
		return o.variable() + suffix
	}
	return source{
		texts: func(o *option, file bool) []string {
			v, _ := l.lookup(name(o, file))
			if v == "" || strings.HasSuffix(o.name, "port") && strings.HasPrefix(v, "tcp://") {
				return nil
			}
			return []string{v}
		},
		label: func(o *option, file bool) string { return "environment variable " + name(o, file) },
		place: inEnvironment,
	}
}

func fileSource(path string, values map[string][]string) source {
	return source{
		texts: func(o *option, file bool) []string { return values[o.key(file)] },
		label: func(o *option, file bool) string { return path + ": " + o.key(file) },
	}
}

// key is the option's name in flags and file, of its -file twin if file is set.
func (o *option) key(file bool) string {
	if file {
		return o.name + "-file"
	}
	return o.name
}

// knows reports whether key may stand in the file.
func (l *loader) knows(key string) bool {
	return slices.ContainsFunc(l.sections, func(s section) bool {
		return slices.ContainsFunc(s.options, func(o option) bool {
			return key == o.name || o.secret && key == o.key(true)
		})
	})
}

func readSecret(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSecretBytes+1))
	if err != nil {
		return "", err
	}
	if len(b) > maxSecretBytes {
		return "", fmt.Errorf("%s is larger than %d bytes", path, maxSecretBytes)
	}
	secret := strings.TrimRight(string(b), "\r\n")
	if secret == "" {
		return "", fmt.Errorf("%s is empty", path)
	}
	return secret, nil
}

// readYAML reads a flat mapping of option names to scalars or lists of scalars.
// Scalars are taken as spelled: a password 0123 stays 0123. Unknown and repeated
// keys are errors; no error quotes the file, which may hold secrets.
func readYAML(path string, known func(string) bool) (map[string][]string, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("--config: %w", err)
	}
	tree, err := parser.ParseBytes(raw, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: %s", path, yaml.FormatError(err, false, false))
	}
	values := map[string][]string{}
	for _, doc := range tree.Docs {
		if doc.Body == nil {
			continue
		}
		entries, ok := doc.Body.(ast.MapNode)
		if !ok {
			return nil, fmt.Errorf("%s: must be a mapping of option names to values", path)
		}
		for it := entries.MapRange(); it.Next(); {
			key := it.Key().GetToken().Value
			if !known(key) {
				return nil, fmt.Errorf("%s:%d: unknown key %q; keys are the names of flags", path, it.Key().GetToken().Position.Line, key)
			}
			texts, err := scalars(it.Value())
			if err != nil {
				return nil, fmt.Errorf("%s:%d: %s: %w", path, it.Key().GetToken().Position.Line, key, err)
			}
			values[key] = texts
		}
	}
	return values, nil
}

func scalars(n ast.Node) ([]string, error) {
	switch v := n.(type) {
	case *ast.SequenceNode:
		var out []string
		for _, item := range v.Values {
			one, err := scalars(item)
			if err != nil {
				return nil, err
			}
			out = append(out, one...)
		}
		return out, nil
	case *ast.NullNode:
		return nil, nil
	case *ast.LiteralNode:
		return []string{v.Value.Value}, nil
	case ast.ScalarNode:
		return []string{v.GetToken().Value}, nil
	}
	return nil, errors.New("must be a single value or a list of them")
}
