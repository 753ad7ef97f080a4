// Command tg is the operator's command line for users, workspaces and API keys.
//
// Every command is also a program of its own when the binary is called by that
// name: tg-login is tg login. It speaks HTTP to a gateway and imports nothing else
// of this module. Flags, prompts, tables, texts and exit codes of the commands that
// TrustGraph has are TrustGraph's, because scripts depend on them.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/spf13/cobra"
)

// Exit codes of every command that is not ended by a signal.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

// app is what a process gives its command: streams, environment, terminal.
type app struct {
	in       *bufio.Reader
	out      *sink
	err      io.Writer
	lookup   func(string) (string, bool) // the environment
	terminal func() (*terminal, error)   // fails where nobody can be asked

	restore atomic.Pointer[func()] // gives the terminal its echo back, while it has none
}

func main() {
	a := &app{
		in:       bufio.NewReader(os.Stdin),
		out:      newSink(os.Stdout),
		err:      newSink(standardError()),
		lookup:   os.LookupEnv,
		terminal: openTerminal,
	}
	a.endBySignals()
	allProxy()
	os.Exit(a.execute(filepath.Base(os.Args[0]), os.Args[1:]))
}

// failed is an error from running a command; any other is one of calling it.
type failed struct{ error }

func (f failed) Unwrap() error { return f.error }

// unchanged is a call that asks for no change; the usage would not help with it.
type unchanged struct{ error }

// execute runs one command line, called by the given name, and returns the exit
// code.
func (a *app) execute(name string, args []string) int {
	root, cmd, rest := a.find(name, args)
	root.SetOut(a.out)
	root.SetErr(a.err)
	if cmd != nil {
		flags, err := parseArgs(cmd.Flags(), rest)
		if err != nil {
			return a.refuse(cmd, err)
		}
		if cmd != root {
			flags = append([]string{cmd.Name()}, flags...)
		}
		args = flags
	}
	root.SetArgs(args)
	cmd, err := root.ExecuteC()
	var failure failed
	var nothing unchanged
	switch {
	case err == nil && a.out.err == nil:
		return exitOK
	case err == nil:
		err = a.out.err // a secret that nobody got to see is no success
	case errors.As(err, &nothing):
		fmt.Fprintf(a.err, "%s: %v\n", cmd.CommandPath(), nothing)
		return exitUsage
	case !errors.As(err, &failure):
		return a.refuse(cmd, err)
	}
	fmt.Fprintf(a.err, "Exception: %v\n", err)
	return exitFailure
}

// refuse says how cmd is called and what was wrong about the call.
func (a *app) refuse(cmd *cobra.Command, err error) int {
	fmt.Fprintf(a.err, "usage: %s\n%s: error: %v\n", cmd.UseLine(), cmd.CommandPath(), err)
	return exitUsage
}
