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
	// Ask puts a message, already in the form of the bus, to a global service
	// and appends its raw reply to dst.
	Ask(kind codec.Kind, msg, dst []byte, timeout time.Duration) ([]byte, error)
}

// Authenticator finds out whom a token stands for; *auth.Authenticator is one. It
// is called concurrently and borrows the token.
type Authenticator interface {
	Authenticate(token []byte) (*auth.Identity, error)
}

// Deps are the rooms that the front door needs. All of them are required.
type Deps struct {
	Dispatcher    Dispatcher
	Authenticator Authenticator
	Authoriser    auth.Authoriser
}

var (
	_ Dispatcher    = (*dispatch.Table)(nil)
	_ Authenticator = (*auth.Authenticator)(nil)
)
