package proxy

import (
	"net"
	"net/netip"
	"testing"

	"github.com/valyala/fasthttp"
)

// TestClientBehindProxies: only what trusted proxies have seen is believed.
func TestClientBehindProxies(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for _, row := range []struct {
		name, peer string
		headers    []string
		want       string
	}{
		{"no proxy", "192.0.2.1", nil, "192.0.2.1"},
		{"no proxy, forged", "192.0.2.1", []string{"203.0.113.9"}, "192.0.2.1"},
		{"proxy", "10.0.0.1", []string{"203.0.113.9"}, "203.0.113.9"},
		{"proxy that tells nothing", "10.0.0.1", nil, "10.0.0.1"},
		{"forged before a proxy", "10.0.0.1", []string{"1.1.1.1, 203.0.113.9"}, "203.0.113.9"},
		{"two proxies", "10.0.0.1", []string{"1.1.1.1, 203.0.113.9, 10.0.0.2"}, "203.0.113.9"},
		{"two lines", "10.0.0.1", []string{"1.1.1.1", "203.0.113.9,10.0.0.2"}, "203.0.113.9"},
		{"two lines, the last trusted", "10.0.0.1", []string{"1.1.1.1,203.0.113.9", "10.0.0.2"}, "203.0.113.9"},
		{"trusted all the way", "10.0.0.1", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{"nonsense", "10.0.0.1", []string{"203.0.113.9, unknown"}, "10.0.0.1"},
		{"nonsense behind a proxy", "10.0.0.1", []string{"x, 10.0.0.2"}, "10.0.0.2"},
		{"empty", "10.0.0.1", []string{""}, "10.0.0.1"},
		{"only commas", "10.0.0.1", []string{",,"}, "10.0.0.1"},
		{"with ports", "10.0.0.1", []string{"203.0.113.9:1234, [fd00::2]:80"}, "203.0.113.9"},
		{"IPv6", "fd00::1", []string{"2001:db8::1"}, "2001:db8::1"},
		{"IPv4 in IPv6", "::ffff:10.0.0.1", []string{"::ffff:203.0.113.9"}, "203.0.113.9"},
		{"zone", "10.0.0.1", []string{"fe80::1%eth0"}, "fe80::1"},
	} {
		s := &Server{cfg: Config{TrustedProxies: trusted}}
		var ctx fasthttp.RequestCtx
		ctx.Init(&fasthttp.Request{}, &net.TCPAddr{IP: net.ParseIP(row.peer), Port: 1}, nil)
		for _, h := range row.headers {
			ctx.Request.Header.Add(forwardedFor, h)
		}
		if got := s.clientOf(&ctx); got != netip.MustParseAddr(row.want) {
			t.Errorf("%s: %v, expected %s", row.name, got, row.want)
		}
	}
	var ctx fasthttp.RequestCtx
	ctx.Init(&fasthttp.Request{}, &net.UnixAddr{Name: "x"}, nil)
	if got := (&Server{}).clientOf(&ctx); got.IsValid() {
		t.Errorf("a peer without address: %v", got)
	}
}
