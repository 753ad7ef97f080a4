//go:build race

package e2e

// raceFlag builds the binary the way the tests were built.
const raceFlag = "-race"
