package dispatch

import (
	"context"
	"errors"
	"fmt"

	"sluice/bus"
)

// How calls end when the service did not answer. They may be wrapped, so test
// with errors.Is. Beside them Call and Send return *UnknownFlowError and the
// codec's *codec.SyntaxError and *codec.Error.
var (
	// ErrUnsupportedKind: the flow has no such interface, or its topics make no
	// sense.
	ErrUnsupportedKind = errors.New("This kind not supported by flow")
	// ErrTimeout: no part came in the part time-out, or the call took longer
	// than it may in all.
	ErrTimeout = errors.New("Timeout")
	// ErrNoService: the request reached no queue, so nobody will answer it.
	ErrNoService = errors.New("no service is listening")
	// ErrFlowStopped: the flow was stopped, or redefined, during the call.
	ErrFlowStopped = errors.New("Flow stopped")
	// ErrLost: the connection to the bus was lost during the call. The service
	// may have served it.
	ErrLost = errors.New("connection to the message bus lost during the call")
	// ErrOutcomeUnknown: the bus may or may not have taken the message.
	ErrOutcomeUnknown = errors.New("outcome unknown")
	// ErrUnavailable: the bus cannot be reached, or takes nothing now. Nothing
	// was sent.
	ErrUnavailable = errors.New("message bus unavailable")
	// ErrExhausted: as many calls wait already as may. Nothing was sent.
	ErrExhausted = errors.New("too many calls in flight")
	// ErrTooLarge: the translated message is above Config.MaxMessageBytes.
	ErrTooLarge = errors.New("message too large")
	// ErrGone: the client left before the answer came.
	ErrGone = errors.New("client gone")
)

// UnknownFlowError says that no such flow is running.
type UnknownFlowError struct {
	Workspace, Flow string
}

// Error returns the contract's text, `Invalid flow W/F`.
func (e *UnknownFlowError) Error() string {
	return "Invalid flow " + e.Workspace + "/" + e.Flow
}

// busError translates an error of the bus into one of this package.
func busError(err error) error {
	for _, c := range [...]struct{ from, to error }{
		// First, because it may wrap the reason why.
		{bus.ErrOutcomeUnknown, ErrOutcomeUnknown},
		{bus.ErrUnroutable, ErrNoService},
		{bus.ErrTooLarge, ErrTooLarge},
		{ErrGone, ErrGone},
		{bus.ErrUnavailable, ErrUnavailable},
		{bus.ErrBusy, ErrUnavailable},
		{bus.ErrClosed, ErrUnavailable},
		{context.DeadlineExceeded, ErrTimeout},
		{context.Canceled, ErrGone},
	} {
		if errors.Is(err, c.from) {
			return fmt.Errorf("%w: %w", c.to, err)
		}
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}
