package proxy

import (
	"sync"
	"sync/atomic"
	"time"

	"sluice/pool"
)

// sent tells what became of a frame that was offered.
type sent uint8

const (
	sentOK     sent = iota
	sentFull        // over the budget: dropped
	sentClosed      // the socket takes no more frames: dropped
)

// outbox is a socket's outgoing queue and what ends it.
type outbox struct {
	bytes atomic.Int64 // queued and not yet written; written under mu
	// control tells the writer that ping or pong is set, abandoned that what it has
	// taken is not to be written any more. Both are written under mu.
	control, abandoned atomic.Bool

	mu      sync.Mutex
	waiting *itemList // nil when none
	// waitingBytes is the size of what is in waiting.
	waitingBytes int64
	room         chan struct{} // closed when bytes have left; nil when nobody waits
	// ping and pong leave before the next frame: of several pings only the last one
	// has to be answered, so there is never more than one of each.
	ping bool
	pong *pool.Buffer
	// closeBy is when a closing socket is cut, Unix nanoseconds.
	closeBy    int64
	code       int  // the first close code, ours or the client's
	writing    bool // a writer runs
	closing    bool // no more frames are taken
	peerClosed bool
	closeSent  bool
	// lingering: what the client still sends is thrown away, and nothing follows
	// our close frame.
	lingering bool
	readDone  bool
	dead      bool // the connection is gone
}

// send queues a text message. It takes the payload.
func (c *wsConn) send(payload *pool.Buffer) sent {
	return c.put(item{op: opText, body: payload})
}

// sendShared queues a frame that others may be sending too. The queue takes
// a reference of its own.
func (c *wsConn) sendShared(f sharedFrame) sent {
	f.Retain()
	return c.put(item{op: opText, shared: f})
}

// sendPart queues a part, of which from makes the payload. It takes the part, which
// may be nil.
func (c *wsConn) sendPart(from partSource, part *pool.Buffer, final bool) sent {
	return c.put(item{op: opText, body: part, from: from, final: final})
}

// queued is how many bytes wait, with what is kept beside them.
func (c *wsConn) queued() int64 { return c.out.bytes.Load() }

// closed reports whether the socket takes no more frames.
func (c *wsConn) closed() bool {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	return c.out.closing || c.out.dead
}

func (c *wsConn) isDead() bool {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	return c.out.dead
}

// put queues a frame and makes sure that a writer runs. What it refuses it drops.
func (c *wsConn) put(it item) sent {
	it.weigh()
	outcome, start := c.enqueue(&it)
	if outcome != sentOK {
		it.drop()
		return outcome
	}
	c.count(&it, start)
	return sentOK
}

// putControl has a ping sent, or a pong with that payload, which it takes.
func (c *wsConn) putControl(op byte, payload *pool.Buffer) {
	o := &c.out
	o.mu.Lock()
	if o.closing || o.dead {
		o.mu.Unlock()
		payload.Release()
		return
	}
	var earlier *pool.Buffer
	if op == opPing {
		o.ping = true
	} else {
		earlier, o.pong = o.pong, payload
	}
	o.control.Store(true)
	start := !o.writing
	o.writing = true
	o.mu.Unlock()
	earlier.Release()
	if start {
		go c.write()
	}
}

// takeControl takes what putControl has left.
func (o *outbox) takeControl() (ping bool, pong *pool.Buffer) {
	o.mu.Lock()
	defer o.mu.Unlock()
	ping, pong = o.ping, o.pong
	o.ping, o.pong = false, nil
	o.control.Store(false)
	return ping, pong
}

// count enters a queued frame into the account of the process, and starts the
// writer.
func (c *wsConn) count(it *item, start bool) {
	if c.sockets.queued.Add(it.alone)+c.sockets.sharedBytes() > c.sockets.maxQueued {
		c.sockets.relieve()
	}
	if start {
		go c.write()
	}
}

func (c *wsConn) enqueue(it *item) (outcome sent, start bool) {
	o := &c.out
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closing || o.dead {
		return sentClosed, false
	}
	// One frame always fits, so that large ones can be sent at all.
	if b := o.bytes.Load(); b > 0 && b+it.size > c.sockets.maxPerSocket {
		return sentFull, false
	}
	return sentOK, o.append(it)
}

// append queues a frame and reports whether a writer must be started. mu is held.
func (o *outbox) append(it *item) (start bool) {
	if o.waiting == nil {
		o.waiting = itemLists.Get().(*itemList) //nolint:forcetypeassert // the pool's own
	}
	o.waiting.items = append(o.waiting.items, *it)
	o.bytes.Add(it.size)
	o.waitingBytes += it.size
	start = !o.writing
	o.writing = true
	return start
}

// sendInPlace queues a frame in the place of the oldest ones that wait, when those
// would be over the budget together with it, and returns how many it has dropped.
// What is being written is beyond reach, and is not counted.
func (c *wsConn) sendInPlace(it item) (outcome sent, droppedFrames int) {
	it.weigh()
	o := &c.out
	o.mu.Lock()
	if o.closing || o.dead {
		o.mu.Unlock()
		it.drop()
		return sentClosed, 0
	}
	dropped := o.makeRoom(it.size, c.sockets.maxPerSocket)
	start := o.append(&it)
	o.mu.Unlock()
	c.count(&it, start)
	c.discard(dropped)
	return sentOK, len(dropped)
}

