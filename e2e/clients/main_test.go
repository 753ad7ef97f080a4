package clients

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
)

// binary is the program under test, scratch a directory that goes when the tests end.
var binary, scratch string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "sluice-clients-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	scratch, binary = dir, filepath.Join(dir, "sluice")
	code := 1
	if out, err := exec.Command("go", "build", raceFlag, "-o", binary, "sluice/cmd/sluice").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building the binary: %v\n%s", err, out)
	} else {
		code = m.Run()
	}
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// client is the program that a variable of scripts/clients names.
func client(t *testing.T, variable string) string {
	t.Helper()
	path := os.Getenv(variable)
	if path == "" {
		t.Fatalf("%s is not set: run the tests with `make test`, or as in `scripts/clients run -- scripts/rabbitmq run -- go test ./e2e/...`", variable)
	}
	return path
}
