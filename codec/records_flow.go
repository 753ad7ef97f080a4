package codec

import (
	"fmt"

	"github.com/bytedance/sonic"
)

// Interface is one service of a flow: a pair of topic ids for calls, or one
// topic id for work to be queued. Absent members are empty.
type Interface struct {
	Request, Response, Flow string
}

// FlowRecord is the value of a config item of type `flow` (bus.md section 11),
// as far as a gateway needs it.
type FlowRecord struct {
	// Interfaces maps interface names to topics. Nil when the flow has none.
	Interfaces map[string]Interface
	// Status is "stopping" while the flow is being stopped, else usually empty.
	Status string
}

type flowMembers struct {
	Interfaces sonic.NoCopyRawMessage `json:"interfaces"`
	Status     sonic.NoCopyRawMessage `json:"status"`
}

type interfaceMembers struct {
	Request  sonic.NoCopyRawMessage `json:"request"`
	Response sonic.NoCopyRawMessage `json:"response"`
	Flow     sonic.NoCopyRawMessage `json:"flow"`
}

// ParseFlowRecord reads a flow record. Members that it does not know may hold
// anything; a record without interfaces is a flow without services. The result
// shares no memory with text.
func ParseFlowRecord[T ~string | ~[]byte](text T) (FlowRecord, error) {
	var m flowMembers
	if err := decodeRecord(string(text), &m); err != nil {
		return FlowRecord{}, fmt.Errorf("flow record: %w", err)
	}
	interfaces, err := parseInterfaces(m.Interfaces)
	if err != nil {
		return FlowRecord{}, fmt.Errorf("flow record: %w", err)
	}
	// A status that is no text says nothing that a gateway could act on.
	status, _ := rawText(m.Status)
	return FlowRecord{Interfaces: interfaces, Status: status}, nil
}

func parseInterfaces(raw sonic.NoCopyRawMessage) (map[string]Interface, error) {
	if isNull(raw) {
		return nil, nil
	}
	if raw[0] != '{' {
		return nil, &RecordError{Member: "interfaces", Want: "an object"}
	}
	var members map[string]sonic.NoCopyRawMessage
	if err := recordJSON.Unmarshal(raw, &members); err != nil {
		return nil, fmt.Errorf("interfaces: %w", shortError(err))
	}
	if len(members) == 0 {
		return nil, nil
	}
	out := make(map[string]Interface, len(members))
	for name, raw := range members {
		one, err := parseInterface(name, raw)
		if err != nil {
			return nil, err
		}
		out[name] = one
	}
	return out, nil
}

func parseInterface(name string, raw sonic.NoCopyRawMessage) (Interface, error) {
	if len(raw) == 0 || raw[0] != '{' {
		return Interface{}, &RecordError{Member: "interfaces." + name, Want: "an object"}
	}
	var m interfaceMembers
	if err := recordJSON.Unmarshal(raw, &m); err != nil {
		return Interface{}, fmt.Errorf("interface %q: %w", name, shortError(err))
	}
	var out Interface
	for _, f := range []struct {
		name string
		raw  sonic.NoCopyRawMessage
		to   *string
	}{{"request", m.Request, &out.Request}, {"response", m.Response, &out.Response}, {"flow", m.Flow, &out.Flow}} {
		text, ok := rawText(f.raw)
		if !ok {
			return Interface{}, &RecordError{Member: "interfaces." + name + "." + f.name, Want: "a string"}
		}
		*f.to = text
	}
	return out, nil
}
