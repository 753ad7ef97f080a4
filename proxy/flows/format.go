package flows

import (
	"errors"
	"fmt"

	"github.com/goccy/go-yaml/ast"

	"sluice/bus"
	"sluice/codec"
)

// parseFile reads the contents of a flows file: workspace → flow → record.
//
//	default:
//	  demo:
//	    interfaces:
//	      text-completion: {request: "request:tg:demo:llm", response: "response:tg:demo:llm"}
//	      text-load: {flow: "flow:tg:demo:load"}
//
// A flow is a record as the config service keeps it, or just its interfaces: the
// level `interfaces:` may be left out. Unlike records of the config service,
// which other people write for other readers too, a file is checked to the last
// member: whoever made the typo is the one who reads the error.
func parseFile(text []byte) (map[string]map[string]codec.FlowRecord, error) {
	d, err := parseDocument(text)
	if err != nil {
		return nil, err
	}
	if d.root == nil {
		// A file that is being written is empty for a moment.
		return nil, errors.New("the file is empty; write {} to say that there are no flows")
	}
	workspaces, err := d.mapping(d.root, "the file")
	if err != nil {
		return nil, err
	}
	out := make(map[string]map[string]codec.FlowRecord, len(workspaces))
	for _, ws := range workspaces {
		if ws.key == "" {
			return nil, fmt.Errorf("line %d: a workspace needs a name", ws.line)
		}
		if out[ws.key], err = d.workspace(ws); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (d *document) workspace(ws entry) (map[string]codec.FlowRecord, error) {
	flows, err := d.mapping(ws.value, fmt.Sprintf("workspace %q", ws.key))
	if err != nil {
		return nil, err
	}
	out := make(map[string]codec.FlowRecord, len(flows))
	for _, f := range flows {
		if f.key == "" {
			return nil, fmt.Errorf("line %d: a flow of workspace %q needs a name", f.line, ws.key)
		}
		if out[f.key], err = d.flow(f); err != nil {
			return nil, fmt.Errorf("%w (flow %q of workspace %q)", err, f.key, ws.key)
		}
	}
	return out, nil
}

func (d *document) flow(f entry) (codec.FlowRecord, error) {
	members, err := d.mapping(f.value, "a flow")
	if err != nil {
		return codec.FlowRecord{}, err
	}
	full := false
	for _, m := range members {
		full = full || m.key == "interfaces"
	}
	if !full {
		interfaces, err := d.interfaces(members)
		return codec.FlowRecord{Interfaces: interfaces}, err
	}
	return d.record(members)
}

// record reads the long form of a flow.
func (d *document) record(members []entry) (r codec.FlowRecord, err error) {
	for _, m := range members {
		switch m.key {
		case "interfaces":
			var list []entry
			if list, err = d.mapping(m.value, `"interfaces"`); err == nil {
				r.Interfaces, err = d.interfaces(list)
			}
		case "status":
			r.Status, err = d.text(m.value, `"status"`)
		case "description", "blueprint-name", "parameters": // for people
		default:
			err = fmt.Errorf("line %d: unknown member %q of a flow; services go below \"interfaces\"", m.line, m.key)
		}
		if err != nil {
			return codec.FlowRecord{}, err
		}
	}
	return r, nil
}

func (d *document) interfaces(list []entry) (map[string]codec.Interface, error) {
	if len(list) == 0 {
		return nil, nil
	}
	out := make(map[string]codec.Interface, len(list))
	for _, e := range list {
		one, err := d.iface(e)
		if err != nil {
			return nil, err
		}
		out[e.key] = one
	}
	return out, nil
}

// iface reads one interface: a pair of topics or a flow topic.
func (d *document) iface(e entry) (i codec.Interface, err error) {
	what := fmt.Sprintf("interface %q", e.key)
	members, err := d.mapping(e.value, what)
	if err != nil {
		return i, err
	}
	for _, m := range members {
		switch m.key {
		case "request":
			i.Request, err = d.topic(m.value, bus.Request)
		case "response":
			i.Response, err = d.topic(m.value, bus.Response)
		case "flow":
			i.Flow, err = d.topic(m.value, bus.Flow)
		default:
			err = fmt.Errorf("line %d: unknown member %q of %s; it has \"request\" and \"response\", or \"flow\"", m.line, m.key, what)
		}
		if err != nil {
			return i, err
		}
	}
	if err := complete(i); err != nil {
		return i, fmt.Errorf("line %d: %s %w", e.line, what, err)
	}
	return i, nil
}

// topic reads a topic id of a class.
func (d *document) topic(n ast.Node, class bus.Class) (string, error) {
	id, err := d.text(n, fmt.Sprintf("a %s topic", class))
	if err != nil {
		return "", err
	}
	t, err := bus.ParseTopic(id)
	if err != nil {
		return "", fmt.Errorf("line %d: %w", line(n), err)
	}
	if t.Class != class {
		return "", fmt.Errorf("line %d: a %s topic begins with %q, not %q", line(n), class, class.String()+":", t.Class.String()+":")
	}
	return id, nil
}

func complete(i codec.Interface) error {
	switch {
	case i == codec.Interface{}:
		return errors.New(`needs "request" and "response", or "flow"`)
	case i.Request != "" && i.Response == "":
		return errors.New(`has a "request" but no "response"`)
	case i.Response != "" && i.Request == "":
		return errors.New(`has a "response" but no "request"`)
	case i.Request != "" && i.Flow != "":
		return errors.New(`has both a "request" and a "flow"`)
	}
	return nil
}
