package cassandra

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"regexp"
	"strconv"
)

const (
	defaultPort = 9042
	// DefaultKeyspace is where the records are unless Options says otherwise.
	DefaultKeyspace = "iam"
)

// Options says which cluster to use, and how. The zero value of everything but
// Hosts is usable.
type Options struct {
	// Hosts are nodes to begin with, as host or host:port; the others are found.
	Hosts []string
	// Username and Password are used together, or neither.
	Username, Password string
	// TLS is nil for plain connections. Without a ServerName, a node's certificate
	// must be valid for the name in Hosts that leads to the node, else for its
	// address.
	TLS *tls.Config
	// Keyspace is DefaultKeyspace when empty.
	Keyspace string
	// ReplicationFactor is used when the keyspace has to be created, 0 means 1. An
	// existing keyspace is left as it is.
	ReplicationFactor int
	// Replication says so for each datacentre, and comes before ReplicationFactor.
	Replication map[string]int
	// MustExist refuses to create anything.
	MustExist bool
	// Datacentre, when set, is the only one whose nodes are asked.
	Datacentre string
	// LocalQuorum makes a majority of Datacentre enough, where else it takes one
	// of all replicas. It is safe only while every process that uses the keyspace
	// is set so, for the same datacentre.
	LocalQuorum bool
	// Logger is told of connections that come and go; nil means slog.Default().
	Logger *slog.Logger
}

// Cassandra folds the case of names that are not quoted, and the reference does
// not quote them: so there are no upper-case letters in the names it makes.
var (
	keyspaceName   = regexp.MustCompile(`^[a-z][a-z0-9_]{0,47}$`)
	datacentreName = regexp.MustCompile(`^[A-Za-z0-9_.:-]+$`)
	hostName       = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)
)

// Validate says what is wrong with o, without a look at the network.
func (o Options) Validate() error {
	if len(o.Hosts) == 0 {
		return errors.New("no Cassandra host is given")
	}
	for _, host := range o.Hosts {
		if err := checkHost(host); err != nil {
			return err
		}
	}
	switch {
	case (o.Username == "") != (o.Password == ""):
		return errors.New("Cassandra user name and password belong together")
	case o.Keyspace != "" && !keyspaceName.MatchString(o.Keyspace):
		return fmt.Errorf("keyspace %q is not a lower-case letter and up to 47 letters, digits and underscores", o.Keyspace)
	case o.ReplicationFactor < 0 || o.ReplicationFactor > maxReplication:
		return fmt.Errorf("replication factor %d is not between 1 and %d", o.ReplicationFactor, maxReplication)
	case o.Datacentre != "" && !datacentreName.MatchString(o.Datacentre):
		return fmt.Errorf("%q is no name of a datacentre", o.Datacentre)
	case o.LocalQuorum && o.Datacentre == "":
		return errors.New("a local quorum needs the datacentre's name")
	}
	return checkReplication(o.Replication)
}

const maxReplication = 99

func checkHost(host string) error {
	name, port, err := net.SplitHostPort(host)
	if err != nil {
		name, port = host, strconv.Itoa(defaultPort)
	}
	_, notAddress := netip.ParseAddr(name)
	n, notNumber := strconv.Atoi(port)
	if notAddress != nil && !hostName.MatchString(name) || notNumber != nil || n < 1 || n > 65535 {
		return fmt.Errorf("Cassandra host %q is neither host nor host:port", host)
	}
	return nil
}

func checkReplication(perDatacentre map[string]int) error {
	for name, factor := range perDatacentre {
		if !datacentreName.MatchString(name) {
			return fmt.Errorf("%q is no name of a datacentre", name)
		}
		if factor < 1 || factor > maxReplication {
			return fmt.Errorf("replication factor %d of datacentre %s is not between 1 and %d", factor, name, maxReplication)
		}
	}
	return nil
}
