package dispatch

import (
	"fmt"
	"strings"
	"sync"

	"sluice/bus"
)

// link ties an import or export stream to an interface of a flow, and is cut when
// the flow stops or the interface is given another topic.
type link struct {
	// set once
	key   flowKey
	iface string
	id    string    // the topic as the flow defines it
	topic bus.Topic // the same
	onCut func(err error)
}

// links are the streams of all flows.
type links struct {
	mu sync.Mutex
	of map[flowKey]map[*link]struct{}
}

// link ties a stream to an interface. OnCut is called at most once, not after the
// links' remove has returned true, but possibly before link returns, also with an
// error. The error is *UnknownFlowError,
// ErrUnsupportedKind or ErrUnavailable.
func (t *Table) link(workspace, id, iface string, onCut func(err error)) (*link, error) {
	topic, text, err := t.streamTopic(workspace, id, iface)
	if err != nil {
		return nil, err
	}
	l := &link{
		key:   flowKey{strings.Clone(workspace), strings.Clone(id)},
		iface: strings.Clone(iface), id: text, topic: topic, onCut: onCut,
	}
	t.links.add(l)
	// Whoever changes a flow does so before cutting its links: either they have
	// seen this one, or this sees the change.
	_, now, err := t.streamTopic(workspace, id, iface)
	switch {
	case t.closed.Load():
		err = ErrUnavailable
	case err == nil && now != text:
		err = ErrFlowStopped
	}
	if err != nil {
		t.links.remove(l)
		return nil, err
	}
	return l, nil
}

// streamTopic returns where an interface's stream goes.
func (t *Table) streamTopic(workspace, id, iface string) (bus.Topic, string, error) {
	topics, err := t.Interface(workspace, id, iface)
	if err != nil {
		return bus.Topic{}, "", err
	}
	topic, err := topicOf(topics.Flow, bus.Flow)
	if err != nil {
		return bus.Topic{}, "", fmt.Errorf("%w: %w", ErrUnsupportedKind, err)
	}
	return topic, topics.Flow, nil
}

func (l *links) add(one *link) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.of[one.key] == nil {
		l.of[one.key] = map[*link]struct{}{}
	}
	l.of[one.key][one] = struct{}{}
}

// remove reports whether the link was there: it will not be cut any more.
func (l *links) remove(one *link) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.removeLocked(one)
}

func (l *links) removeLocked(one *link) bool {
	if _, there := l.of[one.key][one]; !there {
		return false
	}
	delete(l.of[one.key], one)
	if len(l.of[one.key]) == 0 {
		delete(l.of, one.key)
	}
	return true
}

// take removes and returns the links of a flow that its new definition, which may
// be nil, does not have. The caller cuts them.
func (l *links) take(key flowKey, now *flow) (taken []*link) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for one := range l.of[key] {
		if topics, ok := now.lookup(one.iface); !ok || topics.Flow != one.id {
			taken = append(taken, one)
		}
	}
	for _, one := range taken {
		l.removeLocked(one)
	}
	return taken
}

// takeAll removes and returns everything.
func (l *links) takeAll() (taken []*link) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, some := range l.of {
		for one := range some {
			taken = append(taken, one)
		}
	}
	clear(l.of)
	return taken
}
