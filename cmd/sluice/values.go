package main

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// The types below put text into Config fields. They implement pflag.Value, and
// the same Set serves flags, environment and file, so that a value means the
// same wherever it comes from.

type textValue struct{ p *string }

func text(p *string) pflag.Value { return textValue{p} }

func (v textValue) String() string     { return *v.p }
func (v textValue) Type() string       { return "text" }
func (v textValue) Set(s string) error { *v.p = s; return nil }

// choiceValue accepts one of a few words.
type choiceValue struct {
	p     *string
	words []string
}

func choice(p *string, words ...string) pflag.Value { return choiceValue{p, words} }

func (v choiceValue) String() string { return *v.p }
func (v choiceValue) Type() string   { return strings.Join(v.words, "|") }
func (v choiceValue) Set(s string) error {
	if !slices.Contains(v.words, s) {
		return fmt.Errorf("must be one of %s", strings.Join(v.words, ", "))
	}
	*v.p = s
	return nil
}

// boolValue takes the words of strconv.ParseBool and the usual yes/no, on/off.
// negated is the --no-… spelling of the same switch.
type boolValue struct {
	p       *bool
	negated bool
}

func toggle(p *bool) pflag.Value { return boolValue{p: p} }

func (v boolValue) String() string   { return strconv.FormatBool(*v.p != v.negated) }
func (v boolValue) Type() string     { return "bool" }
func (v boolValue) IsBoolFlag() bool { return true }
func (v boolValue) Set(s string) error {
	on, err := parseBool(s)
	if err != nil {
		return err
	}
	*v.p = on != v.negated
	return nil
}

func parseBool(s string) (bool, error) {
	switch strings.ToLower(s) {
	case "true", "1", "yes", "on":
		return true, nil
	case "false", "0", "no", "off":
		return false, nil
	}
	return false, errors.New("must be true or false")
}

type intValue struct {
	p        *int
	min, max int
}

func integer(p *int, lowest, highest int) pflag.Value { return intValue{p, lowest, highest} }

func (v intValue) String() string { return strconv.Itoa(*v.p) }
func (v intValue) Type() string   { return "number" }
func (v intValue) Set(s string) error {
	n, err := strconv.Atoi(s)
	if err != nil {
		return errors.New("must be a whole number")
	}
	if n < v.min || n > v.max {
		return fmt.Errorf("must be from %d to %d", v.min, v.max)
	}
	*v.p = n
	return nil
}

// durationValue takes seconds (`600`, `1.5`), as the reference does, and Go
// durations (`10m`, `250ms`).
type durationValue struct {
	p        *time.Duration
	min, max time.Duration
}

func duration(p *time.Duration, shortest, longest time.Duration) pflag.Value {
	return durationValue{p, shortest, longest}
}

func (v durationValue) String() string { return shortDuration(*v.p) }
func (v durationValue) Type() string   { return "duration" }
func (v durationValue) Set(s string) error {
	d, err := parseDuration(s)
	if err != nil {
		return err
	}
	if d < v.min || d > v.max {
		return fmt.Errorf("must be from %s to %s", shortDuration(v.min), shortDuration(v.max))
	}
	*v.p = d
	return nil
}

func parseDuration(s string) (time.Duration, error) {
	if n, err := strconv.ParseFloat(s, 64); err == nil {
		if math.IsNaN(n) || math.Abs(n) > float64(math.MaxInt64/int64(time.Second)) {
			return 0, errors.New("is out of range")
		}
		return time.Duration(n * float64(time.Second)), nil
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, errors.New("must be seconds (600) or a duration with a unit (10m, 250ms)")
	}
	return d, nil
}

// shortDuration writes 10m for 10m0s.
func shortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// bytesValue takes bytes (`1048576`) and sizes with a unit (`1MiB`, `1M`).
// K, M and G with or without `iB` are powers of 1024, with `B` of 1000.
type bytesValue struct {
	p        *int64
	min, max int64
	zero     string // what 0 means; 0 is refused when empty
}

func sizeBytes(p *int64, smallest, largest int64) pflag.Value {
	return bytesValue{p: p, min: smallest, max: largest}
}

func (v bytesValue) Type() string { return "bytes" }
func (v bytesValue) String() string {
	if *v.p == 0 {
		return v.zero
	}
	return shortBytes(*v.p)
}

func (v bytesValue) Set(s string) error {
	n, err := parseBytes(s)
	if err != nil {
		return err
	}
	if (n < v.min || n > v.max) && (n != 0 || v.zero == "") {
		return fmt.Errorf("must be from %s to %s", shortBytes(v.min), shortBytes(v.max))
	}
	*v.p = n
	return nil
}

var byteUnits = map[string]float64{
	"": 1, "B": 1,
	"K": 1 << 10, "KIB": 1 << 10, "KB": 1e3,
	"M": 1 << 20, "MIB": 1 << 20, "MB": 1e6,
	"G": 1 << 30, "GIB": 1 << 30, "GB": 1e9,
}

