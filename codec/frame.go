package codec

// The slots of an envelope's members.
const (
	frameType = iota
	frameToken
	frameID
	frameService
	frameRequest
	frameFlow
	frameWorkspace
	frameMembers
)

var frameKeys = newKeyset("type", "token", "id", "service", "request", "flow", "workspace")

// Frame is the parsed envelope of one frame of the multiplexed socket. One scan
// validates all of it, the inner request too, so that what is decided on is what
// is forwarded: of several members with one name the last one counts, however
// they are spelled, and case counts.
//
// A Frame is reusable and its zero value is ready. It holds views into the frame's
// text, which must stay as it is until Reset, the next Parse or the Frame's end.
// It is not safe for concurrent use.
type Frame struct {
	object bool
	found  [frameMembers][]byte
}

// Parse validates a whole frame. Each member is held to the limits of a text of
// its own. The error is a *SyntaxError, and then the Frame is as after Reset. A
// valid frame that is not an object is no error here: IsObject tells. It does not
// allocate but for the error.
func (f *Frame) Parse(text []byte) error {
	f.Reset()
	object, err := frameKeys.scanMembersAt(text, 0, f.found[:])
	if err != nil {
		f.Reset()
		return err
	}
	f.object = object
	return nil
}

// Reset forgets the text.
func (f *Frame) Reset() { *f = Frame{} }

// IsObject reports whether the frame is a JSON object.
func (f *Frame) IsObject() bool { return f.object }

// IsAuth reports whether `type` is "auth", which wins over everything else in
// the frame.
func (f *Frame) IsAuth() bool {
	return f.found[frameType] != nil && isText(f.found[frameType], "auth")
}

// Token is the member `token` of an auth frame, of any type.
func (f *Frame) Token() Value { return Value{f.found[frameToken]} }

// ID is the member `id`, of any type, spelled as the client spelled it. Null counts
// as present.
func (f *Frame) ID() Value { return Value{f.found[frameID]} }

// Service is the member `service`, of any type.
func (f *Frame) Service() Value { return Value{f.found[frameService]} }

// Request is the member `request`, of any type. Null counts as present.
func (f *Frame) Request() Value { return Value{f.found[frameRequest]} }

// Flow is the member `flow`, of any type; a false one names no flow.
func (f *Frame) Flow() Value { return Value{f.found[frameFlow]} }

// Workspace is the envelope's own member `workspace`, of any type.
func (f *Frame) Workspace() Value { return Value{f.found[frameWorkspace]} }

// ParseWithin takes the request inside a parsed frame as the body, without
// validating it again. The Request then views the frame's text. A request that is
// absent or no object passes, as in Parse: IsObject tells.
func (r *Request) ParseWithin(k Kind, f *Frame) {
	r.Reset()
	r.kind = k
	if raw := f.found[frameRequest]; raw != nil && raw[0] == '{' {
		requestLayout(k).keys.collect(raw, 0, r.found[:])
		r.object = true
	}
}
