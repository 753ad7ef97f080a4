//go:build !race

package bench

import (
	"flag"
	"testing"

	"sluice/bench/guard"
	"sluice/codec"
)

var update = flag.Bool("update", false, "rewrite budget.txt")

const budgetFile = "budget.txt"

// TestBudget compares what the hot path's operations cost the heap with the
// checked-in budget.
func TestBudget(t *testing.T) {
	measured := guard.Budget{}
	measure := func(name string, op func() error) {
		measured[name] = guard.Measure(func() {
			if err := op(); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		})
	}
	dst := make([]byte, 0, 1<<20)
	for _, s := range append(hotSamples(), coldSamples(t)...) {
		measure(s.name, func() (err error) {
			dst, err = s.run(dst[:0], s.text)
			return err
		})
	}
	s := newMemoryStack(t)
	token := []byte(apiKey)
	measure("auth/hit", func() error {
		_, err := s.auth.Authenticate(token)
		return err
	})
	measure("lookup", func() error {
		_, err := s.table.Interface(workspace, "bench", "text-completion")
		return err
	})
	c := s.caller("bench", codec.TextCompletion)
	measure("call/memory", func() error { return c.call(completionBody) })

	if *update {
		if err := measured.Write(budgetFile, "Checked by TestBudget; rewrite with: go test ./bench -run TestBudget -update"); err != nil {
			t.Fatal(err)
		}
	}
	budget, err := guard.ReadBudget(budgetFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range budget.Diff(measured) {
		t.Error(line)
	}
	for _, s := range hotSamples() {
		if measured[s.name] != (guard.Cost{}) {
			t.Errorf("%s must not allocate: %+v", s.name, measured[s.name])
		}
	}
	for _, name := range []string{"auth/hit", "lookup", "call/memory"} {
		if measured[name].Allocs != 0 {
			t.Errorf("%s must not allocate: %+v", name, measured[name])
		}
	}
}
