package proxy

import "golang.org/x/sys/unix"

// peer asks the kernel, without reading: bytes of a pipelined request in front of
// a FIN or a reset would hide it from a read.
func (c *conn) peer() peer {
	state := peerThere
	if c.raw == nil {
		return state
	}
	err := c.raw.Control(func(fd uintptr) {
		fds := [1]unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}} //nolint:gosec // descriptors are small
		if n, err := unix.Poll(fds[:], 0); err != nil || n == 0 {
			return
		}
		switch got := fds[0].Revents; {
		case got&(unix.POLLERR|unix.POLLHUP) != 0:
			state = peerGone
		case got&unix.POLLRDHUP != 0:
			state = peerSilent
		}
	})
	if err != nil {
		return peerGone // closed by us meanwhile
	}
	return state
}

// probe writes the interim response if the socket takes it at once, and reports
// whether the connection is still usable. The caller holds mu.
func (c *conn) probe() bool {
	usable := true
	err := c.raw.Control(func(fd uintptr) {
		n, err := unix.SendmsgN(int(fd), interimResponse, nil, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL) //nolint:gosec // descriptors are small
		if err == unix.EAGAIN || err == unix.EINTR {
			return
		}
		// Part of an interim response would garble what follows.
		usable = err == nil && n == len(interimResponse)
	})
	if err == nil && !usable {
		_ = c.kill()
	}
	return err == nil && usable
}
