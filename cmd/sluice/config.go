package main

import (
	"log/slog"
	"net/netip"
	"time"

	"sluice/iam"
)

// Config is everything the gateway can be told. Flags go over the environment,
// the environment over the YAML file, the file over the defaults here; see
// options.go for names and help. It is plain data: nothing reads it after the
// rooms are built.
type Config struct {
	// ID names the process in its logs.
	ID string
	// File is the YAML file that values came from; empty for none.
	File string

	// Listen is the address of the HTTP port; empty means every interface.
	Listen string
	// Port is the HTTP port; 0 takes a free one and logs it.
	Port int
	// Timeout bounds a call as a whole, PartTimeout the wait for each part of
	// its answer.
	Timeout, PartTimeout time.Duration
	// DrainTimeout is how long running calls get to finish after SIGTERM.
	DrainTimeout time.Duration
	// StrictStatus answers failures with 4xx and 5xx instead of the 200 that
	// the reference's clients expect.
	StrictStatus bool

	// Slots bounds the calls in flight.
	Slots int
	// MaxBodyBytes bounds one request body, after decompression.
	MaxBodyBytes int64
	// MaxMessageBytes bounds one translated bus message.
	MaxMessageBytes int64
	// MaxCoreValueBytes bounds one value of an imported core file.
	MaxCoreValueBytes int64
	// SocketQueueBytes bounds what waits to be written to one socket, and
	// SocketBudget what waits for all of them.
	SocketQueueBytes, SocketBudget int64
	// MaxUnauthenticatedSockets bounds the sockets of clients nobody knows yet.
	MaxUnauthenticatedSockets int
	// AllowedOrigins are the origins of pages that may open sockets; empty means any.
	AllowedOrigins []string
	// TrustedProxies are the networks whose X-Forwarded-For names the client.
	TrustedProxies []netip.Prefix
	// BodyBudget bounds all request bodies held at a time, in bytes; 0 means a
	// quarter of the memory limit.
	BodyBudget int64

	// PubsubBackend must be "rabbitmq".
	PubsubBackend string
	// AMQPURLs are the brokers, tried in order; when empty one URL is made of
	// the RabbitMQ fields.
	AMQPURLs []string
	// RabbitMQHost and the next four are the reference's way to name a broker.
	RabbitMQHost     string
	RabbitMQPort     int
	RabbitMQUsername string
	RabbitMQPassword string
	RabbitMQVhost    string
	// TLSCAFile, TLSCertFile, TLSKeyFile and TLSServerName apply to amqps URLs.
	TLSCAFile     string
	TLSCertFile   string
	TLSKeyFile    string
	TLSServerName string
	// PublishConnections and ConsumeConnections are how many connections to the
	// broker are kept for either direction.
	PublishConnections, ConsumeConnections int

	// Topicspace is the middle part of the system services' topic ids.
	Topicspace string
	// Queues holds the system services' topics where they are not the usual.
	Queues Queues
	// FlowsFile replaces the config service as the source of flow definitions.
	FlowsFile string

	// JWTPublicKeyFile replaces the IAM service's keys; APIKeysFile is looked
	// into before IAM is asked.
	JWTPublicKeyFile string
	APIKeysFile      string
	// IAM says who is asked about other credentials: the IAM service on the bus,
	// one that this process embeds, or nobody.
	IAM string
	// Service is how this process's own IAM service works.
	Service IAMService

	// IAMGrace is how old an answer of IAM may get while it cannot be asked again.
	IAMGrace time.Duration
	// EnforcePasswordChange makes users who must change their password do so first.
	EnforcePasswordChange bool

	// PrometheusURL is where /api/metrics is forwarded to.
	PrometheusURL string
	// Metrics turns the metrics port on; MetricsListen and MetricsPort place it.
	Metrics       bool
	MetricsListen string
	MetricsPort   int

	// LogLevel drops what is below it; LogFormat is "text" or "json".
	LogLevel  slog.Level
	LogFormat string

	// ignored collects the settings that other backends would have used.
	ignored ignoredSettings
	// origins says where values came from, by option, for what depends on that.
	origins map[string]origin
}

// ignoredSettings are accepted so that the reference's command lines and
// environments keep working; nothing reads them.
type ignoredSettings struct {
	lokiEnabled                                                           bool
	lokiURL, lokiUsername, lokiPassword                                   string
	pulsarHost, pulsarAPIKey, pulsarListener                              string
	configPushQueue                                                       string
	kafkaServers, kafkaProtocol, kafkaMechanism, kafkaUser, kafkaPassword string
}

// defaultConfig returns what holds where nothing else is said. The reference's
// defaults are kept where it has them.
func defaultConfig() *Config {
	return &Config{
		ID:                "api-gateway",
		Port:              8088,
		Timeout:           600 * time.Second,
		PartTimeout:       120 * time.Second,
		DrainTimeout:      30 * time.Second,
		Slots:             65536,
		MaxBodyBytes:      256 << 20,
		MaxCoreValueBytes: 16 << 20,
		SocketQueueBytes:  16 << 20,
		SocketBudget:      256 << 20,

		MaxUnauthenticatedSockets: 4096,
		MaxMessageBytes:           128 << 20,
		PubsubBackend:             "rabbitmq",
		RabbitMQHost:              "rabbitmq",
		RabbitMQPort:              5672,
		RabbitMQUsername:          "guest",
		RabbitMQPassword:          "guest",
		RabbitMQVhost:             "/",
		PublishConnections:        1,
		ConsumeConnections:        1,
		Topicspace:                "tg",
		IAM:                       iamBus,
		IAMGrace:                  5 * time.Minute,
		Service:                   IAMService{Store: "sluice-iam.db", Cassandra: defaultCassandra(), BootstrapMode: string(iam.ModeToken)},
		PrometheusURL:             "http://prometheus:9090",
		Metrics:                   true,
		MetricsPort:               8000,
		LogLevel:                  slog.LevelInfo,
		LogFormat:                 "text",
		ignored: ignoredSettings{
			lokiEnabled:   true,
			lokiURL:       "http://loki:3100/loki/api/v1/push",
			pulsarHost:    "pulsar://pulsar:6650",
			kafkaServers:  "kafka:9092",
			kafkaProtocol: "PLAINTEXT",
		},
	}
}
