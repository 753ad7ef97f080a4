// Package e2e tests the built binary from outside: HTTP on one side, services
// that are played by the tests on a real broker on the other.
//
// It has no code but tests, and knows no room from inside: what it needs of the
// bus it does through bus/amqp, as a service would.
package e2e
