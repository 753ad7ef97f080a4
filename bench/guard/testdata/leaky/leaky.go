// Package leaky allocates on purpose, so that a test can show that the guards
// notice.
package leaky

// Sink keeps what Leak makes.
var Sink *[64]byte

// Leak sends an array to the heap.
func Leak() {
	var a [64]byte
	Sink = &a
}
