package cassandra

import (
	"cmp"
	"context"
	"crypto/tls"
	"net"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
)

const (
	// requestLimit is longer than a node's own limits for reads of many rows.
	requestLimit = 10 * time.Second
	// attemptLimit is longer than a node's own limits for conditional statements,
	// so that it is the node that tells what became of a write, unless it is frozen.
	attemptLimit = 5 * time.Second
	// silence is how long a node may say nothing before a read is asked of another
	// one too, and shunned how long such a node is the last to be asked.
	silence      = time.Second
	shunned      = 30 * time.Second
	connectLimit = 5 * time.Second
	// reconnectEvery is how often nodes that are down are tried.
	reconnectEvery = time.Second
	firstPause     = 100 * time.Millisecond
	maxPause       = 2 * time.Second
	pageRows       = 1000
	// protocol 4 is what every release since 2.2 speaks.
	protocol = 4
)

// connect keeps trying until there is a session on usable tables. From then on
// the driver itself finds nodes that come, go and return.
func (s *Store) connect() {
	defer close(s.connected)
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		session, err := s.begin()
		if err == nil {
			s.publish(session)
			return
		}
		if s.life.Err() != nil {
			return
		}
		s.note(err)
		if sleep(s.life, pause) != nil {
			return
		}
	}
}

func (s *Store) begin() (*gocql.Session, error) {
	config := s.config()
	watch := &connectWatch{}
	config.ConnectObserver = watch
	session, err := gocql.NewSession(config)
	if err != nil {
		// What the observer saw is the same failure, with its type.
		return nil, cmp.Or(watch.worst(), failure(err))
	}
	if err := s.prepare(s.life, session); err != nil {
		session.Close()
		return nil, err
	}
	return session, nil
}

func (s *Store) config() gocql.ClusterConfig {
	o := &s.o
	config := gocql.NewCluster(o.Hosts...)
	config.Port = defaultPort
	config.ProtoVersion = protocol
	config.Timeout, config.ConnectTimeout, config.WriteTimeout = requestLimit, connectLimit, requestLimit
	config.Consistency, config.SerialConsistency = s.quorum, s.serial
	config.PageSize = pageRows
	config.WriteCoalesceWaitTime = 0
	config.DefaultTimestamp = false // clocks of processes must not decide who wins
	config.ReconnectInterval = reconnectEvery
	// One attempt: the driver would keep an attempt's goroutine asleep past Close.
	config.ReconnectionPolicy = &gocql.ConstantReconnectionPolicy{MaxRetries: 1}
	nodes := newWary(gocql.TokenAwareHostPolicy(gocql.RoundRobinHostPolicy(), gocql.ShuffleReplicas()))
	config.PoolConfig.HostSelectionPolicy, config.QueryObserver = nodes, nodes
	config.Metadata.CacheMode = gocql.KeyspaceOnly
	config.Metadata.HostListener.HostStateChangeListener = &nodeLog{log: s.log, up: make(map[string]bool)}
	config.Logger = driverLog{s.log}
	config.HostDialer = &dialer{life: s.life, tls: o.TLS, hosts: o.Hosts}
	if o.Datacentre != "" {
		// A policy would fall back to other datacentres, whose local quorum is
		// another one.
		config.HostFilter = gocql.DataCenterHostFilter(o.Datacentre)
	}
	if o.Username != "" {
		config.Authenticator = gocql.PasswordAuthenticator{Username: o.Username, Password: o.Password}
	}
	return *config
}

// sleep waits, unless ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// dialer makes the connections. They end with the store, even while the driver
// is still at its handshake and cannot be told.
type dialer struct {
	life  context.Context
	tls   *tls.Config
	hosts []string
}

// DialHost implements gocql.HostDialer.
func (d *dialer) DialHost(ctx context.Context, host *gocql.HostInfo) (*gocql.DialedHost, error) {
	ctx, cancel := context.WithTimeout(ctx, connectLimit)
	defer cancel()
	defer context.AfterFunc(d.life, cancel)()
	var plain net.Dialer
	conn, err := plain.DialContext(ctx, "tcp", host.ConnectAddressAndPort())
	if err != nil {
		return nil, err
	}
	if d.tls != nil {
		wrapped := tls.Client(conn, d.tlsFor(ctx, host.ConnectAddress()))
		if err := wrapped.HandshakeContext(ctx); err != nil {
			_ = conn.Close()
			return nil, err
		}
		conn = wrapped
	}
	stop := context.AfterFunc(d.life, func() { _ = conn.Close() })
	return &gocql.DialedHost{Conn: &ownedConn{Conn: conn, stop: stop}, DisableCoalesce: true}, nil
}

// tlsFor is the configuration for a node. The driver forgets the names that it
// looked up, and it is those that certificates are made for.
func (d *dialer) tlsFor(ctx context.Context, address net.IP) *tls.Config {
	if d.tls.ServerName != "" {
		return d.tls
	}
	config := d.tls.Clone()
	config.ServerName = cmp.Or(d.nameOf(ctx, address), address.String())
	return config
}

func (d *dialer) nameOf(ctx context.Context, address net.IP) string {
	for _, name := range d.hosts {
		if host, _, err := net.SplitHostPort(name); err == nil {
			name = host
		}
		found, err := net.DefaultResolver.LookupIPAddr(ctx, name)
		if err != nil || net.ParseIP(name) != nil {
			continue
		}
		for _, a := range found {
			if a.IP.Equal(address) {
				return name
			}
		}
	}
	return ""
}

// ownedConn forgets the store's end when it is closed first.
type ownedConn struct {
	net.Conn
	stop func() bool
}

func (c *ownedConn) Close() error {
	c.stop()
	return c.Conn.Close()
}
