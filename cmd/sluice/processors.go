package main

import (
	"os"
	"runtime"
)

// leastProcessors is how many threads run Go code where passwords are hashed, on a
// single core too: the kernel lets a look-up in between at once, where Go would let
// a hash run for 10 ms before anything else (BENCHMARKS.md, IAM).
const leastProcessors = 2

// useProcessors sees to that, unless GOMAXPROCS is somebody's choice.
func useProcessors() {
	if _, chosen := os.LookupEnv("GOMAXPROCS"); !chosen && runtime.GOMAXPROCS(0) < leastProcessors {
		runtime.GOMAXPROCS(leastProcessors)
	}
}
