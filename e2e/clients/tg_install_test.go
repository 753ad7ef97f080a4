package clients

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// installation is what `make install` makes below a directory of the tests' own.
// Its programs are built without the race detector, under which a password takes a
// second to check.
var installation = sync.OnceValues(func() (string, error) {
	root := filepath.Join(scratch, "root")
	return root + "/usr", makeTargets("install", "DESTDIR="+root, "PREFIX=/usr")
})

// makeTargets runs make as a user would, even where another make runs the tests.
func makeTargets(args ...string) error {
	cmd := exec.Command("make", append([]string{"-C", "../.."}, args...)...)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "MAKE") })
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("make %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// installed is where bin and share are.
func installed(t *testing.T) string {
	t.Helper()
	prefix, err := installation()
	if err != nil {
		t.Fatal(err)
	}
	return prefix
}

// What is installed can be removed again, and nothing else is.
func TestUninstall(t *testing.T) {
	t.Parallel()
	installed(t) // not both at a time: they build into the same directory
	root := t.TempDir()
	if err := os.MkdirAll(root+"/usr/bin", 0o755); err != nil {
		t.Fatal(err)
	}
	mine := root + "/usr/bin/tg-mine"
	if err := os.Symlink("elsewhere", mine); err != nil {
		t.Fatal(err)
	}
	if err := makeTargets("install", "uninstall", "DESTDIR="+root, "PREFIX=/usr"); err != nil {
		t.Fatal(err)
	}
	var left []string
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			left = append(left, path)
		}
		return err
	})
	if err != nil || !slices.Equal(left, []string{mine}) {
		t.Errorf("what is left: %v, %v", left, err)
	}
}
