// Package core knows the format of knowledge core files: a plain concatenation of
// MessagePack values, each `["t", {"m": {"i", "c"}, "t": [triples]}]` or
// `["ge", {"m": {"i", "c"}, "e": [{"e": term, "v": vector}]}]`, with terms and
// triples shaped as in the API's JSON.
//
// It turns parts of a get-kg-core answer into values (AppendValues), takes a stream
// of values apart (Reader) and turns each into the body of a put-kg-core request
// (AppendPut). It holds one value at a time. What values mean, where they come from
// and who may move them is not its business.
package core
