//go:build !race

package codec

import "testing"

// TestAllocationsOfTranslation holds every hot path at no allocation into the
// caller's memory. The race detector allocates on its own, hence the build tag.
func TestAllocationsOfTranslation(t *testing.T) {
	for _, s := range samples() {
		t.Run(s.name, func(t *testing.T) {
			run := s.runner()
			if err := run(); err != nil {
				t.Fatal(err)
			}
			// Pools may be emptied by a collection in between: an average below one
			// is none.
			if n := testing.AllocsPerRun(200, func() { _ = run() }); n != 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
}

func TestAllocationsOfFrontDoor(t *testing.T) {
	body := []byte(`{"operation":"create-user","workspace":"w","user":{"roles":["reader"]},"user_id":"u"}`)
	kindName := []byte("collection-management")
	var req Request
	dst := make([]byte, 0, 1024)
	run := func() {
		_, known := ParseKind(kindName)
		err := req.Parse(IAM, body)
		op, ok := req.Operation()
		roles := req.Member("user").Get("roles")
		req.SetWorkspaceText("default")
		req.SetActor("user-1")
		req.SetUserID("user-2")
		req.DisableStreaming()
		dst, _ = req.AppendMessage(dst[:0])
		if !known || err != nil || !ok || string(op) != "create-user" || !roles.Present() {
			t.Error("the body was not understood")
		}
	}
	run()
	if n := testing.AllocsPerRun(200, run); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestAllocationsOfFinal(t *testing.T) {
	msg := []byte(`{"error":null,"response":"x","end_of_stream":false}`)
	if n := testing.AllocsPerRun(200, func() { Final(TextCompletion, msg) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestAllocationsOfFrame(t *testing.T) {
	text := frameSample()
	var f Frame
	var r Request
	run := func() {
		err := f.Parse(text)
		service, ok := f.Service().String()
		r.ParseWithin(TextCompletion, &f)
		if err != nil || !ok || len(service) == 0 || f.IsAuth() || !f.Flow().Truthy() || !r.IsObject() {
			t.Error("the frame was not understood")
		}
	}
	run()
	if n := testing.AllocsPerRun(200, run); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
