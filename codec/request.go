package codec

// Request is a parsed API body of one kind. It is parsed once: what the front
// door decides on is what AppendMessage forwards, whatever the body spells twice
// or with escapes.
//
// A Request is reusable and its zero value is ready. It holds views into the
// body, which must stay as it is until Reset, the next Parse or the Request's
// end. It is not safe for concurrent use.
type Request struct {
	kind   Kind
	object bool
	found  members
	spare  []byte // texts that are no part of the body: overrides, unescaped strings
}

// Parse validates a whole body and notes the members that matter to the kind and
// to the front door. The error is a *SyntaxError, and then the Request is as
// after Reset. A valid body that is not an object is no error here: IsObject
// tells, and AppendMessage refuses it.
func (r *Request) Parse(k Kind, body []byte) error {
	r.Reset()
	object, err := requestLayout(k).keys.scanMembers(body, r.found[:])
	if err != nil {
		r.Reset()
		return err
	}
	r.kind, r.object = k, object
	return nil
}

// Reset forgets the body and keeps the memory that the Request owns.
func (r *Request) Reset() {
	r.kind, r.object, r.spare = 0, false, r.spare[:0]
	r.found = members{}
}

// Kind is the kind that the body was parsed for, or zero.
func (r *Request) Kind() Kind { return r.kind }

// IsObject reports whether the body is a JSON object.
func (r *Request) IsObject() bool { return r.object }

// Member returns a top-level member: any that the kind knows, and operation,
// workspace, actor, user_id, key_id, key, user, workspace_record and streaming
// for every kind. Other names are never present. What Set… wrote is seen here.
func (r *Request) Member(name string) Value {
	slot := slotOf(requestLayout(r.kind).keys, name)
	if slot < 0 {
		return Value{}
	}
	return Value{r.found[slot]}
}

// Operation returns the text of the member `operation`, and false when it is
// absent or not a string. The text is a view good until the next call of Parse or
// Reset. It does not allocate unless the body spells it with escapes.
func (r *Request) Operation() (text []byte, ok bool) {
	return r.Member("operation").String()
}

// SetWorkspaceText replaces the member `workspace`. Like the other setters it
// does nothing to a body that is not an object.
func (r *Request) SetWorkspaceText(workspace string) { r.setText("workspace", workspace) }

// SetWorkspaceRaw replaces the member `workspace` with a JSON value as it is
// spelled, one taken from a Value for example. The bytes must be a valid text and
// stay as they are for as long as the Request is used.
func (r *Request) SetWorkspaceRaw(value []byte) { r.setRaw("workspace", value) }

// SetActor replaces the member `actor`, which only the iam kind puts on the bus.
func (r *Request) SetActor(userID string) { r.setText("actor", userID) }

// SetOperation replaces the member `operation`.
func (r *Request) SetOperation(name string) { r.setText("operation", name) }

// SetUserID replaces the member `user_id`, which only the iam kind puts on the bus.
func (r *Request) SetUserID(userID string) { r.setText("user_id", userID) }

// NullWhereAbsent gives an object member the named members that it lacks, as null.
// It does nothing where the member itself is absent or no object. It changes what
// is forwarded only where the contract tells null from absence (iam.md 4.1).
func (r *Request) NullWhereAbsent(object string, names ...string) {
	v := r.Member(object)
	if !v.IsObject() {
		return
	}
	from := len(r.spare)
	r.spare = append(r.spare, v.Raw[:len(v.Raw)-1]...)
	bare := isEmpty(v.Raw)
	for _, name := range names {
		if v.Get(name).Present() {
			continue
		}
		if !bare {
			r.spare = append(r.spare, ',')
		}
		bare = false
		r.spare = append(appendQuoted(r.spare, name), ":null"...)
	}
	r.spare = append(r.spare, '}')
	r.setRaw(object, r.spare[from:len(r.spare):len(r.spare)])
}

// DisableStreaming makes `streaming` false for kinds that have it.
func (r *Request) DisableStreaming() {
	if r.kind.CanStream() {
		r.setRaw("streaming", literalFalse)
	}
}

// EnableStreaming makes `streaming` true for kinds that have it.
func (r *Request) EnableStreaming() {
	if r.kind.CanStream() {
		r.setRaw("streaming", literalTrue)
	}
}

var literalFalse, literalTrue = []byte("false"), []byte("true")

func (r *Request) setText(name, text string) {
	from := len(r.spare)
	r.spare = appendQuoted(r.spare, text)
	r.setRaw(name, r.spare[from:len(r.spare):len(r.spare)])
}

func (r *Request) setRaw(name string, raw []byte) {
	if slot := slotOf(requestLayout(r.kind).keys, name); r.object && slot >= 0 {
		r.found[slot] = raw
	}
}

// AppendMessage appends the bus message: "decode request" of the contract, or
// "decode send" for kinds that are sent. The error is an *Error; dst then comes
// back as it was.
func (r *Request) AppendMessage(dst []byte) ([]byte, error) {
	if !r.kind.has(flowService | globalService | sender) {
		return dst, wrong("this kind takes no requests")
	}
	if !r.object {
		return dst, wrong("the body must be a JSON object")
	}
	out, err := appendMessage(dst, r.kind, r.found[:])
	if err != nil {
		return dst, err
	}
	return out, nil
}

// AppendRequest is Parse and AppendMessage in one. The error is a *SyntaxError or
// an *Error.
func AppendRequest(dst []byte, k Kind, body []byte) ([]byte, error) {
	var r Request
	if err := r.Parse(k, body); err != nil {
		return dst, err
	}
	return r.AppendMessage(dst)
}

// appendMessage picks what the kind needs beside its table.
func appendMessage(dst []byte, k Kind, m [][]byte) ([]byte, *Error) {
	l := requestLayout(k)
	switch k {
	case Prompt:
		if m[l.slot("variables")] != nil {
			l = promptVariables
		}
	case TextLoad:
		return appendTextLoad(dst, m)
	case DocumentLoad:
		return appendDocumentLoad(dst, m)
	}
	return l.append(dst, m)
}
