// Package dispatch turns (workspace, flow, kind) into a service on the message
// bus, and a request to it into the answer.
//
// Table knows which flows exist, wires a service when it is first called and
// unwires it when its flow stops or nobody calls it for long. Pending holds the
// calls that wait for an answer; the bus hands it every reply.
//
// A call has a slot, and its slot either a mailbox, where Call and Ask wait for the
// latest part, or a Sink, which Stream fills: then no goroutine waits, and one
// goroutine for all looks after the deadlines. A part goes from the bus's goroutine
// straight to the sink, one at a time for each call and with no lock held.
// Download is the exception among calls: its answer comes through a queue of its
// own, so that it is the broker that waits for a slow reader.
//
// Work is queued with Send, with Stream, or through an Outlet, which publishes a
// whole import stream. Tap is the other direction: all taps of an interface share
// one consumer, which encodes each message once into a Frame that they share as
// well; BlockingTap is for the few readers that would rather wait than lose. Both
// are live tails: they see what is published while they are there. Outlets and
// taps end when their interface does.
//
// Looking up a wired service, finding the call that a reply belongs to, and a
// whole call or stream over a bus that does not allocate, allocate nothing. No lock is
// shared by calls of different services, and nothing here waits for the bus
// while it holds one.
//
// The package refuses to retry: once a request may have reached the bus, only
// its caller knows whether it may be sent twice.
package dispatch
