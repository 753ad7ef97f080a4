package proxy

import (
	"bytes"

	"github.com/valyala/fasthttp"
)

var (
	errBadRequest = &plainError{status: fasthttp.StatusBadRequest, reason: "Bad Request"}
	errVersion    = &plainError{status: fasthttp.StatusHTTPVersionNotSupported, reason: "HTTP Version Not Supported"}
)

// checkFraming refuses what fasthttp reads leniently and what a proxy in front
// may read differently, so that both never disagree on where a request ends
// (pitfalls F17, F18): length and chunks together, transfer codings other than
// chunked, folded header lines, lines that end in a bare LF.
func checkFraming(h *fasthttp.RequestHeader) error {
	if p := h.Protocol(); string(p) != "HTTP/1.1" && string(p) != "HTTP/1.0" {
		return errVersion
	}
	var lengths, codings int
	for raw := h.RawHeaders(); len(raw) > 0; {
		end := bytes.IndexByte(raw, '\n')
		if end < 1 || raw[end-1] != '\r' || raw[0] == ' ' || raw[0] == '\t' {
			return errBadRequest
		}
		line := raw[:end-1]
		raw = raw[end+1:]
		if len(line) == 0 {
			continue
		}
		switch line[0] | 0x20 {
		case 'c':
			if isHeader(line, "content-length:") {
				lengths++
			}
		case 't':
			if isHeader(line, "transfer-encoding:") {
				codings++
				if !equalFold(bytes.TrimSpace(line[len("transfer-encoding:"):]), "chunked") {
					return errBadRequest
				}
			}
		}
	}
	if lengths > 1 || codings > 1 || lengths+codings > 1 {
		return errBadRequest
	}
	return nil
}

// isHeader reports whether a header line begins with that name, in lower case and
// with its colon.
func isHeader(line []byte, name string) bool {
	return len(line) >= len(name) && equalFold(line[:len(name)], name)
}
