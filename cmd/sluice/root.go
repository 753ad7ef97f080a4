package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// Exit codes of every command.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

// exitError is an error that says with which code to exit. A nil err exits
// silently.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// failure marks err as something that went wrong while running, not in how the
// command was called. It keeps nil nil.
func failure(err error) error {
	if err == nil {
		return nil
	}
	return &exitError{exitFailure, err}
}

// execute runs one command line and returns the exit code. Errors that no
// command marked come from the command line itself and are usage errors.
func execute(args []string, in io.Reader, out, errOut io.Writer) int {
	root := newRootCommand()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errOut)
	cmd, err := root.ExecuteC()
	if err == nil {
		return exitOK
	}
	var exit *exitError
	if errors.As(err, &exit) {
		if exit.err != nil {
			fmt.Fprintf(errOut, "sluice: %v\n", exit.err)
		}
		return exit.code
	}
	fmt.Fprintf(errOut, "sluice: %v\nRun '%s --help' for usage.\n", err, cmd.CommandPath())
	return exitUsage
}

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "sluice",
		Short: "API gateway for the TrustGraph message bus",
		Long: `Sluice turns HTTP requests into messages on a RabbitMQ bus and the services'
answers back into HTTP.

  sluice dev        a complete platform in one process, to try things out
  sluice gateway    the gateway, for a platform that already runs
  sluice iam        the IAM service, for one too

Exit codes: 0 success, 1 failure while running, 2 wrong usage or configuration.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(newGatewayCommand(), newDevCommand(), newIAMCommand(), newTranscodeCommand(), newCanCommand(), newVersionCommand())
	return root
}
