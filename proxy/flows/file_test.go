package flows

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const oneFlow = `default:
  demo:
    interfaces:
      text-completion: {request: "request:tg:llm", response: "response:tg:llm"}
      text-load: {flow: "flow:tg:load"}
`

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// replaceFile puts a file in another's place the way editors do.
func replaceFile(t *testing.T, path, text string) {
	t.Helper()
	write(t, path+".new", text)
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func openFile(t *testing.T, path string) *recorder {
	t.Helper()
	table := newRecorder()
	f, err := OpenFile(path, table, quiet())
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Ready(); err != nil {
		t.Error(err)
	}
	t.Cleanup(func() {
		if err := f.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return table
}

// eventually waits for a condition. The bound only ends a test that has failed.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 30 s", what)
		}
	}
}

func awaitFlows(t *testing.T, table *recorder, want ...string) {
	t.Helper()
	eventually(t, "flows "+strings.Join(want, " "), func() bool { return slices.Equal(table.running(), want) })
}

func TestFileDefinesFlowsBeforeItReturns(t *testing.T) {
	path := filepath.Join(t.TempDir(), "flows.yaml")
	write(t, path, oneFlow)
	table := openFile(t, path)
	if got := table.running(); !slices.Equal(got, []string{"default/demo"}) {
		t.Errorf("running flows are %v", got)
	}
	if got := table.topic("default/demo", "text-completion"); got != "request:tg:llm" {
		t.Errorf("request topic is %q", got)
	}
}

func TestFileReloadsOnChange(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, path, text string){"written in place": write, "renamed over": replaceFile} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "flows.yaml")
			write(t, path, oneFlow)
			table := openFile(t, path)
			change(t, path, oneFlow+"  second: {}\nacme:\n  third: {}\n")
			awaitFlows(t, table, "acme/third", "default/demo", "default/second")
			change(t, path, strings.Replace(oneFlow, "tg:llm", "tg:other", 2))
			awaitFlows(t, table, "default/demo")
			eventually(t, "the new topic", func() bool {
				return table.topic("default/demo", "text-completion") == "request:tg:other"
			})
			if slices.Contains(table.history(), "stop default/demo") {
				t.Error("a redefined flow was stopped")
			}
			change(t, path, "{}")
			awaitFlows(t, table)
		})
	}
}

// Kubernetes swaps a link to a directory; the file's own name never changes.
func TestFileReloadsBehindSymbolicLink(t *testing.T) {
	dir := t.TempDir()
	for _, version := range []string{"v1", "v2"} {
		if err := os.Mkdir(filepath.Join(dir, version), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(dir, "v1", "flows.yaml"), oneFlow)
	write(t, filepath.Join(dir, "v2", "flows.yaml"), "acme: {n: {}}")
	link := func(old, name string) {
		if err := os.Symlink(old, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	link("v1", "..data")
	link(filepath.Join("..data", "flows.yaml"), "flows.yaml")
	table := openFile(t, filepath.Join(dir, "flows.yaml"))
	link("v2", "..next")
	if err := os.Rename(filepath.Join(dir, "..next"), filepath.Join(dir, "..data")); err != nil {
		t.Fatal(err)
	}
	awaitFlows(t, table, "acme/n")
}

func TestFileKeepsOldDefinitionsWhileBroken(t *testing.T) {
	for name, broken := range map[string]string{"syntax": "default: [", "empty": "", "wrong topic": "a: {b: {x: {flow: nonsense:y}}}"} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "flows.yaml")
			write(t, path, oneFlow)
			table := newRecorder()
			f := &File{path: path, table: table, log: quiet(), known: map[string]definitions{}}
			f.reload()
			write(t, path, broken)
			f.reload()
			if f.broken == "" {
				t.Error("nothing to complain about?")
			}
			if got := table.running(); !slices.Equal(got, []string{"default/demo"}) {
				t.Errorf("running flows are %v", got)
			}
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			f.reload()
			if got := table.running(); !slices.Equal(got, []string{"default/demo"}) {
				t.Errorf("running flows are %v after the file was deleted", got)
			}
			write(t, path, "acme: {n: {}}")
			f.reload()
			if f.broken != "" || !slices.Equal(table.running(), []string{"acme/n"}) {
				t.Errorf("not healed: %q, %v", f.broken, table.running())
			}
		})
	}
}

func TestOpenFileRefusesMissingAndWrongFiles(t *testing.T) {
	dir := t.TempDir()
	big := filepath.Join(dir, "big")
	write(t, big, "")
	if err := os.Truncate(big, maxFileBytes+1); err != nil {
		t.Fatal(err)
	}
	bad := filepath.Join(dir, "bad")
	write(t, bad, "default: 5")
	for _, path := range []string{filepath.Join(dir, "missing"), dir, big, bad} {
		table := newRecorder()
		if _, err := OpenFile(path, table, nil); err == nil {
			t.Errorf("%s: no error", path)
		} else if !strings.Contains(err.Error(), path) {
			t.Errorf("the error does not name the file: %v", err)
		}
		if got := table.history(); len(got) > 0 {
			t.Errorf("%s: %v", path, got)
		}
	}
}
