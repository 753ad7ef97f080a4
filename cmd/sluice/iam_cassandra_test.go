package main

import (
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// loadService is loadIAM in bootstrap mode, unless args say otherwise.
func loadService(t *testing.T, args []string, env map[string]string, yaml string) (*Config, error) {
	t.Helper()
	return loadIAM(t, append([]string{"--bootstrap-mode=bootstrap"}, args...), env, yaml)
}

// loadIAM is loadConfig for `sluice iam`.
func loadIAM(t *testing.T, args []string, env map[string]string, yaml string) (*Config, error) {
	t.Helper()
	c := iamServiceConfig()
	flags := pflag.NewFlagSet("iam", pflag.ContinueOnError)
	l := newLoader(serviceOptions(c), flags, func(name string) (string, bool) { v, ok := env[name]; return v, ok })
	c.origins = l.origins
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if yaml != "" {
		yaml = writeFile(t, "config.yaml", yaml)
	}
	if err := l.load(yaml); err != nil {
		return nil, err
	}
	return c, c.validateService()
}

// TestWhichStore: the reference's command lines and environments name Cassandra,
// and nothing else.
func TestWhichStore(t *testing.T) {
	host := map[string]string{"CASSANDRA_HOST": "a"}
	for _, row := range []struct {
		args []string
		env  map[string]string
		yaml string
		want string // store and why, or the start of an error
	}{
		{nil, nil, "", "sluice-iam.db by "},
		{nil, host, "", "cassandra by environment variable CASSANDRA_HOST"},
		{[]string{"--cassandra-host=a"}, nil, "", "cassandra by --cassandra-host"},
		{[]string{"--cassandra-keyspace=a"}, nil, "", "cassandra by --cassandra-keyspace"},
		{nil, map[string]string{"CASSANDRA_KEYSPACE": "a", "CASSANDRA_USERNAME": "b"}, "", "sluice-iam.db by "},
		{[]string{"--store=iam.db"}, host, "", "iam.db by --store"},
		{nil, map[string]string{"CASSANDRA_HOST": "a", "SLUICE_IAM_STORE": "iam.db"}, "", "iam.db by environment variable SLUICE_IAM_STORE"},
		{[]string{"--store=cassandra"}, nil, "", "cassandra by --store"},
		{[]string{"--store=iam.db", "--cassandra-host=a"}, nil, "", "error: --cassandra-host is only for --store=cassandra"},
		{[]string{"--store=memory", "--cassandra-tls=off"}, nil, "", "error: --cassandra-tls is only for --store=cassandra"},
		{[]string{"--store=memory", "--cassandra-username=u", "--cassandra-password-file=" + writeFile(t, "p", "pw")}, nil, "", "error: --cassandra-username is only for"},
		{nil, nil, "store: iam.db\ncassandra-host: a\n", "iam.db by "},
		{[]string{"--store=Cassandra"}, nil, "", `error: the IAM store "Cassandra": write "cassandra", or ./Cassandra`},
		{[]string{"--store=./Cassandra"}, nil, "", "./Cassandra by --store"},
		{nil, map[string]string{"SLUICE_IAM_STORE": "MEMORY"}, "", `error: the IAM store "MEMORY": write "memory"`},
	} {
		c, err := loadService(t, row.args, row.env, row.yaml)
		got := fmt.Sprint("error: ", err)
		if err == nil {
			got = c.Service.Store + " by " + c.Service.ChosenBy
		}
		if !strings.HasPrefix(got, row.want) || row.want == "sluice-iam.db by " && got != row.want {
			t.Errorf("%v, %v, %q: %s, want %s", row.args, row.env, row.yaml, got, row.want)
		}
	}
	if c, err := loadService(t, nil, nil, "cassandra-host: [a, b]\n"); err != nil || !strings.Contains(c.Service.ChosenBy, "config.yaml: cassandra-host") {
		t.Errorf("%+v, %v", c, err)
	}
	args := []string{"--iam=embedded", "--bootstrap-token=tg_0123456789abcdef"}
	if c, _, err := loadConfig(t, args, host, ""); err != nil || c.Service.Store != "sluice-iam.db" {
		t.Errorf("a gateway's store follows CASSANDRA_HOST: %v, %v", c, err)
	}
	if c, _, err := loadConfig(t, append(args, "--iam-store=cassandra"), host, ""); err != nil || c.Service.Store != storeInCassandra {
		t.Errorf("a gateway's store in Cassandra: %v, %v", c, err)
	}
}

// TestLaterVariables: TrustGraph 2.8 passes the bootstrap arguments in variables of
// its own.
func TestLaterVariables(t *testing.T) {
	secret := writeFile(t, "token", "tg_from_a_file_0123\n")
	for _, row := range []struct {
		env  map[string]string
		want string
	}{
		{map[string]string{"IAM_BOOTSTRAP_MODE": "bootstrap"}, "bootstrap "},
		{map[string]string{"IAM_BOOTSTRAP_MODE": "token", "IAM_BOOTSTRAP_TOKEN": "tg_0123456789abcdef"}, "token tg_0123456789abcdef"},
		{map[string]string{"IAM_BOOTSTRAP_MODE": "token", "IAM_BOOTSTRAP_TOKEN_FILE": secret}, "token tg_from_a_file_0123"},
		{map[string]string{"IAM_BOOTSTRAP_MODE": "token", "SLUICE_BOOTSTRAP_MODE": "bootstrap"}, "bootstrap "},
	} {
		c, err := loadIAM(t, nil, row.env, "")
		if err != nil {
			t.Errorf("%v: %v", row.env, err)
			continue
		}
		if got := c.Service.BootstrapMode + " " + c.Service.BootstrapToken; got != row.want {
			t.Errorf("%v: %s, want %s", row.env, got, row.want)
		}
	}
	_, err := loadIAM(t, nil, map[string]string{"IAM_BOOTSTRAP_MODE": "maybe"}, "")
	if err == nil || !strings.HasPrefix(err.Error(), "environment variable IAM_BOOTSTRAP_MODE: must be one of") {
		t.Error(err)
	}
}

// TestCassandraOptions goes from the reference's variables and our flags to what
// the store is opened with.
func TestCassandraOptions(t *testing.T) {
	certFile, keyFile := selfSigned(t)
	credentials := map[string]string{"CASSANDRA_USERNAME": "u", "CASSANDRA_PASSWORD": "p"}
	type row struct {
		args []string
		env  map[string]string
		want string
	}
	text := func(c *Config) string {
		o, err := c.Service.Cassandra.options(nil)
		if err != nil {
			t.Fatal(err)
		}
		security := "clear"
		if o.TLS != nil {
			security = fmt.Sprintf("TLS %v %v %d %s", !o.TLS.InsecureSkipVerify, o.TLS.RootCAs != nil, len(o.TLS.Certificates), o.TLS.ServerName)
		}
		return strings.TrimSpace(fmt.Sprint(o.Hosts, " ", o.Username, " ", o.Password, " ", o.Keyspace, " ", o.ReplicationFactor, " ", o.Replication, " ", o.Datacentre, " ", o.LocalQuorum, " ", security))
	}
	for _, r := range []row{
		{nil, nil, "[cassandra]   iam 1 map[]  false clear"},
		{nil, map[string]string{"CASSANDRA_HOST": " a, b:9043 ,", "CASSANDRA_KEYSPACE": "k", "CASSANDRA_REPLICATION_FACTOR": "3"}, "[a b:9043]   k 3 map[]  false clear"},
		{[]string{"--cassandra-keyspace=flag", "--cassandra-host=x", "--cassandra-host=y"}, map[string]string{"CASSANDRA_HOST": "a", "CASSANDRA_KEYSPACE": "k"}, "[x y]   flag 1 map[]  false clear"},
		{nil, credentials, "[cassandra] u p iam 1 map[]  false TLS true false 0"},
		{nil, map[string]string{"CASSANDRA_USERNAME": "u"}, "[cassandra]   iam 1 map[]  false clear"},
		{nil, map[string]string{"CASSANDRA_PASSWORD": "p"}, "[cassandra]   iam 1 map[]  false clear"},
		{[]string{"--cassandra-username=v"}, credentials, "[cassandra] v p iam 1 map[]  false TLS true false 0"},
		{[]string{"--cassandra-tls=off"}, credentials, "[cassandra] u p iam 1 map[]  false clear"},
		{[]string{"--cassandra-tls=unverified"}, credentials, "[cassandra] u p iam 1 map[]  false TLS false false 0"},
		{[]string{"--cassandra-tls=on"}, nil, "[cassandra]   iam 1 map[]  false TLS true false 0"},
		{[]string{"--cassandra-tls-ca", certFile, "--cassandra-tls-cert", certFile, "--cassandra-tls-key", keyFile, "--cassandra-tls-server-name=n"}, nil, "[cassandra]   iam 1 map[]  false TLS true true 1 n"},
		{[]string{"--cassandra-replication=dc1=3,dc2=2", "--cassandra-datacentre=dc1", "--cassandra-consistency=local-quorum"}, nil, "[cassandra]   iam 1 map[dc1:3 dc2:2] dc1 true clear"},
	} {
		c, err := loadService(t, append(r.args, "--store=cassandra"), r.env, "")
		if err != nil {
			t.Errorf("%v, %v: %v", r.args, r.env, err)
			continue
		}
		if got := text(c); got != r.want {
			t.Errorf("%v, %v:\n got %s\nwant %s", r.args, r.env, got, r.want)
		}
	}
}

func TestCassandraNonsenseIsRefused(t *testing.T) {
	pem := writeFile(t, "cert.pem", "nothing")
	for _, row := range []struct{ args, want string }{
		{"--cassandra-host=a:99999", "Cassandra host"},
		{"--cassandra-host=a:0", "Cassandra host"},
		{"--cassandra-username=u", "Cassandra user name and password belong together"},
		{"--cassandra-password=p", "Cassandra user name and password belong together"},
		{"--cassandra-keyspace=drop;table", "keyspace"},
		{"--cassandra-replication-factor=0", "--cassandra-replication-factor: must be from 1 to 99"},
		{"--cassandra-replication=three", "--cassandra-replication: must be datacentres with their number of copies"},
		{"--cassandra-replication=a=0", "replication factor"},
		{"--cassandra-replication=a=1,a=2", "--cassandra-replication: names a twice"},
		{"--cassandra-consistency=one", "--cassandra-consistency: must be one of quorum, local-quorum"},
		{"--cassandra-consistency=local-quorum", "a local quorum needs the datacentre's name"},
		{"--cassandra-tls=off --cassandra-tls-ca=x", "--cassandra-tls=off leaves nothing"},
		{"--cassandra-tls=unverified --cassandra-tls-ca=x", "--cassandra-tls=unverified and --cassandra-tls-ca"},
		{"--cassandra-tls-ca=" + pem, "--cassandra-tls-ca: no PEM certificate"},
		{"--cassandra-tls-cert=" + pem, "--cassandra-tls-cert and --cassandra-tls-key need each other"},
	} {
		if _, err := loadService(t, strings.Fields(row.args), nil, ""); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s\n got %v\nwant %s", row.args, err, row.want)
		}
	}
}

