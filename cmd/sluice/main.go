// Command sluice is an API gateway between HTTP clients and the TrustGraph
// message bus, with a demonstration platform built in (sluice dev).
//
// This package only builds rooms out of configuration and runs them: whatever
// it decides about requests is decided in proxy and the rooms below it.
package main

import "os"

func main() {
	os.Exit(execute(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
