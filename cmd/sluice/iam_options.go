package main

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"sluice/iam"
)

// The values of Config.IAM.
const (
	iamBus      = "bus"
	iamEmbedded = "embedded"
	iamNone     = "none"
)

// Values of IAMService.Store that are no file.
const (
	// storeInMemory forgets everything.
	storeInMemory = "memory"
	// storeInCassandra is shared by as many processes as use it.
	storeInCassandra = "cassandra"
)

// IAMService is how this process's own IAM service works, if it has one.
type IAMService struct {
	// Store is a file, or storeInMemory or storeInCassandra.
	Store string
	// ChosenBy is what made it so, for the log; set by chooseStore.
	ChosenBy string
	// Cassandra says more of the store there.
	Cassandra CassandraStore
	// StoreKey encrypts private signing keys in the store; empty leaves them in
	// clear. A secret.
	StoreKey string
	// BootstrapMode is "token" or "bootstrap".
	BootstrapMode string
	// BootstrapToken is the first administrator's API key in token mode. A
	// secret. The embedded service makes one when it is empty.
	BootstrapToken string
	// RemoteBootstrap lets the gateway's bootstrap be reached from elsewhere.
	RemoteBootstrap bool
	// MinPasswordLength is in characters.
	MinPasswordLength int
}

// iamChoice is the value of --iam. It takes the booleans that it used to take.
type iamChoice struct{ p *string }

func (v iamChoice) String() string { return *v.p }
func (v iamChoice) Type() string   { return iamBus + "|" + iamEmbedded + "|" + iamNone }
func (v iamChoice) Set(s string) error {
	switch s {
	case iamBus, iamEmbedded, iamNone:
		*v.p = s
		return nil
	}
	on, err := parseBool(s)
	switch {
	case err != nil:
		return errors.New("must be bus, embedded or none")
	case on:
		*v.p = iamBus
	default:
		*v.p = iamNone
	}
	return nil
}

// storeOptions name the store; prefix sets them apart in the gateway.
func storeOptions(c *Config, prefix string) []option {
	help := "`file` to keep users, workspaces and keys in, made when it is not there; \"cassandra\" keeps them there, \"memory\" until the process ends"
	if prefix == "" {
		help += "; where none is named, --cassandra options or CASSANDRA_HOST mean cassandra"
	}
	return []option{
		{name: prefix + "store", env: "SLUICE_IAM_STORE", value: text(&c.Service.Store), help: help},
		{name: prefix + "store-key", env: "SLUICE_IAM_STORE_KEY", secret: true, value: text(&c.Service.StoreKey), help: "`key`, 32 bytes as hexadecimal or base64 text, that encrypts private signing keys in the store"},
	}
}

func bootstrapOptions(c *Config) []option {
	return []option{
		{name: "bootstrap-mode", later: "IAM_BOOTSTRAP_MODE", value: choice(&c.Service.BootstrapMode, string(iam.ModeToken), string(iam.ModeBootstrap)), help: "how the first administrator comes about: token (an API key chosen here) or bootstrap (whoever asks first); IAM_BOOTSTRAP_MODE is read too"},
		{name: "bootstrap-token", later: "IAM_BOOTSTRAP_TOKEN", secret: true, value: text(&c.Service.BootstrapToken), help: "API `key` of the first administrator in token mode, tg_ and more; of no effect once there is a workspace; IAM_BOOTSTRAP_TOKEN is read too"},
		{name: "min-password-length", env: "SLUICE_IAM_MIN_PASSWORD_LENGTH", value: integer(&c.Service.MinPasswordLength, 0, 1024), help: "`number` of characters that new passwords need; 0 asks nothing"},
	}
}

// embeddedOptions are the gateway's for its own IAM service.
func embeddedOptions(c *Config) []option {
	return append(append(storeOptions(c, "iam-"), bootstrapOptions(c)...),
		option{name: "allow-remote-bootstrap", value: toggle(&c.Service.RemoteBootstrap), help: "with --bootstrap-mode=bootstrap, serve HTTP to other machines too; whoever asks first becomes administrator"})
}

// serviceOptions is every option of `sluice iam`.
func serviceOptions(c *Config) []section {
	var queues []option
	for _, o := range queueOptions(c) {
		if o.name == "topicspace" || o.name == "iam-request-queue" || o.name == "iam-response-queue" {
			queues = append(queues, o)
		}
	}
	var metrics []option
	for _, o := range metricsOptions(c) {
		if o.name != "prometheus-url" {
			metrics = append(metrics, o)
		}
	}
	service := append([]option{{name: "id", value: text(&c.ID), help: "`name` of the subscription, which all replicas share, and of the process in its logs"}}, bootstrapOptions(c)...)
	without := append(ignoredOptions(&c.ignored),
		option{name: "config-push-queue", ignored: true, value: text(&c.ignored.configPushQueue), help: "`topic` id of configuration changes"})
	return []section{
		{"Service", append(service, storeOptions(c, "")...)},
		{cassandraTitle, cassandraOptions(c)},
		{"Message bus", append(busOptions(c), queues...)},
		{"Metrics", metrics},
		{"Logging", loggingOptions(c)},
		{"Accepted without effect (other backends of the reference)", without},
	}
}