func TestReplicationReadsBack(t *testing.T) {
	var copies map[string]int
	v := replication(&copies)
	for _, text := range []string{"b=2, a=1", "c=3"} {
		if err := v.Set(text); err != nil {
			t.Fatal(err)
		}
	}
	if want := map[string]int{"a": 1, "b": 2, "c": 3}; !reflect.DeepEqual(copies, want) || v.String() != "a=1,b=2,c=3" {
		t.Errorf("%v, %s", copies, v)
	}
}

// loggedOfStore opens and closes the store, and returns what is said of it.
func loggedOfStore(t *testing.T, c *Config) string {
	t.Helper()
	var logged output
	log := newLogger(c, &logged)
	logStore(c, log)
	store, err := openStore(c, log, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	return logged.String()
}

func TestStoreIsLogged(t *testing.T) {
	c, err := loadService(t, []string{"--cassandra-tls=unverified", "--cassandra-host=127.0.0.1:1"}, map[string]string{"CASSANDRA_USERNAME": "u", "CASSANDRA_PASSWORD": "hunter2"}, "")
	if err != nil {
		t.Fatal(err)
	}
	c.LogLevel = slog.LevelInfo
	text := loggedOfStore(t, c)
	for _, part := range []string{"cassandra, keyspace iam", "chosen_by=--cassandra-host", "checks no certificate"} {
		if !strings.Contains(text, part) {
			t.Errorf("no %q in %s", part, text)
		}
	}
	if strings.Contains(text, "hunter2") {
		t.Error(text)
	}
}

// TestWhatIsPassedOver: settings that do not count are told of, and no others.
func TestWhatIsPassedOver(t *testing.T) {
	lone := map[string]string{"CASSANDRA_HOST": "127.0.0.1:1", "CASSANDRA_USERNAME": "u"}
	both := map[string]string{"CASSANDRA_HOST": "127.0.0.1:1", "CASSANDRA_USERNAME": "u", "CASSANDRA_PASSWORD": "p"}
	const loneLine, hostLine = "alone=\"environment variable CASSANDRA_USERNAME\"", "given_by=\"environment variable CASSANDRA_HOST\""
	gateway := []string{"--iam=embedded", "--bootstrap-token=tg_0123456789abcdef"}
	for _, row := range []struct {
		service bool
		args    []string
		env     map[string]string
		want    string // one of the lines, or none
	}{
		{true, nil, lone, loneLine},
		{true, nil, both, ""},
		{true, []string{"--store=memory"}, lone, ""},
		{false, append(gateway, "--iam-store=cassandra"), lone, loneLine},
		{false, append(gateway, "--iam-store=memory"), lone, ""},
		{false, gateway, both, hostLine},
	} {
		t.Chdir(t.TempDir())
		var c *Config
		var err error
		if row.service {
			c, err = loadService(t, row.args, row.env, "")
		} else {
			c, _, err = loadConfig(t, row.args, row.env, "")
		}
		if err != nil {
			t.Fatal(err)
		}
		text := loggedOfStore(t, c)
		for _, line := range []string{loneLine, hostLine} {
			if told := strings.Contains(text, line); told != (line == row.want) {
				t.Errorf("%v, %v: %s: %v in\n%s", row.args, row.env, line, told, text)
			}
		}
	}
}

// TestFlagsForNobody: a gateway whose IAM is elsewhere refuses flags of its own, and
// lets variables be, which other processes may need.
func TestFlagsForNobody(t *testing.T) {
	env := map[string]string{"CASSANDRA_HOST": "a", "SLUICE_IAM_STORE": "cassandra", "IAM_BOOTSTRAP_TOKEN": "tg_0123456789abcdef"}
	keys := "--api-keys=" + writeFile(t, "keys.yaml", keyFile("tg_key"))
	for _, iam := range []string{"--iam=bus", "--no-iam"} {
		if _, _, err := loadConfig(t, []string{iam, keys}, env, ""); err != nil {
			t.Errorf("%s: %v", iam, err)
		}
		for _, arg := range []string{
			"--iam-store=x", "--iam-store-key=x", "--bootstrap-mode=token", "--bootstrap-token-file=" + writeFile(t, "token", "tg_0123456789abcdef"),
			"--min-password-length=8", "--allow-remote-bootstrap", "--cassandra-host=a", "--cassandra-tls-ca=/nonexistent",
		} {
			name, _, _ := strings.Cut(arg, "=")
			if _, _, err := loadConfig(t, []string{iam, keys, arg}, nil, ""); err == nil || !strings.HasPrefix(err.Error(), name+" is only for --iam=embedded") {
				t.Errorf("%s %s: %v", iam, arg, err)
			}
		}
	}
}
