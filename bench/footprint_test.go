//go:build !race

package bench

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"

	"sluice/bus/memory"
	"sluice/codec"
	"sluice/proxy/dispatch"
)

const (
	footprintEnv = "SLUICE_BENCH_FOOTPRINT"
	maxRSS       = 300 << 20
)

// TestFootprintOfTenThousandFlows defines 10,000 flows with all their interfaces
// over 100 workspaces, wires every service of 1,000 of them, and looks at the
// resident memory of a process that does nothing else.
func TestFootprintOfTenThousandFlows(t *testing.T) {
	if os.Getenv(footprintEnv) != "" {
		defineAndWire(t)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), footprintEnv+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	m := regexp.MustCompile(`rss=(\d+)`).FindSubmatch(out)
	if m == nil {
		t.Fatalf("the child said nothing of its size:\n%s", out)
	}
	rss, err := strconv.Atoi(string(m[1]))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d MiB resident", rss>>20)
	if rss > maxRSS {
		t.Errorf("%d MiB resident, at most %d are allowed", rss>>20, maxRSS>>20)
	}
}

func defineAndWire(t *testing.T) {
	pending := dispatch.NewPending(0)
	b := memory.New(pending)
	defer b.Close(context.Background())
	table := dispatch.New(b, pending, dispatch.Config{})
	defer table.Close(context.Background())
	for i := range 10_000 {
		// Through text, as from the config service.
		record, err := codec.ParseFlowRecord(flowRecord(i))
		if err != nil {
			t.Fatal(err)
		}
		table.StartFlow(fmt.Sprintf("workspace-%02d", i%100), fmt.Sprintf("flow-%05d", i), record)
	}
	wired := 0
	for i := range 1000 {
		for _, kind := range codec.Kinds() {
			if kind.IsFlow() {
				wireOne(t, table, dispatch.Key{Workspace: fmt.Sprintf("workspace-%02d", i%100), Flow: fmt.Sprintf("flow-%05d", i), Kind: kind})
				wired++
			}
		}
	}
	if wired != 16_000 {
		t.Fatalf("wired %d services", wired)
	}
	debug.FreeOSMemory()
	fmt.Printf("rss=%d\n", residentBytes(t))
}

// wireOne makes a call that nobody answers: it wires the service and is returned.
func wireOne(t *testing.T, table *dispatch.Table, k dispatch.Key) {
	var r codec.Request
	body := `{"question":"","system":"","prompt":"","query":"","texts":[],"vector":[],"operation":"","sample":""}`
	if err := r.Parse(k.Kind, []byte(body)); err != nil {
		t.Fatal(err)
	}
	_, _, err := table.Call(k, &r, nil, dispatch.Call{})
	if err == nil || !strings.Contains(err.Error(), dispatch.ErrNoService.Error()) {
		t.Fatalf("%v: %v", k, err)
	}
}

func flowRecord(i int) string {
	var out strings.Builder
	fmt.Fprintf(&out, `{"description": "flow number %d", "blueprint-name": "everything", "parameters": {}, "interfaces": {`, i)
	for _, kind := range codec.Kinds() {
		if kind.IsFlow() {
			fmt.Fprintf(&out, `"%[1]s": {"request": "request:tg:workspace-%02[2]d:%[1]s:flow-%05[3]d", "response": "response:tg:workspace-%02[2]d:%[1]s:flow-%05[3]d"},`, kind, i%100, i)
		}
	}
	for _, name := range []string{"text-load", "document-load", "triples-store", "rows-store", "graph-embeddings-store", "document-embeddings-store", "entity-contexts-load"} {
		fmt.Fprintf(&out, `"%[1]s": {"flow": "flow:tg:workspace-%02[2]d:%[1]s:flow-%05[3]d"},`, name, i%100, i)
	}
	return strings.TrimSuffix(out.String(), ",") + "}}"
}

func residentBytes(t *testing.T) int {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(status)
	if m == nil {
		t.Fatal("no VmRSS")
	}
	kib, err := strconv.Atoi(string(m[1]))
	if err != nil {
		t.Fatal(err)
	}
	return kib << 10
}
