package clients

import "testing"

// The published Python SDK works unmodified: calls over HTTP, a streamed
// completion over the socket, bulk import and export.
func TestPythonSDK(t *testing.T) { startPlatform(t).python(t, "sdk") }
