// Package auth turns a bearer token into an identity and decides what that
// identity may do in which workspace.
//
// Tokens are JWTs, verified here with the signing keys of IAM, and API keys,
// resolved by IAM over the bus; both are remembered in bounded caches, so that a
// known token costs no allocation and no bus traffic. IAM is reached through the
// one-method interface IAM that this package declares itself; files of keys serve
// people who have no IAM.
//
// The package refuses to know HTTP: proxy maps ErrRefused, ErrDenied and
// ErrUnavailable to statuses. It refuses to run without authentication, and it
// never says why a credential was refused.
package auth
