package flows

import (
	"testing"

	"sluice/codec"
)

func TestDigestTellsRecordsApart(t *testing.T) {
	records := []map[string]codec.Interface{
		nil,
		{"a": {}},
		{"a": {Flow: "x"}},
		{"a": {Request: "x"}},
		{"a": {Response: "x"}},
		{"a": {Request: "x", Response: "y"}},
		{"a": {Request: "xy"}},
		{"ax": {Request: "y"}},
		{"a": {Request: "x"}, "b": {Request: "y"}},
		{"a": {Request: "y"}, "b": {Request: "x"}},
	}
	seen := make(map[digest]int)
	for i, interfaces := range records {
		d := digestOf(codec.FlowRecord{Interfaces: interfaces, Status: "whatever"})
		if j, ok := seen[d]; ok {
			t.Errorf("records %d and %d look the same", j, i)
		}
		seen[d] = i
		if again := digestOf(codec.FlowRecord{Interfaces: interfaces}); again != d {
			t.Errorf("record %d has two digests", i)
		}
	}
}
