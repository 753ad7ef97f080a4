package proxy

import (
	"log/slog"
	"net/netip"
	"net/url"
	"time"
)

// Config is what the operator decides about the front door. The zero value of a
// field means the default that its comment names.
type Config struct {
	// Strict answers failures with statuses of their own (`--strict-status`)
	// instead of the reference's 200.
	Strict bool

	// MaxBodyBytes bounds one request body, after decompression. 256 MiB.
	MaxBodyBytes int64
	// BodyBudgetBytes bounds all request bodies held at once. Four times
	// MaxBodyBytes; whoever knows the memory limit should say a quarter of it.
	BodyBudgetBytes int64
	// MaxCoreValueBytes bounds one MessagePack value of an imported core, whose
	// sum nothing bounds. 16 MiB.
	MaxCoreValueBytes int
	// MaxConns bounds the client connections. DefaultMaxConns.
	MaxConns int
	// MaxInFlight bounds the requests being handled. 65,536.
	MaxInFlight int

	// CallTimeout bounds a call, PartTimeout the wait for each of its parts.
	// The dispatcher's own defaults.
	CallTimeout, PartTimeout time.Duration
	// AuthTimeout bounds the one IAM request behind an auth route. 120 s.
	AuthTimeout time.Duration
	// LoginRate is how many requests a second one client address may make to the
	// public auth routes, LoginBurst how many at once. 5 and 30. A negative rate
	// means no limit, for user names and changes of passwords neither.
	LoginRate  float64
	LoginBurst int

	// TrustedProxies are the networks of proxies whose X-Forwarded-For is believed
	// to tell the client's address. Empty: the peer is the client.
	TrustedProxies []netip.Prefix

	// HeaderTimeout bounds the arrival of a request's header. 10 s.
	HeaderTimeout time.Duration
	// BodyTimeout plus the arrived bytes at BodyBytesPerSecond bounds the arrival
	// of a body. 60 s and 64 KiB.
	BodyTimeout        time.Duration
	BodyBytesPerSecond int64
	// IdleTimeout is how long a connection is kept between requests. 75 s.
	IdleTimeout time.Duration
	// WriteStall is how long 256 KiB of an answer may take to leave. 30 s.
	WriteStall time.Duration

	// AllowedOrigins are the values of the Origin header with which a socket may be
	// opened. Empty: any, and none, are let in.
	AllowedOrigins []string
	// SocketQueueBytes bounds what waits to be written to one socket; a client that
	// lets more gather is closed with 1013. 16 MiB.
	SocketQueueBytes int64
	// SocketBudgetBytes bounds what waits for all sockets together. 256 MiB.
	SocketBudgetBytes int64
	// MaxUnauthenticated bounds the sockets that have not authenticated. 4,096.
	MaxUnauthenticated int
	// SocketAuthWait is how long a socket may be open without authenticating. 30 s.
	SocketAuthWait time.Duration
	// SocketPing is after how long a silent socket is pinged, SocketDead after how
	// long it is given up. 40 s and 120 s.
	SocketPing, SocketDead time.Duration
	// SocketCloseWait bounds the closing handshake. 5 s.
	SocketCloseWait time.Duration
	// ImportConfirmWait bounds how long an import that ends may take to learn what
	// became of its last messages. 8 s.
	ImportConfirmWait time.Duration
	// ExportBlockBytes bounds what waits in the broker for one export with
	// `?overflow=block`; beyond it the oldest is dropped. 64 MiB.
	ExportBlockBytes int

	// Upstream is where the metrics proxy fetches from. Nil: http://prometheus:9090.
	Upstream *url.URL
	// UpstreamTimeout bounds a fetch from it, the body included. 300 s.
	UpstreamTimeout time.Duration

	// Ready says why the gateway is not ready for calls, or nil when it is. It is
	// called for every /readyz and may be called concurrently. Nil: always ready.
	Ready func() error
	// Logger gets the front door's log. slog.Default.
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	setDefault(&c.MaxBodyBytes, 256<<20)
	setDefault(&c.BodyBudgetBytes, 4*c.MaxBodyBytes)
	setDefault(&c.MaxCoreValueBytes, 16<<20)
	if c.MaxConns <= 0 {
		c.MaxConns = DefaultMaxConns()
	}
	setDefault(&c.MaxInFlight, 65536)
	setDefault(&c.AuthTimeout, 120*time.Second)
	setDefault(&c.LoginRate, 5)
	setDefault(&c.LoginBurst, 30)
	setDefault(&c.HeaderTimeout, 10*time.Second)
	setDefault(&c.BodyTimeout, 60*time.Second)
	setDefault(&c.BodyBytesPerSecond, 64<<10)
	setDefault(&c.IdleTimeout, 75*time.Second)
	setDefault(&c.WriteStall, 30*time.Second)
	setDefault(&c.SocketQueueBytes, 16<<20)
	setDefault(&c.SocketBudgetBytes, 256<<20)
	setDefault(&c.MaxUnauthenticated, 4096)
	setDefault(&c.SocketAuthWait, 30*time.Second)
	setDefault(&c.SocketPing, 40*time.Second)
	setDefault(&c.SocketDead, 120*time.Second)
	setDefault(&c.SocketCloseWait, 5*time.Second)
	setDefault(&c.ImportConfirmWait, 8*time.Second)
	setDefault(&c.ExportBlockBytes, 64<<20)
	setDefault(&c.UpstreamTimeout, 300*time.Second)
	if c.Upstream == nil {
		c.Upstream = &url.URL{Scheme: "http", Host: "prometheus:9090"}
	}
	if c.Ready == nil {
		c.Ready = func() error { return nil }
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
