package codec

import "sluice/pool"

// Part says what one answer of a service means for its exchange.
type Part struct {
	// Final says that no further answer will come.
	Final bool
	// Failed says that the service reported an error: the body is
	// {"error":{"type","message"}} and Final is set.
	Failed bool
}

// AppendResponse appends the API body of a bus message that a service of kind k
// sent. The error is an *Error marked as the service's, also when it wraps
// a *SyntaxError; then dst comes back as it was and the exchange is over.
func AppendResponse(dst []byte, k Kind, msg []byte) ([]byte, Part, error) {
	var m members
	a, err := readAnswer(k, msg, m[:])
	if err != nil {
		return dst, Part{Final: true}, err
	}
	if raw := m[a.error]; raw != nil && (raw[0] == '{' || truthy(raw)) {
		out, err := appendFailure(dst, raw)
		if err != nil {
			return dst, Part{Final: true}, answerError(err)
		}
		return out, Part{Final: true, Failed: true}, nil
	}
	out, problem := a.appendAnswer(dst, k, m[:])
	if problem != nil {
		return dst, Part{Final: true}, answerError(problem)
	}
	return out, Part{Final: a.isFinal(k, m[:])}, nil
}

// Final reports whether a bus message ends its exchange: AppendResponse would
// call it final or fail. It is cheaper than that for everything but messages
// with graph data in the middle of a stream.
func Final(k Kind, msg []byte) bool {
	var m members
	a, err := readAnswer(k, msg, m[:])
	if err != nil || a.isFinal(k, m[:]) {
		return true
	}
	if raw := m[a.error]; raw != nil && (raw[0] == '{' || truthy(raw)) {
		return true
	}
	if !a.nested {
		return false
	}
	scratch := pool.Acquire(2 * len(msg))
	defer scratch.Release()
	out, problem := a.appendAnswer(scratch.B, k, m[:])
	scratch.B = out
	return problem != nil
}

// readAnswer validates a bus message and finds its members.
func readAnswer(k Kind, msg []byte, m [][]byte) (*answer, error) {
	if !k.has(flowService | globalService) {
		return nil, wrong("this kind gives no answers")
	}
	a := answers[k]
	object, err := a.keys.scanMembers(msg, m)
	if err != nil {
		return nil, answerError(&Error{Reason: err.Error(), cause: err})
	}
	if !object {
		return nil, answerError(wrong("the message must be an object"))
	}
	return a, nil
}

// answerError marks an error as the service's fault.
func answerError(err *Error) error {
	err.Response = true
	return err
}

// isFinal reports whether a message without an error ends the exchange.
func (a *answer) isFinal(k Kind, m [][]byte) bool {
	if k == Knowledge {
		return knowledgeFinal(m)
	}
	if a.final == finalAlways {
		return true
	}
	if m[a.final] == nil {
		return !a.openEnded
	}
	return truthy(m[a.final])
}

var failure = newLayout([]field{optional("type", emptyText), optional("message", emptyText)})

// appendFailure writes the body for an error that a service reported.
func appendFailure(dst, raw []byte) ([]byte, *Error) {
	dst, err := failure.appendNested(append(dst, `{"error":`...), raw)
	if err != nil {
		return dst, err.in("error")
	}
	return append(dst, '}'), nil
}

// appendAnswer picks what the kind needs beside its table.
func (a *answer) appendAnswer(dst []byte, k Kind, m [][]byte) ([]byte, *Error) {
	if raw := m[a.error]; a.nullError && raw != nil && !isNone(raw) {
		return dst, wrong(wantObject).in("error")
	}
	l := a.layout
	switch k {
	case Knowledge:
		l = knowledgeLayout(m)
	case Sparql:
		l = sparqlLayout(m)
	case StructuredDiag:
		if op := m[structuredDiag.slot("operation")]; op != nil && isText(op, "schema-selection") {
			l = schemaSelection
		}
	}
	return l.append(dst, m)
}
