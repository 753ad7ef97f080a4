package proxy

import (
	"encoding/binary"
	"net"
	"time"
)

// wsStream is the connection as the socket library sees it. Reading is the
// library's. Of its own accord the library also writes: the handshake, and close
// frames when the client breaks the protocol. Those must not get between the
// pieces of a frame that the writer is sending, so they are taken up here.
type wsStream struct {
	net.Conn
	c      *wsConn
	early  []byte // read along with the handshake
	opened bool   // the handshake is done; set before the reader starts
}

// Read notes that the client is alive.
func (s *wsStream) Read(p []byte) (int, error) {
	if len(s.early) > 0 {
		n := copy(p, s.early)
		if s.early = s.early[n:]; len(s.early) == 0 {
			s.early = nil
		}
		return n, nil
	}
	n, err := s.Conn.Read(p)
	if n > 0 {
		s.c.heard.Store(s.c.sockets.now.Load())
		wsBytesIn.Add(float64(n))
	}
	return n, err
}

// Write sends the handshake. Later it gets whole control frames, unmasked, of
// which the library's own are all close frames.
func (s *wsStream) Write(p []byte) (int, error) {
	if !s.opened {
		return s.Conn.Write(p)
	}
	if len(p) >= 4 && p[0] == frameFinal|opClose {
		code := int(binary.BigEndian.Uint16(p[2:]))
		s.c.abandon(code, libraryReason(code))
	}
	return len(p), nil
}

func libraryReason(code int) string {
	if code == codeTooBig {
		return reasonTooBig
	}
	return "protocol error"
}

// SetWriteDeadline is the writer's business once there is one.
func (s *wsStream) SetWriteDeadline(t time.Time) error {
	if !s.opened {
		return s.Conn.SetWriteDeadline(t)
	}
	return nil
}

// SetDeadline is never used after the handshake.
func (s *wsStream) SetDeadline(t time.Time) error {
	if !s.opened {
		return s.Conn.SetDeadline(t)
	}
	return nil
}
