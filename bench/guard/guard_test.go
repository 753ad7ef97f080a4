//go:build !race

package guard

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sluice/bench/guard/testdata/leaky"
)

var update = flag.Bool("update", false, "rewrite the checked-in lists")

// hot are the packages whose heap escapes are under guard.
var hot = []string{"./pool", "./bus", "./bus/memory", "./codec", "./proxy/auth", "./proxy/dispatch"}

const escapesFile = "escapes.txt"

func TestEscapesAreTheListedOnes(t *testing.T) {
	got, err := Escapes(filepath.Join("..", ".."), hot...)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		text := strings.Join(got, "\n") + "\n"
		if err := os.WriteFile(escapesFile, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	src, err := os.ReadFile(escapesFile)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split(strings.TrimSpace(string(src)), "\n")
	for _, line := range DiffLines(want, got) {
		t.Errorf("%s", line)
	}
	if t.Failed() {
		t.Log("if the change is meant: go test ./bench/guard -run TestEscapes -update")
	}
}

func TestBudgetNoticesADeliberateAllocation(t *testing.T) {
	budget := Budget{"leak": {}}
	diff := budget.Diff(Budget{"leak": Measure(leaky.Leak)})
	if len(diff) != 1 || !strings.Contains(diff[0], "rose from 0 allocs 0 bytes to 1 allocs 64 bytes") {
		t.Fatalf("a 64 byte allocation was reported as %q", diff)
	}
	if diff := (Budget{"leak": {1, 64}}).Diff(Budget{"leak": {}}); len(diff) != 1 || !strings.Contains(diff[0], "fell") {
		t.Fatalf("a saving went unseen: %q", diff)
	}
	if diff := (Budget{"gone": {}}).Diff(Budget{"new": {}}); len(diff) != 2 {
		t.Fatalf("an operation without a budget and a budget without an operation: %q", diff)
	}
	if diff := (Budget{"same": {1, 64}}).Diff(Budget{"same": {1, 64}}); len(diff) != 0 {
		t.Fatalf("no change was reported as %q", diff)
	}
}

func TestEscapeListNoticesADeliberateAllocation(t *testing.T) {
	got, err := Escapes(".", "./testdata/leaky")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(DiffLines(nil, got), func(l string) bool { return strings.Contains(l, "moved to heap: a") }) {
		t.Fatalf("the escape of leaky.Leak is not in %q", got)
	}
}
