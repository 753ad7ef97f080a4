// Package codec turns a client's JSON into messages for the bus and messages
// from the bus into JSON for a client: bytes in, bytes appended.
//
// One mechanism serves all kinds. A validating scanner (scan.go) reads a text
// once and notes where the members are that the kind knows; a table per kind
// and direction (fields_*.go) says under which name each is written, what stands
// in for an absent one and how its value is read; appenders for the shared
// structures (term.go, triple.go, list.go, …) do the rest. Values that are
// copied are spliced as they stand, so numbers keep their spelling and size.
//
// Because values are spliced, the scanner refuses whatever the parsers of the
// services could not read, also in members that nobody looks at: nesting over
// 256, integers over 4,300 digits, NaN, infinities and literals that overflow a
// double, invalid UTF-8, raw control characters, anything after the value. A
// service that fails to parse a message puts it back and gets it again for ever.
//
// The package knows nothing of the bus, of HTTP or of permissions, and it checks
// no operation names: what a member means is the services' business. Records
// that the process itself reads and writes (records*.go) go through sonic.
package codec
