package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set by the build with -ldflags "-X main.version=…"; without it the
// build's own record of the source is used.
var version string

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Long:  "Print the version, the source revision it was built from, and the Go release it was built with.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			fmt.Fprintln(cmd.OutOrStdout(), versionLine())
			return nil
		},
	}
}

func versionLine() string {
	name := version
	if build, ok := debug.ReadBuildInfo(); ok && name == "" {
		name = build.Main.Version
	}
	if name == "" {
		name = "(devel)"
	}
	return fmt.Sprintf("tg %s %s %s/%s", name, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
