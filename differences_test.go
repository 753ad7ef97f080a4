package sluice_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// docs/differences.md promises what Sluice does about every defect that the
// contract lists. A row is kept honest by naming a test, or the issue that will
// bring one.
func TestDifferencesCoverEveryDefectOnce(t *testing.T) {
	src, err := os.ReadFile("docs/differences.md")
	if err != nil {
		t.Fatal(err)
	}
	tests := testNames(t)
	row := regexp.MustCompile(`^\| ([GBD]\d+) \|(.*)\|([^|]*)\|$`)
	proof := regexp.MustCompile("`((?:Test|Fuzz)\\w+)`")
	issue := regexp.MustCompile(`\bissue \d+\b`)
	seen := map[string]int{}
	for line := range strings.Lines(string(src)) {
		m := row.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			continue
		}
		seen[m[1]]++
		if strings.TrimSpace(strings.Trim(m[2], "| ")) == "" {
			t.Errorf("%s: nothing is said about it", m[1])
		}
		named := proof.FindAllStringSubmatch(m[3], -1)
		if len(named) == 0 && !issue.MatchString(m[3]) {
			t.Errorf("%s: names neither a test nor an issue", m[1])
		}
		for _, n := range named {
			if !tests[n[1]] {
				t.Errorf("%s: test %s does not exist", m[1], n[1])
			}
		}
	}
	for letter, last := range map[string]int{"G": 55, "B": 6, "D": 34} {
		for i := 1; i <= last; i++ {
			id := fmt.Sprintf("%s%d", letter, i)
			if seen[id] != 1 {
				t.Errorf("%s has %d rows, want one", id, seen[id])
			}
			delete(seen, id)
		}
	}
	for id := range seen {
		t.Errorf("%s is no defect of the contract", id)
	}
}

func testNames(t *testing.T) map[string]bool {
	t.Helper()
	out, err := exec.Command("git", "ls-files", "--cached", "--others", "--exclude-standard", "*_test.go").Output()
	if err != nil {
		t.Fatalf("git ls-files: %v", err)
	}
	names := map[string]bool{}
	decl := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	for f := range strings.Lines(string(out)) {
		src, err := os.ReadFile(filepath.FromSlash(strings.TrimSpace(f)))
		if err != nil {
			continue // deleted in the working tree
		}
		for _, m := range decl.FindAllStringSubmatch(string(src), -1) {
			names[m[1]] = true
		}
	}
	return names
}
