package proxy

import (
	"sync"

	"sluice/pool"
)

// itemBytes is what a queued frame counts for beside its bytes.
const itemBytes = 64

// partSource makes the payload of a frame out of a queued part when the frame is
// about to leave.
type partSource interface {
	// appendPayload appends the payload for a part. It does not keep the part.
	appendPayload(dst, part []byte, final bool) []byte
	// settled is called once for every queued part, when its frame has been
	// written into the outgoing bytes, or dropped. It must not block.
	settled(final bool)
}

// sharedFrame is a frame in the form of the wire (appendWireText) that several
// sockets send.
type sharedFrame interface {
	Bytes() []byte
	Retain()
	Release()
}

// item is one frame that waits. One of body, shared and part is its content.
type item struct {
	body   *pool.Buffer // payload; with from, what from makes the payload of; may be nil
	from   partSource
	shared sharedFrame
	op     byte
	final  bool
	size   int64 // what it counts for at its socket
	alone  int64 // what it counts for in the process: a shared frame is counted once elsewhere
}

func (it *item) drop() {
	it.body.Release()
	if it.shared != nil {
		it.shared.Release()
	}
	if it.from != nil {
		it.from.settled(it.final)
	}
	*it = item{}
}

// weigh sets what the frame counts for.
func (it *item) weigh() {
	it.size = itemBytes
	if it.body != nil {
		it.size += int64(len(it.body.B))
	}
	it.alone = it.size
	if it.shared != nil {
		it.size += int64(len(it.shared.Bytes()))
	}
}

// isData tells frames with content from control frames.
func (it *item) isData() bool { return it.op == opText }

// itemList is lent to sockets while frames wait.
type itemList struct{ items []item }

var itemLists = sync.Pool{New: func() any { return &itemList{items: make([]item, 0, 8)} }}

const keptItems = 1024

func (l *itemList) release() {
	clear(l.items)
	l.items = l.items[:0]
	if cap(l.items) <= keptItems {
		itemLists.Put(l)
	}
}
