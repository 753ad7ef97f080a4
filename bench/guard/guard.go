// Package guard keeps two promises about the hot path that a benchmark can only
// show: how much each operation allocates (a budget file), and what the compiler
// sends to the heap in the hot packages (an escape list). Both are checked in, so
// a change of either is a line in a diff that somebody reads.
package guard

import (
	"bufio"
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
)

// Cost is what one operation costs the heap.
type Cost struct {
	// Allocs is the number of allocations, rounded down.
	Allocs uint64
	// Bytes is the number of bytes, rounded down.
	Bytes uint64
}

// runs is how often Measure repeats an operation: enough that one stray
// allocation of the runtime rounds to nothing.
const runs = 2000

// Measure reports what op costs in its steady state. The collector is off
// meanwhile, so that pools keep what they hold and the numbers are the same on
// every machine. It must not run beside other tests that allocate.
func Measure(op func()) Cost {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for range 100 {
		op()
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range runs {
		op()
	}
	runtime.ReadMemStats(&after)
	return Cost{
		Allocs: (after.Mallocs - before.Mallocs) / runs,
		Bytes:  (after.TotalAlloc - before.TotalAlloc) / runs,
	}
}

// Budget maps an operation to what it may cost.
type Budget map[string]Cost

// ReadBudget reads a file of lines `name allocs bytes`; # starts a comment.
func ReadBudget(path string) (Budget, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := Budget{}
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		if strings.TrimSpace(text) == "" {
			continue
		}
		var name string
		var c Cost
		if _, err := fmt.Sscanf(text, "%s %d %d", &name, &c.Allocs, &c.Bytes); err != nil {
			return nil, fmt.Errorf("%s:%d: want `name allocs bytes`: %w", path, n, err)
		}
		b[name] = c
	}
	return b, lines.Err()
}

// Diff says, a line each, how measured costs differ from the budget. A cost
// below the budget counts too: the file must then be lowered, or the saving
// could be lost again unseen.
func (b Budget) Diff(measured Budget) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(measured)) {
		got := measured[name]
		switch want, ok := b[name]; {
		case !ok:
			out = append(out, fmt.Sprintf("%s: not in the budget, costs %d allocs %d bytes", name, got.Allocs, got.Bytes))
		case got.Allocs > want.Allocs || got.Bytes > want.Bytes:
			out = append(out, fmt.Sprintf("%s: rose from %d allocs %d bytes to %d allocs %d bytes", name, want.Allocs, want.Bytes, got.Allocs, got.Bytes))
		case got != want:
			out = append(out, fmt.Sprintf("%s: fell from %d allocs %d bytes to %d allocs %d bytes; lower the budget", name, want.Allocs, want.Bytes, got.Allocs, got.Bytes))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b)) {
		if _, ok := measured[name]; !ok {
			out = append(out, name+": in the budget, but no longer measured")
		}
	}
	return out
}

// Write writes b where ReadBudget finds it.
func (b Budget) Write(path, comment string) error {
	var out bytes.Buffer
	fmt.Fprintf(&out, "# %s\n# operation allocs bytes\n", comment)
	for _, name := range slices.Sorted(maps.Keys(b)) {
		fmt.Fprintf(&out, "%s %d %d\n", name, b[name].Allocs, b[name].Bytes)
	}
	return os.WriteFile(path, out.Bytes(), 0o644)
}

var escape = regexp.MustCompile(`^(\S+\.go):\d+:\d+: (.*(?:escapes to heap|moved to heap).*)$`)

// Escapes asks the compiler what the given packages send to the heap. Lines
// carry file and reason but no line number, with a count, so that moving code
// changes nothing and adding an escape does.
func Escapes(dir string, packages ...string) ([]string, error) {
	args := append([]string{"build", "-gcflags=-m"}, packages...)
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("go build -gcflags=-m: %w\n%s", err, out)
	}
	count := map[string]int{}
	for line := range strings.Lines(string(out)) {
		m := escape.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil || strings.HasPrefix(m[1], "..") || filepath.IsAbs(m[1]) {
			continue // inlined from the standard library or a dependency
		}
		count[strings.TrimPrefix(m[1], "./")+": "+m[2]]++
	}
	list := make([]string, 0, len(count))
	for _, line := range slices.Sorted(maps.Keys(count)) {
		list = append(list, fmt.Sprintf("%d× %s", count[line], line))
	}
	return list, nil
}

// DiffLines lists what only one of two sorted lists has, marked - and +.
func DiffLines(want, got []string) []string {
	var out []string
	for _, l := range want {
		if !slices.Contains(got, l) {
			out = append(out, "- "+l)
		}
	}
	for _, l := range got {
		if !slices.Contains(want, l) {
			out = append(out, "+ "+l)
		}
	}
	return out
}