// makeRoom takes the oldest messages out until size more fit. mu is held.
func (o *outbox) makeRoom(size, limit int64) (dropped []item) {
	if o.waiting == nil || o.waitingBytes+size <= limit {
		return nil
	}
	kept := o.waiting.items[:0]
	for _, it := range o.waiting.items {
		if it.isData() && o.waitingBytes+size > limit {
			o.waitingBytes -= it.size
			dropped = append(dropped, it)
			continue
		}
		kept = append(kept, it)
	}
	clear(o.waiting.items[len(kept):])
	o.waiting.items = kept
	return dropped
}

// discard drops frames that have left the queue, and their bytes.
func (c *wsConn) discard(items []item) {
	var size, alone int64
	for i := range items {
		size += items[i].size
		alone += items[i].alone
		items[i].drop()
	}
	c.leave(size, alone)
}

// leave takes bytes off the accounts, the socket's and the process's, and wakes who
// waits for room.
func (c *wsConn) leave(bytes, alone int64) {
	if bytes == 0 {
		return
	}
	c.out.bytes.Add(-bytes)
	c.sockets.queued.Add(-alone)
	c.out.mu.Lock()
	c.wakeLocked()
	c.out.mu.Unlock()
}

func (c *wsConn) wakeLocked() {
	if c.out.room != nil {
		close(c.out.room)
		c.out.room = nil
	}
}

// waitRoom waits until at most max bytes are queued. It is false when the socket
// is closed.
func (c *wsConn) waitRoom(limit int64) bool {
	for {
		o := &c.out
		o.mu.Lock()
		if o.closing || o.dead {
			o.mu.Unlock()
			return false
		}
		if o.bytes.Load() <= limit {
			o.mu.Unlock()
			return true
		}
		if o.room == nil {
			o.room = make(chan struct{})
		}
		room := o.room
		o.mu.Unlock()
		<-room
	}
}

// close sends what is queued and then a close frame, and no frame after that. The
// first close counts. The client then has five seconds.
func (c *wsConn) close(code int, reason string) { c.end(code, reason, false) }

// abandon is close, except that what is queued is dropped.
func (c *wsConn) abandon(code int, reason string) { c.end(code, reason, true) }

func (c *wsConn) end(code int, reason string, drop bool) {
	body := pool.Acquire(2 + len(reason))
	body.B = append(append(body.B, byte(code>>8), byte(code)), reason...)
	it := item{op: opClose, body: body, size: itemBytes, alone: itemBytes}
	o := &c.out
	o.mu.Lock()
	if o.closing || o.dead {
		o.mu.Unlock()
		it.drop()
		return
	}
	var dropped *itemList
	if drop {
		dropped, o.waiting, o.waitingBytes = o.waiting, nil, 0
		o.abandoned.Store(true)
	}
	o.closing, o.closeBy = true, time.Now().Add(c.sockets.closeWait).UnixNano()
	if o.code == 0 {
		o.code = code
	}
	start := o.append(&it)
	c.wakeLocked()
	o.mu.Unlock()
	c.sockets.queued.Add(it.alone)
	if dropped != nil {
		c.discard(dropped.items)
		dropped.release()
	}
	if start {
		go c.write()
	}
	c.tellClosing()
}

// tellClosing tells the handler, which may be in the middle of something that it
// holds locks for.
func (c *wsConn) tellClosing() {
	if c.handler == nil {
		return
	}
	go func() {
		defer func() {
			if p := recover(); p != nil {
				c.panicked("closing", p)
			}
		}()
		c.handler.closing()
	}()
}

// die ends a socket whose connection is of no more use: nothing can be sent.
func (c *wsConn) die(code int) {
	o := &c.out
	o.mu.Lock()
	if o.dead {
		o.mu.Unlock()
		return
	}
	first := !o.closing
	o.dead, o.closing = true, true
	if o.code == 0 {
		o.code = code
	}
	dropped := o.waiting
	o.waiting, o.waitingBytes = nil, 0
	c.wakeLocked()
	o.mu.Unlock()
	_ = c.conn.kill()
	if dropped != nil {
		c.discard(dropped.items)
		dropped.release()
	}
	if first {
		c.tellClosing()
	}
}

// readerEnded is called when the reader has returned.
func (c *wsConn) readerEnded() {
	o := &c.out
	o.mu.Lock()
	o.readDone = true
	over := o.closeSent || o.dead
	o.mu.Unlock()
	if over {
		c.die(codeAbnormal)
	}
	c.finalizeIfOver()
}

// finalizeIfOver forgets the socket once neither reader nor writer is there.
func (c *wsConn) finalizeIfOver() {
	c.out.mu.Lock()
	over := c.out.readDone && !c.out.writing && c.out.dead
	c.out.mu.Unlock()
	if over {
		c.finalize()
	}
}

func (c *wsConn) finalize() {
	if c.gone.CompareAndSwap(false, true) {
		c.sockets.remove(c)
	}
}
