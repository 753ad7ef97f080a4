// Package clients proves that clients which are not ours work against the built
// binary over RabbitMQ: the published Python SDK of TrustGraph, the Python library
// websockets for raw frames, and a page in headless Chromium. TrustGraph's own command
// line shows besides that the contract for ours is right: both do the same. Its IAM
// service and ours take turns on one Cassandra keyspace.
//
// It has no code but tests. The clients are installed by scripts/clients and found
// through the variables it sets; without them the tests fail.
package clients
