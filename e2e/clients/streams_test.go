package clients

import (
	"net/http/httptest"
	"strconv"
	"testing"
)

// Raw frames by the Python library websockets: import and export.
func TestStreamFrames(t *testing.T) {
	t.Parallel()
	startPlatform(t).python(t, "stream_frames")
}

// And over the embedded bus.
func TestStreamFramesOnTheEmbeddedBus(t *testing.T) {
	t.Parallel()
	startEmbedded(t).python(t, "stream_frames")
}

// The script sends SIGTERM itself, in the middle of things.
func TestSocketsAtSIGTERM(t *testing.T) {
	t.Parallel()
	p := startPlatform(t)
	s := httptest.NewServer(p.startPaced(t))
	t.Cleanup(s.Close)
	p.python(t, "sigterm", "RELEASE="+s.URL, "PID="+strconv.Itoa(p.gateway.cmd.Process.Pid))
	p.gateway.awaitEnd(t)
}
