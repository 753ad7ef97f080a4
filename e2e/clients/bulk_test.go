package clients

import "testing"

// The published Python SDK's bulk import and export work unmodified.
func TestPythonSDKBulk(t *testing.T) {
	t.Parallel()
	p := startPlatform(t)
	p.startPaced(t)
	p.python(t, "sdk_bulk")
}
