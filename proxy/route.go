package proxy

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"github.com/valyala/fasthttp"
)

// maxSegments is one more than the longest route has; longer paths are only
// reached by routes that take the rest of the path.
const maxSegments = 8

// row is one line of the route table. Segments of a path are literal text,
// `{name}` for any one segment, `{name*}` for any one segment even when it cannot
// be decoded, or, at the end, `{name...}` for the rest, which may be empty.
type row struct {
	method, path string
	// name labels the route's metrics and never changes.
	name   string
	handle func(*Server, *fasthttp.RequestCtx, *exchange) error
}

// route is a row, compiled.
type route struct {
	name    string
	method  string
	handle  func(*Server, *fasthttp.RequestCtx, *exchange) error
	metrics *routeMetrics
}

// node is a position in the tree of paths.
type node struct {
	literals map[string]*node
	param    *node
	anyParam bool // param takes segments that do not decode
	here     leaf // paths that end here
	rest     leaf // paths that go on
}

// leaf is the routes of one path, by method.
type leaf struct {
	routes []*route
	allow  string // their methods, for the Allow header
}

func (l *leaf) add(r *route) {
	l.routes = append(l.routes, r)
	if l.allow != "" {
		l.allow += ", "
	}
	l.allow += r.method
	if r.method == fasthttp.MethodGet {
		l.allow += ", " + fasthttp.MethodHead
	}
}

// table finds the route of a path and a method. It is immutable.
type table struct{ root node }

func compile(rows []row) *table {
	t := new(table)
	for _, r := range rows {
		t.root.insert(strings.Split(strings.TrimPrefix(r.path, "/"), "/"), &route{
			name: r.name, method: r.method, handle: r.handle, metrics: metricsOf(r.name),
		})
	}
	return t
}

func (n *node) insert(segments []string, r *route) {
	if len(segments) == 0 {
		n.here.add(r)
		return
	}
	switch first := segments[0]; {
	case strings.HasSuffix(first, "...}"):
		n.rest.add(r)
	case strings.HasPrefix(first, "{"):
		if n.param == nil {
			n.param = new(node)
		}
		n.anyParam = n.anyParam || strings.HasSuffix(first, "*}")
		n.param.insert(segments[1:], r)
	default:
		if n.literals == nil {
			n.literals = make(map[string]*node)
		}
		if n.literals[first] == nil {
			n.literals[first] = new(node)
		}
		n.literals[first].insert(segments[1:], r)
	}
}

// match is what the path of one request says. It holds views into the request,
// and is valid as long as that is.
type match struct {
	route *route
	// allow is set instead of route when only the method is wrong.
	allow string
	// param is the first `{…}` of the path, decoded; name and kind of a flow
	// service are the first two. A nil param could not be decoded.
	params [2][]byte
	// rest is what `{name...}` took, as it was sent.
	rest []byte

	segments [maxSegments]segment
	decoded  []byte
}

type segment struct {
	text []byte // decoded; nil when it is refused
	next int    // offset of the following segment in the path
}

// find looks path up. The path is the one of the request line, still encoded: it
// is taken apart before it is decoded, and decoded once.
func (m *match) find(t *table, method, path []byte) {
	m.forget()
	n, whole := m.split(path)
	search := search{match: m, path: path, method: method, count: n, whole: whole}
	m.route = search.from(&t.root, 0, 0)
	if m.route != nil {
		m.allow = ""
	}
}

// forget lets go of the request's memory.
func (m *match) forget() {
	m.route, m.allow, m.rest = nil, "", nil
	m.params = [2][]byte{}
	m.segments = [maxSegments]segment{}
}

// split takes the path apart and reports whether all of it fitted.
func (m *match) split(path []byte) (count int, whole bool) {
	if len(path) == 0 || path[0] != '/' {
		return 0, false
	}
	m.decoded = m.decoded[:0]
	if need := len(path); cap(m.decoded) < need {
		m.decoded = make([]byte, 0, max(need, 256)) // never grows below: views stay valid
	}
	for at := 1; count < maxSegments; count++ {
		end, next := len(path), len(path)+1
		if i := bytes.IndexByte(path[at:], '/'); i >= 0 {
			end, next = at+i, at+i+1
		}
		m.segments[count] = segment{text: m.decode(path[at:end]), next: next}
		if at = next; at > len(path) {
			return count + 1, true
		}
	}
	return count, false
}

// decode undoes percent-encoding once. It refuses, with nil, what could be read
// as another path further on: encoded slashes and percent signs, dot segments,
// control characters and bytes that are no UTF-8.
func (m *match) decode(raw []byte) []byte {
	text := raw
	if bytes.IndexByte(raw, '%') >= 0 {
		start := len(m.decoded)
		for i := 0; i < len(raw); i++ {
			c := raw[i]
			if c == '%' {
				var ok bool
				if c, ok = unhex(raw[i+1:]); !ok || c == '/' || c == '%' {
					return nil
				}
				i += 2
			}
			m.decoded = append(m.decoded, c)
		}
		text = m.decoded[start:]
	}
	if string(text) == "." || string(text) == ".." || !plain(text) {
		return nil
	}
	return text
}

func unhex(b []byte) (byte, bool) {
	if len(b) < 2 {
		return 0, false
	}
	hi, ok1 := hexDigit(b[0])
	lo, ok2 := hexDigit(b[1])
	return hi<<4 | lo, ok1 && ok2
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// plain reports whether b is UTF-8 without control characters.
func plain(b []byte) bool {
	for _, c := range b {
		if c < ' ' || c == 0x7f {
			return false
		}
	}
	return utf8.Valid(b)
}

// search is one walk through the tree.
type search struct {
	match        *match
	path, method []byte
	count        int
	whole        bool
}

// from returns the route below n for the segments from i on. Literal text wins
// over parameters, and a route with the right method over one without.
func (s *search) from(n *node, i, params int) *route {
	if i == s.count && s.whole {
		return s.choose(&n.here)
	}
	if i < s.count {
		if r := s.step(n, i, params); r != nil {
			return r
		}
	}
	if len(n.rest.routes) == 0 || i > s.count {
		return nil
	}
	at := 1
	if i > 0 {
		at = s.match.segments[i-1].next
	}
	s.match.rest = s.path[min(at, len(s.path)):]
	return s.choose(&n.rest)
}

func (s *search) step(n *node, i, params int) *route {
	seg := s.match.segments[i]
	if seg.text != nil {
		if child := n.literals[string(seg.text)]; child != nil {
			if r := s.from(child, i+1, params); r != nil {
				return r
			}
		}
	}
	if n.param == nil || len(seg.text) == 0 && (seg.text != nil || !n.anyParam) {
		return nil
	}
	r := s.from(n.param, i+1, params+1)
	if r != nil && params < len(s.match.params) {
		s.match.params[params] = seg.text
	}
	return r
}

func (s *search) choose(l *leaf) *route {
	for _, r := range l.routes {
		if string(s.method) == r.method || r.method == fasthttp.MethodGet && string(s.method) == fasthttp.MethodHead {
			return r
		}
	}
	if s.match.allow == "" {
		s.match.allow = l.allow
	}
	return nil
}
