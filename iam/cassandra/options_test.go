package cassandra

import (
	"strings"
	"testing"
)

func TestOptions(t *testing.T) {
	hosts := []string{"a", "b:9043", "[::1]:9042", "::1", "10.0.0.1", "node_1.example"}
	for _, o := range []Options{
		{Hosts: hosts},
		{Hosts: hosts, Username: "u", Password: "p", Keyspace: "iam_2", ReplicationFactor: 3},
		{Hosts: hosts, Replication: map[string]int{"dc-1": 3, "eu_west": 2}, Datacentre: "dc-1", LocalQuorum: true},
	} {
		if err := o.Validate(); err != nil {
			t.Errorf("%+v: %v", o, err)
		}
	}
	for wanted, o := range map[string]Options{
		"no Cassandra host":    {},
		`host ""`:              {Hosts: []string{""}},
		`host "a:b"`:           {Hosts: []string{"a:b"}},
		`host ":9042"`:         {Hosts: []string{":9042"}},
		`host "[::1]"`:         {Hosts: []string{"[::1]"}},
		`host "a b"`:           {Hosts: []string{"a b"}},
		`host "a/b"`:           {Hosts: []string{"a/b"}},
		`host "a:65536"`:       {Hosts: []string{"a:65536"}},
		"belong together":      {Hosts: hosts, Username: "u"},
		"and password":         {Hosts: hosts, Password: "secret"},
		`keyspace "IAM"`:       {Hosts: hosts, Keyspace: "IAM"},
		`keyspace "a;drop"`:    {Hosts: hosts, Keyspace: "a;drop"},
		"replication factor -": {Hosts: hosts, ReplicationFactor: -1},
		"of datacentre dc":     {Hosts: hosts, Replication: map[string]int{"dc": 0}},
		`"d'c"`:                {Hosts: hosts, Replication: map[string]int{"d'c": 1}},
		`"d c"`:                {Hosts: hosts, Datacentre: "d c"},
		"local quorum":         {Hosts: hosts, LocalQuorum: true},
	} {
		_, err := Open(o)
		if err == nil || !strings.Contains(err.Error(), wanted) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%+v: %v, want something about %s", o, err, wanted)
		}
	}
}
