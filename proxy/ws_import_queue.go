package proxy

import "sluice/pool"

// importBacklogBytes bounds what one import has read and translated beyond its
// window: it is read so that pings behind it are answered. With more, reading
// pauses.
const importBacklogBytes = 8 << 20

// importItem is a message that waits for room in the window, or the mistake that
// is there in its place.
type importItem struct {
	body *pool.Buffer // translated; nil with err
	err  error
}

func (i *importItem) bytes() int64 {
	if i.body == nil {
		return itemBytes
	}
	return int64(len(i.body.B)) + itemBytes
}

func (i *importItem) size() int {
	if i.body == nil {
		return 0
	}
	return len(i.body.B)
}

// importQueue is first in, first out. The zero value is empty.
type importQueue struct {
	items []importItem
	head  int
	bytes int64
}

func (q *importQueue) len() int { return len(q.items) - q.head }

func (q *importQueue) push(i importItem) {
	q.items = append(q.items, i)
	q.bytes += i.bytes()
}

// front is the oldest item; there must be one.
func (q *importQueue) front() *importItem { return &q.items[q.head] }

func (q *importQueue) pop() importItem {
	i := q.items[q.head]
	q.items[q.head] = importItem{}
	q.head++
	q.bytes -= i.bytes()
	switch {
	case q.head == len(q.items) && cap(q.items) > keptItems:
		q.items, q.head = nil, 0
	case q.head == len(q.items):
		q.items, q.head = q.items[:0], 0
	case q.head >= 64 && 2*q.head >= len(q.items):
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	return i
}
