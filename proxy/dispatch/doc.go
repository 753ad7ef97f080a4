// Package dispatch turns (workspace, flow, kind) into a service on the message
// bus, and a request to it into the answer.
//
// Table knows which flows exist, wires a service when it is first called and
// unwires it when its flow stops or nobody calls it for long. Pending holds the
// calls that wait for an answer; the bus hands it every reply.
//
// Looking up a wired service, finding the call that a reply belongs to, and a
// whole call over a bus that does not allocate, allocate nothing. No lock is
// shared by calls of different services, and nothing here waits for the bus
// while it holds one.
//
// The package refuses to retry: once a request may have reached the bus, only
// its caller knows whether it may be sent twice.
package dispatch
