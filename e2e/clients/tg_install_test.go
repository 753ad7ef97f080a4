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

// installation is what `make install` makes below a directory of the tests' own, of
// programs as they are now.
// Its programs are built without the race detector, under which a password takes a
// second to check.
var installation = sync.OnceValues(func() (string, error) {
	root := filepath.Join(scratch, "root")
	return root + "/usr", makeTargets("build", "install", "DESTDIR="+root, "PREFIX=/usr")
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
	installed(t) // builds what this installs
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

// Installing what is built needs no Go, and it takes nobody else's place unasked.
func TestInstall(t *testing.T) {
	t.Parallel()
	installed(t)
	root := t.TempDir()
	bin, where := root+"/usr/bin", []string{"DESTDIR=" + root, "PREFIX=/usr", "GO=/none"}
	if err := os.MkdirAll(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	const upstream = "#!/usr/bin/python3\n"
	if err := os.WriteFile(bin+"/tg-login", []byte(upstream), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/opt/tg-whoami", bin+"/tg-whoami"); err != nil {
		t.Fatal(err)
	}
	err := makeTargets(append(where, "install")...)
	if err == nil || !strings.Contains(err.Error(), bin+"/tg-login is not ours") || !strings.Contains(err.Error(), bin+"/tg-whoami is not ours") {
		t.Errorf("it does not refuse: %v", err)
	}
	entries, _ := os.ReadDir(bin)
	if kept, _ := os.ReadFile(bin + "/tg-login"); string(kept) != upstream || len(entries) != 2 {
		t.Errorf("it has installed something: %v, %q", entries, kept)
	}
	if err := makeTargets(append(where, "install", "FORCE=1")...); err != nil {
		t.Fatal(err)
	}
	if err := makeTargets(append(where, "install")...); err != nil {
		t.Errorf("over its own: %v", err)
	}
	for _, name := range []string{"tg-login", "tg-whoami"} {
		if to, err := os.Readlink(bin + "/" + name); err != nil || to != "tg" {
			t.Errorf("%s: %s %v", name, to, err)
		}
	}
}
