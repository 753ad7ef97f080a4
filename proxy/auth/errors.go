package auth

import "errors"

// What the front door learns of a failure. Everything else, the reason above all,
// stays inside: callers get one masked answer for each.
var (
	// ErrRefused: no, bad, expired or revoked credential (401).
	ErrRefused = errors.New("auth failure")
	// ErrDenied: a good credential that does not cover the operation or the
	// workspace (403).
	ErrDenied = errors.New("access denied")
	// ErrUnavailable: IAM could not be asked, so nothing is known of the
	// credential or of the key (503). It is never an allowance.
	ErrUnavailable = errors.New("identity service unavailable")
)
