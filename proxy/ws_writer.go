package proxy

import (
	"encoding/binary"

	"sluice/pool"
)

// Opcodes and the first bit of a frame's header (RFC 6455, 5.2).
const (
	opText     = 0x1
	opClose    = 0x8
	opPing     = 0x9
	opPong     = 0xA
	frameFinal = 0x80
)

const (
	// headerRoom is the longest header of a frame from a server.
	headerRoom = 10
	// gatherBytes is how much leaves in one write when there is more.
	gatherBytes = 60 << 10
	// directBytes is from where on a payload is written from where it lies.
	directBytes = 16 << 10
)

// appendHeader appends the header of a whole frame.
func appendHeader(dst []byte, op byte, payload int) []byte {
	dst = append(dst, frameFinal|op)
	switch {
	case payload < 126:
		return append(dst, byte(payload))
	case payload < 1<<16:
		return binary.BigEndian.AppendUint16(append(dst, 126), uint16(payload))
	}
	return binary.BigEndian.AppendUint64(append(dst, 127), uint64(payload))
}

// headerGuess is how long the header of a frame usually is. The payload is
// written behind that much room and moved when it was wrong.
const headerGuess = 4

var guessedHeader [headerGuess]byte

// beginText makes room for a header at the end of dst; endText follows.
func beginText(dst []byte) []byte { return append(dst, guessedHeader[:]...) }

// endText completes the frame that beginText began at dst[from:].
func endText(dst []byte, from int) []byte {
	payload := len(dst) - from - headerGuess
	var room [headerRoom]byte
	header := appendHeader(room[:0], opText, payload)
	if grow := len(header) - headerGuess; grow > 0 {
		dst = append(dst, room[:grow]...)
		copy(dst[from+len(header):], dst[from+headerGuess:from+headerGuess+payload])
	} else if grow < 0 {
		copy(dst[from+len(header):], dst[from+headerGuess:])
		dst = dst[:len(dst)+grow]
	}
	copy(dst[from:], header)
	return dst
}

// writeLoop sends what waits and ends when nothing does. There is at most one per
// socket, and nobody else writes to the connection.
func (c *wsConn) writeLoop() {
	defer func() {
		if p := recover(); p != nil {
			c.panicked("writer", p)
			c.die(codeServerError)
			c.writerEnded()
		}
	}()
	w := writer{c: c, out: pool.Acquire(0)}
	for {
		batch, on := c.takeBatch()
		if !on {
			break
		}
		w.control()
		if batch != nil {
			for i := range batch.items {
				w.add(&batch.items[i])
			}
			batch.release()
		}
		w.flush()
	}
	w.out.Release()
	c.finalizeIfOver()
}

// takeBatch takes what waits. When that is nothing the writer is over.
func (c *wsConn) takeBatch() (batch *itemList, on bool) {
	o := &c.out
	o.mu.Lock()
	batch = o.waiting
	o.waiting, o.waitingBytes = nil, 0
	on = batch != nil || o.control.Load()
	o.writing = on
	cut := !on && !o.dead && o.closeSent && (o.readDone || o.peerClosed)
	o.mu.Unlock()
	if cut {
		c.die(codeAbnormal) // the closing handshake is complete
	}
	return batch, on
}

// writerEnded is for a writer that has panicked.
func (c *wsConn) writerEnded() {
	c.out.mu.Lock()
	c.out.writing = false
	c.out.mu.Unlock()
	c.finalizeIfOver()
}

// writer gathers frames and writes them together.
type writer struct {
	c      *wsConn
	out    *pool.Buffer
	size   int64 // of the gathered items
	alone  int64 // likewise
	frames int
	closes bool
	failed bool
}

// add gathers one frame, and writes when that is enough. It ends the item.
func (w *writer) add(it *item) {
	w.size += it.size
	w.alone += it.alone
	large := it.size >= directBytes
	if w.failed || w.closes || it.op != opClose && w.c.out.abandoned.Load() {
		it.drop()
		return
	}
	w.control()
	w.frames++
	w.closes = it.op == opClose
	switch {
	case it.shared != nil:
		w.bytes(it.shared.Bytes())
	case it.from != nil:
		from := len(w.out.B)
		w.out.B = beginText(w.out.B)
		var part []byte
		if it.body != nil {
			part = it.body.B
		}
		w.out.B = endText(it.from.appendPayload(w.out.B, part, it.final), from)
	default:
		w.out.B = appendHeader(w.out.B, it.op, len(it.body.B))
		w.bytes(it.body.B)
	}
	it.drop()
	if large || len(w.out.B) >= gatherBytes {
		w.flush()
	}
}

// control adds the ping and the pong that are due. They do not wait for what is
// queued: the client may have little patience, and so have we.
func (w *writer) control() {
	if !w.c.out.control.Load() {
		return
	}
	ping, pong := w.c.out.takeControl()
	if w.failed || w.closes {
		pong.Release()
		return
	}
	if ping {
		w.frames++
		w.out.B = appendHeader(w.out.B, opPing, 0)
	}
	if pong != nil {
		w.frames++
		w.out.B = append(appendHeader(w.out.B, opPong, len(pong.B)), pong.B...)
		pong.Release()
	}
}

// bytes adds b, or writes it when copying would cost more.
func (w *writer) bytes(b []byte) {
	if len(b) < directBytes {
		w.out.B = append(w.out.B, b...)
		return
	}
	w.write(w.out.B)
	w.out.B = w.out.B[:0]
	w.write(b)
}

// flush writes what has gathered and takes it off the accounts.
func (w *writer) flush() {
	if len(w.out.B) > 0 {
		w.write(w.out.B)
	}
	if cap(w.out.B) > 2*gatherBytes { // blown up by a large part
		w.out.Release()
		w.out = pool.Acquire(0)
	}
	w.out.B = w.out.B[:0]
	if !w.failed {
		w.c.kind.metrics().framesOut.Add(float64(w.frames))
		if w.closes {
			w.c.out.mu.Lock()
			w.c.out.closeSent = true
			lingering := w.c.out.lingering
			w.c.out.mu.Unlock()
			if lingering {
				w.c.conn.closeWrite()
			}
		}
	}
	w.frames = 0
	size, alone := w.size, w.alone
	w.size, w.alone = 0, 0
	w.c.leave(size, alone)
}

// write hands bytes to the connection, which grants every 256 KiB a deadline.
func (w *writer) write(b []byte) {
	if w.failed || len(b) == 0 {
		return
	}
	n, err := w.c.conn.Write(b)
	wsBytesOut.Add(float64(n))
	wsWrites.Inc()
	if err != nil {
		w.failed = true
		w.c.die(codeOfWrite(err))
	}
}
