package flows

import (
	"crypto/sha256"
	"log/slog"
	"time"

	"sluice/codec"
)

// workspace is what a Receiver knows of one workspace.
type workspace struct {
	name string

	// Owned by the schedule.

	// version of the store that the definitions reflect, -1 before the first fetch.
	version int64
	// listed: the last list of workspaces named it.
	listed bool
	// busy: a job of it is running. again: one more is wanted after it.
	busy, again bool
	// at is when a job that is due may start, started when the last one did.
	at, started time.Time
	// gone: the next job need not ask, the list has shown that no flow is left.
	gone bool
	// refresh: a notification named it since the last fetch that worked.
	refresh bool
	// tried: a job has ended, well or not. failures counts those since the last
	// that went well.
	tried    bool
	failures int

	// Owned by the job that runs, or by nobody.

	flows definitions
	// bad holds the records that could not be read, so that each version of one
	// is reported once.
	bad map[string]digest
}

// apply makes the records of a fetch the workspace's definitions. A record that
// cannot be read is isolated: if an older version of it is running, that goes on,
// because a flow that works is worth more than a typo.
func (w *workspace) apply(t Table, log *slog.Logger, records map[string]string) {
	next := make(map[string]codec.FlowRecord, len(records))
	bad := make(map[string]digest)
	for flow, text := range records {
		r, err := codec.ParseFlowRecord(text)
		if err == nil {
			next[flow] = r
			continue
		}
		bad[flow] = sha256.Sum256([]byte(text))
		if known, ok := w.bad[flow]; ok && known == bad[flow] {
			continue
		}
		_, running := w.flows[flow]
		badRecords.Inc()
		log.Error("flow record cannot be read", "workspace", w.name, "flow", flow, "bytes", len(text),
			"error", err, "old_definition_kept", running)
	}
	w.bad = bad
	w.flows = w.flows.replace(t, w.name, next, bad)
}
