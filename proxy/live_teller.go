package proxy

import "sluice/codec"

// teller writes the parts of one answer in their form.
type teller struct {
	kind    codec.Kind
	form    liveForm
	started bool
}

// part appends what tells the client of one part, which is a bus message, or nil
// for a sender's success. An error before the first part is returned, for it can
// still become a status; a later one is the client's to read.
func (t *teller) part(dst, msg []byte, final bool) ([]byte, error) {
	from := len(dst)
	dst = t.open(dst)
	var what codec.Part
	var err error
	if msg == nil {
		dst = append(dst, "{}"...)
	} else if dst, what, err = codec.AppendResponse(dst, t.kind, msg); err != nil {
		if !t.started {
			return dst[:from], err
		}
		return t.failure(dst[:from], err), nil
	}
	if what.Failed && !t.started {
		return dst[:from], &failedFirst{string(dst[from+t.head():])}
	}
	t.started = true
	dst = t.close(dst, from)
	if final && !what.Failed {
		dst = t.end(dst)
	}
	return dst, nil
}

// failure appends what tells the client that the call has failed.
func (t *teller) failure(dst []byte, err error) []byte {
	from := len(dst)
	dst = append(t.open(dst), `{"error":{"type":"gateway-error","message":`...)
	o := outcomeOf(err)
	dst = codec.AppendQuoted(dst, o.text(err))
	return t.close(append(dst, "}}"...), from)
}

func (t *teller) open(dst []byte) []byte {
	if t.form == liveEvents {
		return append(dst, "data: "...)
	}
	return dst
}

func (t *teller) head() int { return len(t.open(nil)) }

// close ends the text from there on. Line breaks of the service's, which are mere
// white space in JSON, would end it too early.
func (t *teller) close(dst []byte, from int) []byte {
	for i, c := range dst[from:] {
		if c == '\n' || c == '\r' {
			dst[from+i] = ' '
		}
	}
	if t.form == liveEvents {
		dst = append(dst, '\n')
	}
	return append(dst, '\n')
}

// end appends what tells the client that all is said. Lines have nothing for that.
func (t *teller) end(dst []byte) []byte {
	if t.form == liveEvents {
		return append(dst, "event: end\ndata: {}\n\n"...)
	}
	return dst
}

// idle is a text without meaning, which shows that somebody still reads.
func (t *teller) idle() []byte {
	if t.form == liveEvents {
		return []byte(":\n\n")
	}
	return []byte("\n")
}

// failedFirst is an error that a service reported before anything else.
type failedFirst struct{ body string }

func (e *failedFirst) Error() string { return "the service reported an error" }
