package dispatch

import "sync/atomic"

// Tap takes the frames of an export stream. Its methods are called one at a time,
// from goroutines of the bus and of whoever stops the flow, and with no lock of
// this package held.
type Tap interface {
	// Offer hands over a frame, which the tap retains if it wants to keep it. It
	// must not block: while it runs, the other taps of the stream wait.
	Offer(f *Frame)
	// Ended says that no frame will come any more: with ErrFlowStopped because the
	// flow stopped or its interface was given another topic, with ErrUnavailable
	// because the table was closed. It is the last call, and does not come after
	// the tap was closed.
	Ended(err error)
}

// Tap lets tap have what is published to the flow's interface from now on: a live
// tail, nothing older, and what is published while the bus is lost is missed
// without a word; the stream goes on by itself afterwards.
//
// All taps of an interface share one consumer on the bus. Each message is encoded
// once, with the encode of whoever was first, which appends to dst and may be
// called at any time until all taps of the interface are closed; its result is
// offered to each tap and the message then acknowledged. What encode refuses is
// skipped and counted.
//
// Tap returns when the consumer is there, which takes a moment for the first. The
// error is as for Outlet. Close may be called from anywhere, also twice, and never
// waits: at most one call of the tap's methods that is under way on another
// goroutine may still run to its end.
func (t *Table) Tap(workspace, flow, iface string, encode func(dst, msg []byte) ([]byte, error), tap Tap) (end func(), err error) {
	for {
		f, err := t.feed(workspace, flow, iface, encode)
		if err != nil {
			return nil, err
		}
		e := &tapEntry{tap: tap}
		if f.add(e) {
			return func() { f.drop(e) }, nil
		}
		// It ended in the meantime: there may be a new one to have.
	}
}

// The states of a tapEntry, in one word so that nothing slips in between.
const (
	tapBusy   = 1 << iota // in a method
	tapClosed             // by its owner
	tapEnded              // by the feed
)

// tapEntry is a tap of a feed. It makes sure that the tap's methods are called one
// at a time, although frames and the end come from different goroutines.
type tapEntry struct {
	tap   Tap
	state atomic.Uint32
	why   error // written before tapEnded is set
}

// offer is called by one goroutine at a time.
func (e *tapEntry) offer(f *Frame) {
	if e.state.Or(tapBusy)&(tapClosed|tapEnded) != 0 {
		return
	}
	e.tap.Offer(f)
	if e.state.And(^uint32(tapBusy))&(tapClosed|tapEnded) == tapEnded {
		e.tap.Ended(e.why)
	}
}

// end is called once.
func (e *tapEntry) end(why error) {
	e.why = why
	if e.state.Or(tapEnded)&(tapBusy|tapClosed) == 0 {
		e.tap.Ended(why)
	}
}

// close reports whether it was this call that closed the tap.
func (e *tapEntry) close() bool { return e.state.Or(tapClosed)&tapClosed == 0 }
