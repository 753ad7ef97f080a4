package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

// maxSecretBytes bounds what a file with a password or token may hold.
const maxSecretBytes = 64 << 10

// errNoAnswer has no text: that is what scripts see of a prompt at the end of input.
var errNoAnswer = errors.New("")

// ask asks for a secret: on the terminal without echo, or else it reads a line of
// standard input. With again, it is asked for twice on a terminal, because nobody
// sees what they type.
func (a *app) ask(prompt, again string) (string, error) {
	tty, err := a.terminal()
	if err != nil {
		fmt.Fprintf(a.err, "Warning: Password input may be echoed.\n%s", prompt)
		answer, err := a.readLine(errNoAnswer)
		if err == nil {
			fmt.Fprintln(a.err) // nobody pressed Enter behind the prompt
		}
		return answer, err
	}
	defer tty.file.Close()
	restore, err := tty.state()
	if err != nil {
		return "", err
	}
	a.restore.Store(&restore)
	defer a.restore.Store(nil)
	defer restore()
	if err := tty.hide(); err != nil {
		return "", err
	}
	first, err := tty.askHidden(prompt)
	if err != nil || again == "" {
		return first, err
	}
	second, err := tty.askHidden(again)
	if err == nil && first != second {
		err = errors.New("the passwords differ; nothing was changed")
	}
	return first, err
}

// readLine reads a line of standard input; atEnd is the error when there is none.
func (a *app) readLine(atEnd error) (string, error) {
	line, err := a.in.ReadString('\n')
	switch {
	case errors.Is(err, io.EOF) && line == "":
		return "", atEnd
	case err != nil && !errors.Is(err, io.EOF):
		return "", err
	}
	return withoutNewline(line), nil
}

func withoutNewline(line string) string {
	return strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
}

// secret is a password that a command needs, and the places it can come from.
type secret struct {
	value string
	file  filename
	stdin *bool // shared by the secrets of a command, a line each
}

// secretFlag adds the flags of a secret; stdin is nil for a command's first.
func secretFlag(cmd *cobra.Command, name, usage string, stdin *bool) *secret {
	s := &secret{stdin: stdin}
	flags := cmd.Flags()
	flags.StringVar(&s.value, name, "", usage+" (asked for when not given; others can see arguments)")
	flags.Var(&s.file, name+"-file", "read it from this `file`")
	if stdin == nil {
		s.stdin = flags.Bool("password-stdin", false, "read passwords from standard input, a line each, without asking")
		ours(cmd, "password-stdin")
	}
	ours(cmd, name+"-file")
	cmd.MarkFlagsMutuallyExclusive(name, name+"-file", "password-stdin")
	return s
}

// read returns the secret from wherever it was said to be, else asks.
func (s *secret) read(a *app, prompt, again string) (string, error) {
	switch {
	case s.value != "":
		return s.value, nil
	case s.file != "":
		return readSecretFile(string(s.file))
	case *s.stdin:
		return a.readLine(errors.New("no password on standard input"))
	}
	return a.ask(prompt, again)
}

// readSecretFile reads a file without the end of its last line.
func readSecretFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxSecretBytes+1))
	if err == nil && len(text) > maxSecretBytes {
		err = fmt.Errorf("%s is too large to be a password or token", path)
	}
	return withoutNewline(string(text)), err
}
