package main

import (
	"os"
	"runtime"
	"testing"
)

func TestHashingHasAProcessorOfItsOwn(t *testing.T) {
	t.Setenv("GOMAXPROCS", "1")
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	if useProcessors(); runtime.GOMAXPROCS(0) != 1 {
		t.Error("GOMAXPROCS was not respected")
	}
	if err := os.Unsetenv("GOMAXPROCS"); err != nil {
		t.Fatal(err)
	}
	if useProcessors(); runtime.GOMAXPROCS(0) != leastProcessors {
		t.Error("look-ups wait for hashes")
	}
	runtime.GOMAXPROCS(leastProcessors + 1)
	if useProcessors(); runtime.GOMAXPROCS(0) != leastProcessors+1 {
		t.Error("processors were taken away")
	}
}
