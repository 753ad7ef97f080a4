package proxy

import (
	"time"

	"sluice/codec"
	"sluice/proxy/auth"
	"sluice/proxy/dispatch"
)

// Dispatcher carries requests to services and brings back answers;
// *dispatch.Table is one. Its methods are called concurrently.
type Dispatcher interface {
	// Call appends the answer's body to dst.
	Call(k dispatch.Key, req *codec.Request, dst []byte, c dispatch.Call) ([]byte, codec.Part, error)
	// Send returns nil once the message is safe in a queue.
	Send(k dispatch.Key, req *codec.Request, c dispatch.Call) error
	// Stream gives the parts of the answer to sink as they come.
	Stream(k dispatch.Key, req *codec.Request, c dispatch.Call, sink dispatch.Sink) (dispatch.StreamHandle, error)
	// Wired reports whether Stream of k would not have to wait for the bus.
	Wired(k dispatch.Key) bool
	// Download calls fn with the parts of an answer that can outrun its reader,
	// and leaves the rest with the bus until fn returns.
	Download(k dispatch.Key, req *codec.Request, c dispatch.Call, fn func(part []byte, final bool) error) error
	// Ask puts a message, already in the form of the bus, to a global service
	// and appends its raw reply to dst.
	Ask(kind codec.Kind, msg, dst []byte, timeout time.Duration) ([]byte, error)
}

// FlowStreams joins imports and exports to an interface of a flow; *dispatch.Table
// is one. Its methods are called concurrently.
type FlowStreams interface {
	// Outlet is where an import publishes.
	Outlet(workspace, flow, iface string) (*dispatch.Outlet, error)
	// Tap gives tap what is published, encoded once for all taps.
	Tap(workspace, flow, iface string, encode func(dst, msg []byte) ([]byte, error), tap dispatch.Tap) (end func(), err error)
	// BlockingTap is for an export whose reader may take its time.
	BlockingTap(workspace, flow, iface string, maxBytes int) (*dispatch.BlockingTap, error)
}

// Authenticator finds out whom a token stands for; *auth.Authenticator is one. It
// is called concurrently and borrows the token.
type Authenticator interface {
	Authenticate(token []byte) (*auth.Identity, error)
	// Forget says that what is known of an identity has changed.
	Forget(id *auth.Identity)
}

// Deps are the rooms that the front door needs. All of them are required.
type Deps struct {
	Dispatcher    Dispatcher
	Authenticator Authenticator
	Authoriser    auth.Authoriser
	FlowStreams   FlowStreams
}

var (
	_ Dispatcher    = (*dispatch.Table)(nil)
	_ FlowStreams   = (*dispatch.Table)(nil)
	_ Authenticator = (*auth.Authenticator)(nil)
)
