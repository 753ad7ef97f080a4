package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// seconds is a duration given as a number of seconds, or with a unit.
type seconds time.Duration

func (s *seconds) Set(text string) error {
	if _, err := strconv.Atoi(text); err == nil {
		text += "s"
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return errors.New("give seconds (130) or a time with a unit (2m)")
	}
	*s = seconds(d)
	return nil
}

func (s *seconds) String() string { return time.Duration(*s).String() }

func (s *seconds) Type() string { return "time" }

// filename is the name of a file. An empty one is a variable that is not set, rather
// than a wish to do without the file.
type filename string

func (f *filename) Set(text string) error {
	if text == "" {
		return errors.New("expected the name of a file")
	}
	*f = filename(text)
	return nil
}

func (f *filename) String() string { return string(*f) }

func (f *filename) Type() string { return "file" }

// choice is one of a few words.
type choice struct {
	value string
	of    []string
}

func (c *choice) Set(text string) error {
	for _, word := range c.of {
		if text == word {
			c.value = text
			return nil
		}
	}
	return fmt.Errorf("choose from %s", strings.Join(c.of, ", "))
}

func (c *choice) String() string { return c.value }

func (c *choice) Type() string { return "word" }

// yesOrNo is a yes or a no, in the words that TrustGraph takes; nil when not given.
type yesOrNo struct{ yes *bool }

func flagYesNo(cmd *cobra.Command, name, usage string) *yesOrNo {
	v := &yesOrNo{}
	cmd.Flags().Var(v, name, usage+": `yes|no`")
	return v
}

func (v *yesOrNo) Set(text string) error {
	text = strings.ToLower(strings.TrimSpace(text))
	var yes bool
	switch text {
	case "yes", "y", "true", "t", "1":
		yes = true
	case "no", "n", "false", "f", "0":
	default:
		return fmt.Errorf("expected yes/no, got '%s'", text)
	}
	v.yes = &yes
	return nil
}

func (v *yesOrNo) String() string { return "" } // there is no default to tell of

func (v *yesOrNo) Type() string { return "yes|no" }

// wanted is the value for an update. Null keeps what is stored; TrustGraph's gateway
// makes true or false of a value that is left out.
func (v *yesOrNo) wanted() any {
	if v.yes == nil {
		return nil
	}
	return *v.yes
}
