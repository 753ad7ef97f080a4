package proxy

import (
	"errors"
	"math"
	"strconv"
	"time"

	"sluice/codec"
	"sluice/proxy/dispatch"
)

// nothingLost is the index of the first lost message when there is none.
const nothingLost = math.MaxUint64

// importEnding is how an import ends. Nothing more is taken once it has begun; it
// is done when what was taken is settled, or has had its time.
type importEnding struct {
	code   int // why it began; 0: it has not
	reason string
	timer  *time.Timer
	done   bool
	// lost is the first message that is not in a queue, or may not be, and of which
	// the client has not been told.
	lost    uint64
	lostErr error
	late    bool // there was no time to settle the rest
}

var (
	// errUnconfirmed stands for messages that were not settled in time.
	errUnconfirmed = errors.New("unconfirmed")
	errNotUTF8     = errors.New(reasonNotUTF8)
)

// end begins the end of the import, for the first reason that there is: it then
// has a few seconds to settle what it has taken.
func (i *importer) end(code int, reason string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.endLocked(code, reason)
}

// cutOff ends an import that has nobody left to tell.
func (i *importer) cutOff() { i.end(codeAbnormal, "") }

func (i *importer) endLocked(code int, reason string) {
	e := &i.ending
	if e.code != 0 {
		return
	}
	e.code, e.reason = code, reason
	i.changed.Broadcast()
	if i.finishIfDone(); !e.done {
		e.timer = time.AfterFunc(i.stream.server.cfg.ImportConfirmWait, i.expire)
	}
}

// expire ends an import that takes too long to settle.
func (i *importer) expire() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.ending.done {
		return
	}
	i.ending.late = true
	if i.window.empty() {
		i.lose(i.window.top, errUnconfirmed)
	} else {
		i.lose(i.window.base, errUnconfirmed)
	}
	i.dropQueue()
	i.finish()
}

// finishIfDone finishes an ending import of which nothing is under way any more.
// The caller holds mu.
func (i *importer) finishIfDone() {
	if i.ending.code != 0 && !i.ending.done && !i.pumping && i.queue.len() == 0 && i.window.empty() {
		i.finish()
	}
}

// finish says goodbye. The caller holds mu.
func (i *importer) finish() {
	e := &i.ending
	e.done = true
	if e.timer != nil {
		e.timer.Stop()
	}
	i.cancel()
	if i.outlet != nil {
		i.outlet.Close()
	}
	if i.c != nil && e.code != codeAbnormal {
		i.ack(1)
		i.c.close(e.goodbye())
	}
	i.changed.Broadcast()
	close(i.over)
}

// goodbye is what the client is told. A clean close, and a reason that names no
// message, mean that everything that was taken is in a queue.
func (e *importEnding) goodbye() (code int, reason string) {
	switch {
	case e.lost == nothingLost:
		return e.code, shortReason(e.reason)
	case e.late:
		return codeServerError, "unconfirmed from message " + strconv.FormatUint(e.lost, 10) + " on"
	case e.reason == reasonFlowStopped:
		return e.code, e.reason + " before message " + strconv.FormatUint(e.lost, 10)
	}
	return codeServerError, atMessage(e.lost, e.lostErr)
}

// lose notes a message of whose failure the client will be told at the end. The
// caller holds mu.
func (i *importer) lose(index uint64, err error) {
	if index < i.ending.lost {
		i.ending.lost, i.ending.lostErr = index, err
	}
}

// dropQueue drops what is not on its way yet. The caller holds mu.
func (i *importer) dropQueue() {
	for i.queue.len() > 0 {
		item := i.queue.pop()
		i.held.Add(-item.bytes())
		item.body.Release()
		importUnsent.Inc()
	}
	i.changed.Broadcast()
}

// atMessage is the reason to close because of one message.
func atMessage(index uint64, err error) string {
	return shortReason("message " + strconv.FormatUint(index, 10) + ": " + importErrorText(err))
}

// importErrorText is what a client is told of a failure: of the bus, only what
// kind it is.
func importErrorText(err error) string {
	var invalid *codec.Error
	var syntax *codec.SyntaxError
	if errors.As(err, &invalid) || errors.As(err, &syntax) || errors.Is(err, errNotUTF8) {
		return err.Error()
	}
	for _, known := range []error{
		dispatch.ErrNoService, dispatch.ErrOutcomeUnknown, dispatch.ErrTooLarge, dispatch.ErrFlowStopped, errUnconfirmed,
	} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return dispatch.ErrUnavailable.Error()
}
