// Package proxy is the front door: it owns the listening port, the routes, the
// reading of bodies, admission, and the one place that turns errors into
// statuses (status.go). Requests become calls of the dispatcher; who may do what
// is asked of auth on the same parsed path and the same parsed body that is
// forwarded.
//
// It refuses to know brokers, topics and how members are translated, it holds no
// data between requests, and it never waits without a bound: connections,
// requests in flight, body bytes and every read and write have one.
package proxy
