//go:build !race

package proxy

// bulkBytes is how much goes through in the tests of constant memory.
const bulkBytes = 256 << 20