// iamConfig is the service's configuration, in which the token may be missing.
func (c *Config) iamConfig() iam.Config {
	return iam.Config{
		Mode: iam.Mode(c.Service.BootstrapMode), Token: c.Service.BootstrapToken,
		TopicSpace: c.Topicspace, Requests: c.Queues.IAM.Request, Replies: c.Queues.IAM.Response,
		Guarded: true, MinPasswordLength: c.Service.MinPasswordLength,
	}
}

// checkService checks what concerns the IAM service of `sluice iam`.
func (c *Config) checkService() error {
	if err := c.iamConfig().Validate(); err != nil {
		return err
	}
	return c.checkStore("", true)
}

// checkEmbedded checks the gateway's own. Its token may be missing: one is made.
func (c *Config) checkEmbedded() error {
	settings := c.iamConfig()
	switch {
	case settings.Mode == iam.ModeToken && settings.Token == "":
		if !c.keepsFile() {
			return fmt.Errorf("--iam-store=%s needs --bootstrap-token: there is no file beside which one could be written", c.Service.Store)
		}
		settings.Token = iam.NewAPIKey()
	case settings.Mode == iam.ModeBootstrap && !c.Service.RemoteBootstrap && !isLoopback(c.Listen):
		return errors.New("--bootstrap-mode=bootstrap makes the first caller administrator: it needs --listen=127.0.0.1, or --allow-remote-bootstrap")
	}
	if err := settings.Validate(); err != nil {
		return err
	}
	return c.checkStore("iam-", false)
}

// refuseEmbedded refuses flags of a service that the gateway does not embed. What
// the environment or the file says may be there for other processes.
func (c *Config) refuseEmbedded() error {
	if from := c.fromArguments(slices.Concat(embeddedOptions(c), cassandraOptions(c))); from != nil {
		return fmt.Errorf("%s is only for --iam=embedded, and IAM is %q", from.label, c.IAM)
	}
	return nil
}

// fromArguments is the origin of the first of these options that is a flag on the
// command line, nil if none is.
func (c *Config) fromArguments(options []option) *origin {
	for _, o := range options {
		if from := c.origins[o.name]; from.place == inArguments {
			return &from
		}
	}
	return nil
}

// checkStore settles where records are kept and checks that it can be used. prefix
// and follows are chooseStore's.
func (c *Config) checkStore(prefix string, follows bool) error {
	if err := c.chooseStore(prefix, follows); err != nil {
		return err
	}
	if c.Service.Store == "" {
		return errors.New("the IAM store must be a file, \"cassandra\" or \"memory\"")
	}
	for _, word := range []string{storeInCassandra, storeInMemory} {
		if c.Service.Store != word && strings.EqualFold(c.Service.Store, word) {
			return fmt.Errorf("the IAM store %q: write %q, or ./%s for a file of that name", c.Service.Store, word, c.Service.Store)
		}
	}
	if c.Service.Store == storeInCassandra {
		c.Service.Cassandra.passOverLone(c.origins)
		if err := c.Service.Cassandra.validate(); err != nil {
			return err
		}
	}
	if c.Service.StoreKey == "" {
		return nil
	}
	if _, err := iam.ParseStoreKey(c.Service.StoreKey); err != nil {
		return errors.New("the key of the IAM store " + err.Error())
	}
	return nil
}

// chooseStore settles where records are kept, and remembers why. Where no store is
// named, follows lets Cassandra's options decide: that is all that the command lines
// and environments of the reference say. prefix is that of the option `store`.
func (c *Config) chooseStore(prefix string, follows bool) error {
	s := &c.Service
	if from, named := c.origins[prefix+"store"]; named {
		s.ChosenBy = from.label
	}
	by := c.namedCassandra()
	if s.ChosenBy == "" && follows && by.label != "" {
		s.Store, s.ChosenBy = storeInCassandra, by.label
	}
	if by.place == inArguments && s.Store != storeInCassandra {
		return fmt.Errorf("%s is only for --%sstore=cassandra, and the store is %q", by.label, prefix, s.Store)
	}
	return nil
}

// namedCassandra is what names Cassandra: any of its flags, or a host from
// elsewhere. The other variables may be there for other services.
func (c *Config) namedCassandra() origin {
	if from := c.fromArguments(cassandraOptions(c)); from != nil {
		return *from
	}
	return c.origins["cassandra-host"]
}

// keepsFile reports whether the store is a file.
func (c *Config) keepsFile() bool {
	return c.Service.Store != storeInMemory && c.Service.Store != storeInCassandra
}

func isLoopback(address string) bool {
	return address == "localhost" || net.ParseIP(address).IsLoopback()
}
