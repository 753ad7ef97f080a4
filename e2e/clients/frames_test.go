package clients

import "testing"

// Raw frames by the Python library websockets: the multiplexed socket.
func TestSocketFrames(t *testing.T) {
	t.Parallel()
	p := startPlatform(t)
	p.startPaced(t)
	p.python(t, "socket_frames")
}

// The embedded bus refuses what RabbitMQ refuses.
func TestAttacksOnTheEmbeddedBus(t *testing.T) {
	t.Parallel()
	startEmbedded(t).python(t, "socket_frames.Attacks")
}
