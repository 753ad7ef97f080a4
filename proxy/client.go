package proxy

import (
	"bytes"
	"net"
	"net/netip"

	"github.com/valyala/fasthttp"
)

const forwardedFor = "X-Forwarded-For"

// clientOf is whose request it is: the peer, or whom a trusted proxy names. Every
// proxy appends whom it was called by, so the list is read from its end, for as
// long as what is found is a trusted proxy; what stands before that was written by
// strangers. The zero Addr stands for a peer without an address.
func (s *Server) clientOf(ctx *fasthttp.RequestCtx) netip.Addr {
	client := addressOf(ctx.RemoteAddr())
	if !s.trusts(client) {
		return client
	}
	lines := ctx.Request.Header.PeekAll(forwardedFor)
	for i := len(lines) - 1; i >= 0; i-- {
		for rest := lines[i]; rest != nil; {
			var hop []byte
			rest, hop = lastOf(rest)
			address, ok := parseHop(bytes.TrimSpace(hop))
			if !ok {
				return client // the proxy that let it pass is the last one known
			}
			if client = address; !s.trusts(client) {
				return client
			}
		}
	}
	return client
}

func (s *Server) trusts(address netip.Addr) bool {
	for _, network := range s.cfg.TrustedProxies {
		if network.Contains(address) {
			return true
		}
	}
	return false
}

// lastOf splits the last element off a list; rest is nil when it was the only one.
func lastOf(list []byte) (rest, last []byte) {
	if i := bytes.LastIndexByte(list, ','); i >= 0 {
		return list[:i], list[i+1:]
	}
	return nil, list
}

// parseHop reads an address, which may come with a port.
func parseHop(hop []byte) (netip.Addr, bool) {
	if len(hop) > len("[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255%interface-name]:65535") {
		return netip.Addr{}, false
	}
	text := string(hop)
	address, err := netip.ParseAddr(text)
	if err != nil {
		var pair netip.AddrPort
		pair, err = netip.ParseAddrPort(text)
		address = pair.Addr()
	}
	return address.Unmap().WithZone(""), err == nil
}

func addressOf(addr net.Addr) netip.Addr {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return tcp.AddrPort().Addr().Unmap().WithZone("")
}

// siteOf is what counts as one client: an IPv4 address or an IPv6 /64.
func siteOf(address netip.Addr) netip.Prefix {
	bits := 32
	if address.Is6() {
		bits = 64
	}
	prefix, err := address.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return prefix
}
