package clients

import "testing"

// The published Python SDK works unmodified: calls over HTTP and over the socket,
// a completion streamed.
func TestPythonSDK(t *testing.T) {
	t.Parallel()
	startPlatform(t).python(t, "sdk_calls")
}
