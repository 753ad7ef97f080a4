package main

import (
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// option is one row of the table that binds a Config field to its names: the
// flag `--name` (and `-short`), the environment variable env, and the key
// `name` of the YAML file.
type option struct {
	name, short string
	env         string // "" means SLUICE_ and the name in capitals
	later       string // the reference's variable for it since 2.8, if env is ours
	help        string // pflag's format: `quoted` names the argument
	value       pflag.Value
	secret      bool // also --name-file, ENV_FILE and the key name-file; masked
	off         bool // also --no-name
	ignored     bool // accepted for the reference's sake
}

// section is a group of options with a heading in --help.
type section struct {
	title   string
	options []option
}

// variable returns the environment variable of o.
func (o *option) variable() string {
	if o.env != "" {
		return o.env
	}
	return "SLUICE_" + strings.ToUpper(strings.ReplaceAll(o.name, "-", "_"))
}

const day = 24 * time.Hour

// gatewayOptions is every option of `sluice gateway`, bound to c.
func gatewayOptions(c *Config) []section {
	return []section{
		{"Serving", servingOptions(c)},
		{"Limits", limitOptions(c)},
		{"Message bus", busOptions(c)},
		{"System services", queueOptions(c)},
		{"Flows and identities", sourceOptions(c)},
		{"IAM service of its own (--iam embedded)", embeddedOptions(c)},
		{cassandraTitle + " (--iam-store cassandra)", cassandraOptions(c)},
		{"Metrics", metricsOptions(c)},
		{"Logging", loggingOptions(c)},
		{"Accepted without effect (other backends of the reference)", ignoredOptions(&c.ignored)},
	}
}

// devOptions is what `sluice dev` takes of them.
func devOptions(c *Config) []section {
	broker := busOptions(c)
	kept := broker[:0:0]
	for _, o := range broker {
		if strings.HasPrefix(o.name, "amqp-") {
			kept = append(kept, o)
		}
	}
	kept = append(kept, topicspaceOption(c))
	return []section{
		{"Serving", servingOptions(c)},
		{"Limits", limitOptions(c)},
		{"Message bus", kept},
		{"Metrics", metricsOptions(c)},
		{"Logging", loggingOptions(c)},
	}
}

func servingOptions(c *Config) []option {
	return []option{
		{name: "listen", value: text(&c.Listen), help: "`address` to serve HTTP on; empty means every interface, IPv4 and IPv6"},
		{name: "port", value: integer(&c.Port, 0, 65535), help: "HTTP `port`; 0 takes a free one and logs it"},
		{name: "timeout", value: duration(&c.Timeout, time.Second, day), help: "`time` a call may take as a whole, in seconds or with a unit (10m)"},
		{name: "part-timeout", value: duration(&c.PartTimeout, time.Millisecond, day), help: "`time` to wait for each part of a service's answer"},
		{name: "drain-timeout", value: duration(&c.DrainTimeout, 0, time.Hour), help: "`time` that running calls get to finish after SIGTERM or SIGINT"},
		{name: "strict-status", value: toggle(&c.StrictStatus), help: "answer failures with 4xx and 5xx; without it service, flow and time-out errors are 200, as the reference's clients expect"},
		{name: "allowed-origins", value: list(&c.AllowedOrigins), help: "`origins` of pages that may open sockets, as https://example.org, separated by commas or repeated; empty means any"},
		{name: "trusted-proxies", value: networks(&c.TrustedProxies), help: "`networks` of proxies whose X-Forwarded-For tells whom to limit at login, as 10.0.0.0/8 or an address, separated by commas or repeated"},
		{name: "id", value: text(&c.ID), help: "`name` of this process in its logs"},
	}
}

func limitOptions(c *Config) []option {
	return []option{
		{name: "slots", value: integer(&c.Slots, 1, 65536), help: "`number` of calls that may be in flight; more are answered 503"},
		{name: "max-body-bytes", value: sizeBytes(&c.MaxBodyBytes, 1<<10, 4<<30), help: "`size` of a request body after decompression; more is answered 413"},
		{name: "max-message-bytes", value: sizeBytes(&c.MaxMessageBytes, 1<<10, 2<<30), help: "`size` of a translated bus message; more is answered 413 (the broker has a limit of its own, usually 128MiB)"},
		{name: "max-core-value-bytes", value: sizeBytes(&c.MaxCoreValueBytes, 1<<10, 1<<30), help: "`size` of one value of an imported core; more is answered 413"},
		{name: "socket-queue-bytes", value: sizeBytes(&c.SocketQueueBytes, 64<<10, 1<<40), help: "`size` of what may wait to be written to one socket; a client that lets more gather is closed with 1013"},
		{name: "socket-budget", value: sizeBytes(&c.SocketBudget, 1<<20, 1<<50), help: "`size` of what may wait for all sockets together"},
		{name: "max-unauthenticated-sockets", value: integer(&c.MaxUnauthenticatedSockets, 1, 1<<20), help: "`number` of sockets whose clients have not authenticated yet"},
		{name: "body-budget", value: bytesValue{&c.BodyBudget, 1 << 20, 1 << 50, "a quarter of the memory limit"},
			help: "`size` of all request bodies held at a time; when it is spent, 503"},
	}
}

func busOptions(c *Config) []option {
	return []option{
		{name: "pubsub-backend", env: "PUBSUB_BACKEND", value: choice(&c.PubsubBackend, "rabbitmq"), help: "message `bus`; only rabbitmq is supported"},
		{name: "amqp-url", secret: true, value: list(&c.AMQPURLs), help: "`URL` of a broker, amqp://user:password@host:port/vhost or amqps://…; several separated by commas or repeated are tried in turn; overrides --rabbitmq-*"},
		{name: "rabbitmq-host", env: "RABBITMQ_HOST", value: text(&c.RabbitMQHost), help: "broker's `host`"},
		{name: "rabbitmq-port", env: "RABBITMQ_PORT", value: integer(&c.RabbitMQPort, 1, 65535), help: "broker's `port`"},
		{name: "rabbitmq-username", env: "RABBITMQ_USERNAME", value: text(&c.RabbitMQUsername), help: "`user` to log in as"},
		{name: "rabbitmq-password", env: "RABBITMQ_PASSWORD", secret: true, value: text(&c.RabbitMQPassword), help: "that user's `password`"},
		{name: "rabbitmq-vhost", env: "RABBITMQ_VHOST", value: text(&c.RabbitMQVhost), help: "virtual host's `name`"},
		{name: "amqp-tls-ca", value: text(&c.TLSCAFile), help: "PEM `file` of the authorities to trust for amqps; empty means the system's"},
		{name: "amqp-tls-cert", value: text(&c.TLSCertFile), help: "PEM `file` of the client certificate for amqps"},
		{name: "amqp-tls-key", value: text(&c.TLSKeyFile), help: "PEM `file` of its private key"},
		{name: "amqp-tls-server-name", value: text(&c.TLSServerName), help: "`name` the broker's certificate must carry; empty means the URL's host"},
		{name: "publish-connections", value: integer(&c.PublishConnections, 1, 64), help: "`number` of connections to publish on"},
		{name: "consume-connections", value: integer(&c.ConsumeConnections, 1, 64), help: "`number` of connections to receive on"},
	}
}

func topicspaceOption(c *Config) option {
	return option{name: "topicspace", value: text(&c.Topicspace), help: "`word` in the middle of the system services' topic ids"}
}

func queueOptions(c *Config) []option {
	out := []option{topicspaceOption(c)}
	for _, q := range c.Queues.all() {
		for _, side := range []struct {
			word string
			id   *string
		}{{"request", &q.pair.Request}, {"response", &q.pair.Response}} {
			out = append(out, option{
				name: q.kind.String() + "-" + side.word + "-queue", value: text(side.id),
				help: "`topic` id of the " + q.kind.String() + " service's " + side.word + "s; empty means " + side.word + ":TOPICSPACE:" + q.topic,
			})
		}
	}
	return out
}

func sourceOptions(c *Config) []option {
	return []option{
		{name: "flows", value: text(&c.FlowsFile), help: "YAML or JSON `file` of flows (workspace → flow → interfaces), read again when it changes; replaces the config service"},
		{name: "jwt-public-key", value: text(&c.JWTPublicKeyFile), help: "PEM `file` of the Ed25519 public keys that JWTs are signed with; IAM's keys are then not fetched"},
		{name: "api-keys", value: text(&c.APIKeysFile), help: "YAML or JSON `file` of API keys (a list of sha256, user, workspace, roles), looked into before IAM is asked"},
		{name: "iam", off: true, value: iamChoice{&c.IAM}, help: "`who` is asked about credentials that the files above do not settle: the IAM service on the bus, one embedded in this process, or none"},
		{name: "iam-grace", value: duration(&c.IAMGrace, 0, time.Hour), help: "`time` for which IAM's last answer about a user or a key counts while IAM cannot be asked again; every answer counts for a minute"},
		{name: "enforce-password-change", value: toggle(&c.EnforcePasswordChange), help: "let users who must change their password do nothing else with a token until they have"},
	}
}

func metricsOptions(c *Config) []option {
	return []option{
		{name: "prometheus-url", short: "m", env: "PROMETHEUS_URL", value: text(&c.PrometheusURL), help: "`URL` of the Prometheus that /api/metrics is forwarded to"},
		{name: "metrics", off: true, value: toggle(&c.Metrics), help: "serve this process's own metrics"},
		{name: "metrics-listen", value: text(&c.MetricsListen), help: "`address` to serve them on; empty means every interface"},
		{name: "metrics-port", short: "P", value: integer(&c.MetricsPort, 0, 65535), help: "`port` to serve them on; 0 takes a free one and logs it"},
	}
}

func loggingOptions(c *Config) []option {
	return []option{
		{name: "log-level", short: "l", value: level(&c.LogLevel), help: "drop what is less important than this `level`: DEBUG, INFO, WARNING, ERROR or CRITICAL"},
		{name: "log-format", value: choice(&c.LogFormat, "text", "json"), help: "how to write log lines: `text|json`"},
	}
}

func ignoredOptions(c *ignoredSettings) []option {
	out := []option{
		{name: "loki-enabled", off: true, value: toggle(&c.lokiEnabled), help: "send logs to Loki"},
		{name: "loki-url", env: "LOKI_URL", value: text(&c.lokiURL), help: "Loki's `URL`"},
		{name: "loki-username", env: "LOKI_USERNAME", value: text(&c.lokiUsername), help: "Loki `user`"},
		{name: "loki-password", env: "LOKI_PASSWORD", secret: true, value: text(&c.lokiPassword), help: "Loki `password`"},
		{name: "pulsar-host", short: "p", env: "PULSAR_HOST", value: text(&c.pulsarHost), help: "Pulsar `URL`"},
		{name: "pulsar-api-key", env: "PULSAR_API_KEY", secret: true, value: text(&c.pulsarAPIKey), help: "Pulsar `key`"},
		{name: "pulsar-listener", value: text(&c.pulsarListener), help: "Pulsar listener `name`"},
		{name: "kafka-bootstrap-servers", env: "KAFKA_BOOTSTRAP_SERVERS", value: text(&c.kafkaServers), help: "Kafka `hosts`"},
		{name: "kafka-security-protocol", env: "KAFKA_SECURITY_PROTOCOL", value: text(&c.kafkaProtocol), help: "Kafka `protocol`"},
		{name: "kafka-sasl-mechanism", env: "KAFKA_SASL_MECHANISM", value: text(&c.kafkaMechanism), help: "Kafka `mechanism`"},
		{name: "kafka-sasl-username", env: "KAFKA_SASL_USERNAME", value: text(&c.kafkaUser), help: "Kafka `user`"},
		{name: "kafka-sasl-password", env: "KAFKA_SASL_PASSWORD", secret: true, value: text(&c.kafkaPassword), help: "Kafka `password`"},
	}
	for i := range out {
		out[i].ignored = true
	}
	return out
}
