package proxy

import (
	"errors"
	"strconv"

	"sluice/codec"
	"sluice/pool"
	"sluice/proxy/dispatch"
)

// publishQueued is the pump.
func (i *importer) publishQueued() {
	defer func() {
		if p := recover(); p != nil {
			i.c.panicked("import", p)
			i.c.abandon(codeServerError, reasonInternal)
			i.mu.Lock()
			defer i.mu.Unlock()
			i.pumping = false
			i.dropQueue()
		}
	}()
	i.mu.Lock()
	defer i.mu.Unlock()
	for i.queue.len() > 0 {
		if !i.window.hasRoom(i.queue.front().size()) {
			i.changed.Wait()
			continue
		}
		item := i.queue.pop()
		i.held.Add(-item.bytes())
		i.changed.Broadcast()
		index := i.window.enter(item.size())
		if item.err != nil {
			importInvalid.Inc()
			i.failed(index, item.err)
			continue
		}
		if err := i.publish(index, item.body); err != nil {
			i.unsent(index, err)
		}
	}
	i.pumping = false
	i.finishIfDone()
}

// publish hands a message to the bus, which may take its time. It ends body. The
// caller holds mu, which is free meanwhile.
func (i *importer) publish(index uint64, body *pool.Buffer) error {
	i.mu.Unlock()
	defer i.mu.Lock()
	defer body.Release()
	return i.outlet.Publish(i.ctx, body.B, i, index)
}

// unsent notes that the bus did not take a message. The caller holds mu.
func (i *importer) unsent(index uint64, err error) {
	importUnsent.Inc()
	if errors.Is(err, dispatch.ErrFlowStopped) {
		i.lose(index, err)
		i.dropQueue()
		i.endLocked(codeGoingAway, reasonFlowStopped)
		i.window.settle(index)
		return
	}
	i.failed(index, err)
}

// Settled implements dispatch.Settler.
func (i *importer) Settled(index uint64, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if err != nil {
		countUnsettled(err)
		i.failed(index, err)
	} else {
		importOK.Inc()
		i.settle(index)
	}
	if i.window.roomy() {
		i.changed.Broadcast()
	}
}

// settle takes a message off the window, which may be worth an ack, or the end.
// The caller holds mu.
func (i *importer) settle(index uint64) {
	i.window.settle(index)
	i.ack(i.ackEvery)
	i.finishIfDone()
}

// failed settles a message that is not in a queue, or may not be. A client with
// acks is told; to any other it is the end. The caller holds mu.
func (i *importer) failed(index uint64, err error) {
	if i.ackEvery > 0 {
		i.tell(errorFrame(index, err))
	} else {
		i.lose(index, err)
		i.dropQueue()
		i.endLocked(codeServerError, "")
	}
	i.settle(index)
}

// ack tells how far the messages are settled, when that is at least so many more
// than the client knows. The caller holds mu.
func (i *importer) ack(least uint64) {
	if i.ackEvery == 0 || i.window.base-i.acked < max(least, 1) {
		return
	}
	i.acked = i.window.base
	frame := pool.Acquire(0)
	frame.B = strconv.AppendUint(append(frame.B, `{"ack":`...), i.acked-1, 10)
	frame.B = append(frame.B, '}')
	i.tell(frame)
}

func (i *importer) tell(frame *pool.Buffer) {
	if i.c.send(frame) == sentFull {
		wsDroppedFull.Inc()
		i.c.abandon(codeTryLater, reasonSlow)
	}
}

func errorFrame(index uint64, err error) *pool.Buffer {
	frame := pool.Acquire(0)
	frame.B = codec.AppendQuoted(append(frame.B, `{"error":`...), importErrorText(err))
	frame.B = strconv.AppendUint(append(frame.B, `,"index":`...), index, 10)
	frame.B = append(frame.B, '}')
	return frame
}
