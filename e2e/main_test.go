package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"sluice/bus/amqp/brokertest"
)

// binary is the program under test.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "sluice-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := 1
	if err := build(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
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

func build(dir string) error {
	binary = filepath.Join(dir, "sluice")
	out, err := exec.Command("go", "build", raceFlag, "-o", binary, "sluice/cmd/sluice").CombinedOutput()
	if err != nil {
		return fmt.Errorf("building the binary: %w\n%s", err, out)
	}
	return nil
}

// deleteExchange deletes an exchange behind everybody's back.
func deleteExchange(t *testing.T, n *brokertest.Node, exchange string) {
	t.Helper()
	n.Ctl(t, "eval", fmt.Sprintf(
		`rabbit_exchange:delete(rabbit_misc:r(<<"sluice">>, exchange, <<"%s">>), false, <<"e2e">>).`, exchange))
}
