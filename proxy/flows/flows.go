// Package flows knows where flow definitions come from, and keeps the dispatch
// table in step with them: a Receiver follows the config service over the bus, a
// File follows a file for people who have no config service.
//
// It refuses to guess. Definitions are only changed by a complete, understood
// answer: an error, a garbled reply or a record that cannot be read never stops
// a flow that is running.
package flows

import (
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"

	"sluice/codec"
)

// Table is what a source of definitions tells about flows. Calls for one
// workspace come one after the other, calls for different ones at the same time.
type Table interface {
	// StartFlow defines a flow, or defines it anew.
	StartFlow(workspace, flow string, r codec.FlowRecord)
	// StopFlow forgets a flow. Unknown ones are ignored.
	StopFlow(workspace, flow string)
	// Refresh says that exchanges of the workspace's flows may have been deleted
	// and made again since they were bound.
	Refresh(workspace string)
}

// statusStopping marks a flow that flow-svc is taking down: its record is still
// there, its exchanges will not be for long.
const statusStopping = "stopping"

// digest identifies what a table acts on in a record. Tables keep the records;
// with tens of thousands of flows a second copy would be felt.
type digest [sha256.Size]byte

// definitions are the flows of one workspace that the Table knows.
type definitions map[string]digest

// replace makes next the definitions of the workspace, tells the table the
// difference, and returns what the table knows now. A flow that is being stopped
// counts as absent; one that is in keep stays as it is, if it is known.
func (d definitions) replace(t Table, workspace string, next map[string]codec.FlowRecord, keep map[string]digest) definitions {
	now := make(definitions, len(next))
	for flow := range keep {
		if old, ok := d[flow]; ok {
			now[flow] = old
		}
	}
	for flow, r := range next {
		if r.Status != statusStopping {
			now[flow] = digestOf(r)
		}
	}
	for flow := range d {
		if _, ok := now[flow]; !ok {
			t.StopFlow(workspace, flow)
		}
	}
	for flow, is := range now {
		if was, ok := d[flow]; !ok || was != is {
			t.StartFlow(workspace, flow, next[flow])
		}
	}
	return now
}

// digestOf covers the interfaces; other members of a record are for people. Every
// text is preceded by its length, so that no two records look the same.
func digestOf(r codec.FlowRecord) digest {
	var b []byte
	for _, name := range slices.Sorted(maps.Keys(r.Interfaces)) {
		i := r.Interfaces[name]
		for _, text := range [...]string{name, i.Request, i.Response, i.Flow} {
			b = binary.AppendUvarint(b, uint64(len(text)))
			b = append(b, text...)
		}
	}
	return sha256.Sum256(b)
}
