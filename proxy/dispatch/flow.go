package dispatch

import (
	"strings"
	"unique"

	"sluice/codec"
)

// flowKey names a flow.
type flowKey struct {
	workspace, id string
}

// flow is a running flow: its interfaces, stored so that ten thousand of them
// fit. It is never changed.
type flow struct {
	key        flowKey
	interfaces []namedInterface
}

// namedInterface is an interface and its name. The same few names are in every
// flow, so they are kept once.
type namedInterface struct {
	name   unique.Handle[string]
	topics codec.Interface
}

// newFlow copies r. All topic ids of a flow share one allocation.
func newFlow(key flowKey, r codec.FlowRecord) *flow {
	f := &flow{key: key, interfaces: make([]namedInterface, 0, len(r.Interfaces))}
	var all strings.Builder
	for name, i := range r.Interfaces {
		f.interfaces = append(f.interfaces, namedInterface{unique.Make(name), i})
		all.Grow(len(i.Request) + len(i.Response) + len(i.Flow))
		all.WriteString(i.Request)
		all.WriteString(i.Response)
		all.WriteString(i.Flow)
	}
	rest := strings.Clone(all.String())
	for n := range f.interfaces {
		i := &f.interfaces[n].topics
		for _, text := range [...]*string{&i.Request, &i.Response, &i.Flow} {
			*text, rest = rest[:len(*text)], rest[len(*text):]
		}
	}
	return f
}

// lookup finds an interface. A nil flow has none.
func (f *flow) lookup(name string) (codec.Interface, bool) {
	if f != nil {
		for _, i := range f.interfaces {
			if i.name.Value() == name {
				return i.topics, true
			}
		}
	}
	return codec.Interface{}, false
}
