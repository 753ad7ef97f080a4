package dispatch

import (
	"context"
	"sync"
	"sync/atomic"

	"sluice/bus"
)

// Outlet publishes an import stream to an interface of a flow. Make it with
// Table.Outlet and end it with Close. Its methods may be called concurrently;
// what one goroutine publishes keeps its order.
type Outlet struct {
	// set once
	table   *Table
	link    *link
	stopped chan struct{}
}

// Outlet returns where the flow's interface takes work. The interface's name need
// not be that of a kind. The error is *UnknownFlowError or ErrUnsupportedKind,
// ErrFlowStopped if the flow was redefined under it, or ErrUnavailable after
// Close. It does not wait.
func (t *Table) Outlet(workspace, flow, iface string) (*Outlet, error) {
	o := &Outlet{table: t, stopped: make(chan struct{})}
	l, err := t.link(workspace, flow, iface, func(error) { close(o.stopped) })
	if err != nil {
		return nil, err
	}
	o.link = l
	return o, nil
}

// Publish hands body, a bus message, to the bus and returns when it is on its way;
// body is borrowed until then. What becomes of it s is told, exactly once, under
// the given token: nil when the bus has it in a queue, else ErrNoService or
// ErrOutcomeUnknown. When Publish returns an error, nothing was sent and s is not
// told.
//
// When too much is on its way it waits for room within ctx. The error is
// ErrFlowStopped once Stopped is closed, ErrTooLarge, ErrUnavailable, ErrTimeout
// or ErrGone as ctx ended.
func (o *Outlet) Publish(ctx context.Context, body []byte, s Settler, token uint64) error {
	select {
	case <-o.stopped:
		return ErrFlowStopped
	default:
	}
	if len(body) > o.table.config.MaxMessageBytes {
		return ErrTooLarge
	}
	p := parcels.Get().(*parcel)
	p.to, p.token = s, token
	p.holders.Store(2)
	p.message = bus.Message{To: o.link.topic, Body: body}
	err := o.table.bus.PublishAsync(ctx, &p.message, p, 0)
	p.done()
	if err != nil {
		p.done()
		return busError(err)
	}
	return nil
}

// Stopped is closed when the flow stops, its interface is given another topic, or
// the table is closed. What was published before is still settled.
func (o *Outlet) Stopped() <-chan struct{} { return o.stopped }

// Close ends the outlet. What was published is still settled. It may be called
// twice.
func (o *Outlet) Close() { o.table.links.remove(o.link) }

// parcel is one message under way: it translates what the bus says of it.
type parcel struct {
	to      Settler
	token   uint64
	message bus.Message
	// holders counts who needs it: Publish, and the bus.
	holders atomic.Int32
}

var parcels = sync.Pool{New: func() any { return new(parcel) }}

// Settled implements Settler, for the bus.
func (p *parcel) Settled(_ uint64, err error) {
	if err != nil {
		err = busError(err)
	}
	p.to.Settled(p.token, err)
	p.done()
}

// done ends a holder's use.
func (p *parcel) done() {
	if p.holders.Add(-1) == 0 {
		p.to, p.message = nil, bus.Message{}
		parcels.Put(p)
	}
}