func parseBytes(s string) (int64, error) {
	s = strings.TrimSpace(s)
	digits := strings.TrimRight(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
	unit, known := byteUnits[strings.ToUpper(s[len(digits):])]
	n, err := strconv.ParseFloat(strings.TrimSpace(digits), 64)
	if err != nil || !known || n < 0 {
		return 0, errors.New("must be a size in bytes, or with a unit (64KiB, 128MiB, 1GiB)")
	}
	n *= unit
	if n > 1<<62 {
		return 0, errors.New("is out of range")
	}
	return int64(n), nil
}

func shortBytes(n int64) string {
	for _, u := range []struct {
		name  string
		shift uint
	}{{"GiB", 30}, {"MiB", 20}, {"KiB", 10}} {
		if n >= 1<<u.shift && n%(1<<u.shift) == 0 {
			return strconv.FormatInt(n>>u.shift, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10)
}

// listValue takes several values, repeated or separated by commas, white space
// or line ends.
type listValue struct{ p *[]string }

func list(p *[]string) pflag.Value { return listValue{p} }

func (v listValue) String() string { return strings.Join(*v.p, ",") }
func (v listValue) Type() string   { return "list" }
func (v listValue) Set(s string) error {
	*v.p = append(*v.p, strings.FieldsFunc(s, isSeparator)...)
	return nil
}

// replicationValue collects copies by datacentre: `dc1=3,dc2=2`.
type replicationValue struct{ p *map[string]int }

func replication(p *map[string]int) pflag.Value { return replicationValue{p} }

func (v replicationValue) Type() string { return "replication" }
func (v replicationValue) String() string {
	var texts []string
	for _, name := range slices.Sorted(maps.Keys(*v.p)) {
		texts = append(texts, fmt.Sprintf("%s=%d", name, (*v.p)[name]))
	}
	return strings.Join(texts, ",")
}

func (v replicationValue) Set(s string) error {
	copies := maps.Clone(*v.p)
	for word := range strings.FieldsFuncSeq(s, isSeparator) {
		name, number, _ := strings.Cut(word, "=")
		n, err := strconv.Atoi(number)
		if name == "" || err != nil {
			return errors.New("must be datacentres with their number of copies, as dc1=3,dc2=2")
		}
		if _, twice := copies[name]; twice {
			return fmt.Errorf("names %s twice", name)
		}
		if copies == nil {
			copies = map[string]int{}
		}
		copies[name] = n
	}
	*v.p = copies
	return nil
}

func isSeparator(r rune) bool { return strings.ContainsRune(", \t\r\n", r) }

// networksValue collects networks; a plain address is a network of one.
type networksValue struct{ p *[]netip.Prefix }

func networks(p *[]netip.Prefix) pflag.Value { return networksValue{p} }

func (v networksValue) Type() string { return "networks" }
func (v networksValue) String() string {
	texts := make([]string, len(*v.p))
	for i, n := range *v.p {
		texts[i] = n.String()
	}
	return strings.Join(texts, ",")
}

func (v networksValue) Set(s string) error {
	for word := range strings.FieldsFuncSeq(s, isSeparator) {
		n, err := netip.ParsePrefix(word)
		if address, aerr := netip.ParseAddr(word); aerr == nil {
			n, err = netip.PrefixFrom(address, address.BitLen()), nil
		}
		if err != nil || n.Addr().Is4In6() {
			return errors.New("must be networks like 10.0.0.0/8 or fd00::/8, or addresses")
		}
		*v.p = append(*v.p, n.Masked())
	}
	return nil
}

// levelValue maps the reference's words to slog's levels.
type levelValue struct{ p *slog.Level }

// levelCritical is above everything that is logged in the ordinary run of things.
const levelCritical = slog.LevelError + 4

var levelNames = map[string]slog.Level{
	"DEBUG": slog.LevelDebug, "INFO": slog.LevelInfo, "WARNING": slog.LevelWarn,
	"ERROR": slog.LevelError, "CRITICAL": levelCritical,
}

func level(p *slog.Level) pflag.Value { return levelValue{p} }

func (v levelValue) Type() string   { return "level" }
func (v levelValue) String() string { return levelName(*v.p) }
func (v levelValue) Set(s string) error {
	l, ok := levelNames[strings.ToUpper(s)]
	if !ok {
		return errors.New("must be DEBUG, INFO, WARNING, ERROR or CRITICAL")
	}
	*v.p = l
	return nil
}

func levelName(l slog.Level) string {
	for name, known := range levelNames {
		if known == l {
			return name
		}
	}
	return l.String()
}

// secretValue hides what it holds from help texts, logs and error messages.
type secretValue struct{ pflag.Value }

func (v secretValue) String() string {
	if v.Value == nil || v.Value.String() == "" {
		return ""
	}
	return "****"
}

func (v secretValue) Set(s string) error {
	if v.Value.Set(s) != nil {
		return errors.New("is not valid") // the inner error could quote the secret
	}
	return nil
}
