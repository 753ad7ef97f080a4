package main

import (
	"crypto/tls"
	"errors"
	"log/slog"

	"sluice/iam/cassandra"
)

// The values of CassandraStore.TLS.
const (
	tlsAuto       = "auto"
	tlsOn         = "on"
	tlsOff        = "off"
	tlsUnverified = "unverified"
)

// The values of CassandraStore.Consistency.
const (
	quorum      = "quorum"
	localQuorum = "local-quorum"
)

const (
	// defaultCassandraHost is the reference's.
	defaultCassandraHost = "cassandra"
	cassandraTitle       = "IAM store in Cassandra"
)

// CassandraStore says where a store in Cassandra is and how it is reached.
type CassandraStore struct {
	// Hosts are host or host:port; none means defaultCassandraHost.
	Hosts []string
	// Username and Password belong together. The latter is a secret.
	Username, Password string
	// lone is what gave one of them without the other, and was passed over; set by
	// passOverLone.
	lone     string
	Keyspace string
	// ReplicationFactor, or Replication by datacentre, is for a keyspace that is made.
	ReplicationFactor int
	Replication       map[string]int
	// Datacentre is the only one whose nodes are asked, unless it is empty.
	Datacentre string
	// Consistency is quorum or localQuorum.
	Consistency string
	// TLS is one of the values above. tlsAuto means on when there is a password, as
	// the reference does, or when another TLS option is given.
	TLS                                               string
	TLSCAFile, TLSCertFile, TLSKeyFile, TLSServerName string
}

func defaultCassandra() CassandraStore {
	return CassandraStore{Keyspace: cassandra.DefaultKeyspace, ReplicationFactor: 1, Consistency: quorum, TLS: tlsAuto}
}

// cassandraOptions are the same for every command: the reference's names.
func cassandraOptions(c *Config) []option {
	s := &c.Service.Cassandra
	return []option{
		{name: "cassandra-host", env: "CASSANDRA_HOST", value: list(&s.Hosts), help: "`hosts`, as name or name:port, separated by commas or repeated, of which one must answer; empty means " + defaultCassandraHost},
		{name: "cassandra-username", env: "CASSANDRA_USERNAME", value: text(&s.Username), help: "`role` to log in as"},
		{name: "cassandra-password", env: "CASSANDRA_PASSWORD", secret: true, value: text(&s.Password), help: "that role's `password`"},
		{name: "cassandra-keyspace", env: "CASSANDRA_KEYSPACE", value: text(&s.Keyspace), help: "`keyspace` to keep records in, made when it is not there and the role may"},
		{name: "cassandra-replication-factor", env: "CASSANDRA_REPLICATION_FACTOR", value: integer(&s.ReplicationFactor, 1, 99), help: "`number` of copies, for a keyspace that is made"},
		{name: "cassandra-replication", value: replication(&s.Replication), help: "`copies` in each datacentre, as dc1=3,dc2=3, for a keyspace that is made; goes over the factor"},
		{name: "cassandra-datacentre", value: text(&s.Datacentre), help: "`datacentre` whose nodes alone are asked; empty means all"},
		{name: "cassandra-consistency", value: choice(&s.Consistency, quorum, localQuorum), help: "what must agree: quorum of all copies, or local-quorum, of those in that datacentre: only if every IAM process is there"},
		{name: "cassandra-tls", value: choice(&s.TLS, tlsAuto, tlsOn, tlsOff, tlsUnverified), help: "whether to connect with TLS; auto does with a password or another TLS option, unverified takes any certificate"},
		{name: "cassandra-tls-ca", value: text(&s.TLSCAFile), help: "PEM `file` of the authorities to trust; empty means the system's"},
		{name: "cassandra-tls-cert", value: text(&s.TLSCertFile), help: "PEM `file` of the client certificate"},
		{name: "cassandra-tls-key", value: text(&s.TLSKeyFile), help: "PEM `file` of its private key"},
		{name: "cassandra-tls-server-name", value: text(&s.TLSServerName), help: "`name` that every node's certificate must carry; empty means the host's"},
	}
}

// passOverLone forgets a user name or a password from the environment if it is
// alone, as the reference does: it may be there for another service.
func (s *CassandraStore) passOverLone(origins map[string]origin) {
	name := "cassandra-username"
	if s.Username == "" {
		name = "cassandra-password"
	}
	if from := origins[name]; from.place == inEnvironment && (s.Username == "") != (s.Password == "") {
		s.Username, s.Password, s.lone = "", "", from.label
	}
}

// options is what the store is opened with.
func (s *CassandraStore) options(log *slog.Logger) (cassandra.Options, error) {
	t, err := s.tls()
	if err != nil {
		return cassandra.Options{}, err
	}
	o := cassandra.Options{
		Hosts: s.Hosts, Username: s.Username, Password: s.Password, TLS: t, Keyspace: s.Keyspace,
		ReplicationFactor: s.ReplicationFactor, Replication: s.Replication,
		Datacentre: s.Datacentre, LocalQuorum: s.Consistency == localQuorum, Logger: log,
	}
	if len(o.Hosts) == 0 {
		o.Hosts = []string{defaultCassandraHost}
	}
	return o, nil
}

// tls is nil for connections in clear.
func (s *CassandraStore) tls() (*tls.Config, error) {
	files := tlsFiles{"--cassandra-tls", s.TLSCAFile, s.TLSCertFile, s.TLSKeyFile, s.TLSServerName}
	switch {
	case s.TLS == tlsOff && files.given():
		return nil, errors.New("--cassandra-tls=off leaves nothing for the other --cassandra-tls options to do")
	case s.TLS == tlsUnverified && (s.TLSCAFile != "" || s.TLSServerName != ""):
		return nil, errors.New("--cassandra-tls=unverified and --cassandra-tls-ca or --cassandra-tls-server-name exclude each other")
	case s.TLS == tlsOff, s.TLS == tlsAuto && s.Password == "" && !files.given():
		return nil, nil
	}
	t, err := files.config()
	if err == nil && s.TLS == tlsUnverified {
		t.InsecureSkipVerify = true //nolint:gosec // what was asked for, and is warned about
	}
	return t, err
}

// validate checks everything that can be known without a network.
func (s *CassandraStore) validate() error {
	o, err := s.options(nil)
	if err != nil {
		return err
	}
	return o.Validate()
}
