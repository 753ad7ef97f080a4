//go:build race

package clients

// raceFlag builds the binary the way the tests were built.
const raceFlag = "-race"
