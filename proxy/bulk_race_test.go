//go:build race

package proxy

// bulkBytes is how much goes through in the tests of constant memory. The race
// detector makes that slow.
const bulkBytes = 16 << 20
