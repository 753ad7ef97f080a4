// Package flows knows where flow definitions come from, and keeps the dispatch
// table in step with them: a Receiver follows the config service over the bus, a
// File follows a file for people who have no config service.
//
// It refuses to guess. Definitions are only changed by a complete, understood
// answer: an error, a garbled reply or a record that cannot be read never stops
// a flow that is running.
package flows

import (
	"maps"

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

// definitions are the flows of one workspace that the Table knows.
type definitions map[string]codec.FlowRecord

// replace makes next the definitions of the workspace and tells the table the
// difference. A flow that is being stopped counts as absent. It returns what
// the table knows now.
func (d definitions) replace(t Table, workspace string, next definitions) definitions {
	maps.DeleteFunc(next, func(_ string, r codec.FlowRecord) bool { return r.Status == statusStopping })
	for flow := range d {
		if _, ok := next[flow]; !ok {
			t.StopFlow(workspace, flow)
		}
	}
	for flow, r := range next {
		if old, ok := d[flow]; !ok || !sameRecord(old, r) {
			t.StartFlow(workspace, flow, r)
		}
	}
	return next
}

// sameRecord compares what a table acts on. Other members of a record are for
// people.
func sameRecord(a, b codec.FlowRecord) bool {
	return a.Status == b.Status && maps.Equal(a.Interfaces, b.Interfaces)
}
