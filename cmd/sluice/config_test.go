package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// loadConfig does what `sluice gateway` does before it builds anything.
func loadConfig(t *testing.T, args []string, env map[string]string, yaml string) (*Config, *loader, error) {
	t.Helper()
	c := defaultConfig()
	flags := pflag.NewFlagSet("gateway", pflag.ContinueOnError)
	l := newLoader(gatewayOptions(c), flags, func(name string) (string, bool) { v, ok := env[name]; return v, ok })
	c.origins = l.origins
	if err := flags.Parse(args); err != nil {
		return nil, l, err
	}
	if yaml != "" {
		yaml = writeFile(t, "config.yaml", yaml)
	}
	if err := l.load(yaml); err != nil {
		return nil, l, err
	}
	return c, l, c.validate()
}

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDefaultsAreTheReferences(t *testing.T) {
	c, l, err := loadConfig(t, nil, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"id": c.ID == "api-gateway", "port": c.Port == 8088, "timeout": c.Timeout == 600*time.Second,
		"part-timeout": c.PartTimeout == 120*time.Second, "prometheus-url": c.PrometheusURL == "http://prometheus:9090",
		"metrics": c.Metrics, "metrics-port": c.MetricsPort == 8000, "log-level": c.LogLevel == slog.LevelInfo,
		"backend": c.PubsubBackend == "rabbitmq", "url": reflect.DeepEqual(c.brokers(), []string{"amqp://guest:guest@rabbitmq:5672/%2F"}),
		"topicspace": c.Topicspace == "tg", "queues": len(c.Queues.global()) == 0, "iam": c.IAM == iamBus,
		"iam-grace": c.IAMGrace == 5*time.Minute, "enforce-password-change": !c.EnforcePasswordChange,
		"trusted-proxies": len(c.TrustedProxies) == 0,
		"ignored":         len(l.ignored) == 0,
	}
	for name, ok := range want {
		if ok != true {
			t.Errorf("default of %s is not the contract's", name)
		}
	}
}

func TestFlagsGoOverEnvironmentOverFile(t *testing.T) {
	yaml := "port: 1\nrabbitmq-host: file\nrabbitmq-password: file\ntimeout: 10m\nmetrics: no\namqp-url: [amqp://a, amqp://b]\n"
	env := map[string]string{"SLUICE_PORT": "2", "RABBITMQ_HOST": "env", "RABBITMQ_PASSWORD": "env", "SLUICE_TIMEOUT": "20", "PROMETHEUS_URL": ""}
	for _, row := range []struct {
		name string
		args []string
		env  map[string]string
		yaml string
		want string
	}{
		{"nothing", nil, nil, "", "8088 rabbitmq guest 10m0s true []"},
		{"file", nil, nil, yaml, "1 file file 10m0s false [amqp://a amqp://b]"},
		{"environment", nil, env, "", "2 env env 20s true []"},
		{"environment over file", nil, env, yaml, "2 env env 20s false [amqp://a amqp://b]"},
		{"flags over both", []string{"--port=3", "--rabbitmq-host", "flag", "--rabbitmq-password=flag", "--timeout=1.5m", "--metrics", "--amqp-url=amqp://c,amqp://d", "--amqp-url=amqp://e"}, env, yaml,
			"3 flag flag 1m30s true [amqp://c amqp://d amqp://e]"},
		{"last flag wins", []string{"--port=3", "--port=4", "--metrics", "--no-metrics", "--timeout", "601"}, nil, "", "4 rabbitmq guest 10m1s false []"},
		{"double negation", []string{"--no-metrics=false"}, nil, yaml, "1 file file 10m0s true [amqp://a amqp://b]"},
		{"given empty is given", []string{"--rabbitmq-password="}, env, yaml, "2 env  20s false [amqp://a amqp://b]"},
		{"scalars as spelled", nil, nil, "rabbitmq-password: 0123\nrabbitmq-host: 'q'\n", "8088 q 0123 10m0s true []"},
		{"block text", nil, nil, "amqp-url: |\n  amqp://a\n  amqp://b\n", "8088 rabbitmq guest 10m0s true [amqp://a amqp://b]"},
		{"null is nothing", nil, nil, "port: null\nrabbitmq-host:\n", "8088 rabbitmq guest 10m0s true []"},
		{"service links of Kubernetes", nil, map[string]string{"SLUICE_PORT": "tcp://10.0.0.1:8088"}, "port: 5", "5 rabbitmq guest 10m0s true []"},
		{"comment only", nil, nil, "# nothing\n", "8088 rabbitmq guest 10m0s true []"},
	} {
		t.Run(row.name, func(t *testing.T) {
			c, _, err := loadConfig(t, row.args, row.env, row.yaml)
			if err != nil {
				t.Fatal(err)
			}
			got := fmt.Sprint(c.Port, " ", c.RabbitMQHost, " ", c.RabbitMQPassword, " ", c.Timeout, " ", c.Metrics, " ", c.AMQPURLs)
			if got != row.want {
				t.Errorf("got  %s\nwant %s", got, row.want)
			}
		})
	}
}

func TestSecretsComeFromFilesToo(t *testing.T) {
	secret := writeFile(t, "secret", "s3cret, with blanks\r\n")
	urls := writeFile(t, "urls", "amqp://a:b@c/\namqp://d:e@f/\n")
	for _, row := range []struct {
		name string
		args []string
		env  map[string]string
		yaml string
		want string // password, or the start of an error
	}{
		{"flag", []string{"--rabbitmq-password-file", secret}, map[string]string{"RABBITMQ_PASSWORD": "x"}, "", "s3cret, with blanks"},
		{"environment", nil, map[string]string{"RABBITMQ_PASSWORD_FILE": secret}, "rabbitmq-password: x", "s3cret, with blanks"},
		{"yaml", nil, nil, "rabbitmq-password-file: " + secret, "s3cret, with blanks"},
		{"both flags", []string{"--rabbitmq-password-file", secret, "--rabbitmq-password=x"}, nil, "", "error: --rabbitmq-password and --rabbitmq-password-file exclude each other"},
		{"both variables", nil, map[string]string{"RABBITMQ_PASSWORD_FILE": secret, "RABBITMQ_PASSWORD": "x"}, "", "error: environment variable RABBITMQ_PASSWORD and"},
		{"missing", []string{"--rabbitmq-password-file", secret + "x"}, nil, "", "error: --rabbitmq-password-file: open"},
		{"empty", []string{"--rabbitmq-password-file", writeFile(t, "e", "\n")}, nil, "", "error: --rabbitmq-password-file:"},
		{"huge", []string{"--rabbitmq-password-file", writeFile(t, "h", strings.Repeat("x", maxSecretBytes+1))}, nil, "", "error: --rabbitmq-password-file:"},
	} {
		t.Run(row.name, func(t *testing.T) {
			c, _, err := loadConfig(t, row.args, row.env, row.yaml)
			got := fmt.Sprint("error: ", err)
			if err == nil {
				got = c.RabbitMQPassword
			}
			if !strings.HasPrefix(got, row.want) {
				t.Errorf("got %q, want %q", got, row.want)
			}
		})
	}
	c, _, err := loadConfig(t, []string{"--amqp-url-file", urls}, nil, "")
	if err != nil || len(c.AMQPURLs) != 2 {
		t.Errorf("URLs %v, error %v", c, err)
	}
}

func TestNonsenseIsRefused(t *testing.T) {
	pem := writeFile(t, "cert.pem", "nothing")
	for _, row := range []struct {
		arg, want string
	}{
		{"--port=65536", "--port: must be from 0 to 65535"},
		{"--port=eighty", "--port: must be a whole number"},
		{"--port=", "--port: must be a whole number"},
		{"--metrics-port=8088", "--port and --metrics-port are both 8088"},
		{"--timeout=0", "--timeout: must be from 1s to 24h"},
		{"--timeout=soon", "--timeout: must be seconds"},
		{"--timeout=NaN", "--timeout: is out of range"},
		{"--timeout=1e300", "--timeout: is out of range"},
		{"--part-timeout=-1", "--part-timeout: must be from"},
		{"--drain-timeout=-1s", "--drain-timeout: must be from"},
		{"--slots=0", "--slots: must be from 1 to 65536"},
		{"--slots=65537", "--slots: must be from 1 to 65536"},
		{"--max-body-bytes=12", "--max-body-bytes: must be from 1KiB to 4GiB"},
		{"--max-body-bytes=1XB", "--max-body-bytes: must be a size"},
		{"--max-message-bytes=-1", "--max-message-bytes: must be a size"},
		{"--max-message-bytes=0", "--max-message-bytes: must be from"},
		{"--body-budget=1", "--body-budget: must be from"},
		{"--body-budget=1e30G", "--body-budget: is out of range"},
		{"--publish-connections=0", "--publish-connections: must be from"},
		{"--pubsub-backend=pulsar", "--pubsub-backend: must be one of rabbitmq"},
		{"--rabbitmq-host=", "--rabbitmq-host is empty"},
		{"--rabbitmq-port=0", "--rabbitmq-port: must be from"},
		{"--amqp-url=http://x", "--amqp-url number 1: must start with amqp://"},
		{"--amqp-url=amqp://a,amqp://", "--amqp-url number 2: names no host"},
		{"--amqp-url=amqp://h:99999", "--amqp-url number 1: has a port"},
		{"--amqp-url=amqp://u:p#w@h", "--amqp-url number 1:"},
		{"--topicspace=a:b", "--topicspace must be one word"},
		{"--topicspace=", "--topicspace must be one word"},
		{"--topicspace=" + strings.Repeat("x", 250), "topics of "},
		{"--config-request-queue=response:tg:x", `--config-request-queue: "response:tg:x" is a response topic`},
		{"--iam-response-queue=a:b", "--iam-response-queue: Invalid topic format"},
		{"--no-iam", "--no-iam leaves nobody to call"},
		{"--prometheus-url=prometheus:9090", "--prometheus-url must be"},
		{"--prometheus-url=http://", "--prometheus-url must be"},
		{"--listen=1.2.3.4:80", "--listen: must be an IP address or host name"},
		{"--log-level=LOUD", "--log-level: must be DEBUG"},
		{"--trusted-proxies=10.0.0.0/33", "--trusted-proxies: must be networks"},
		{"--trusted-proxies=::1,proxy", "--trusted-proxies: must be networks"},
		{"--trusted-proxies=::ffff:10.0.0.1", "--trusted-proxies: must be networks"},
		{"--iam-grace=2h", "--iam-grace: must be from 0s to 1h"},
		{"--enforce-password-change=perhaps", "--enforce-password-change: must be true or false"},
		{"--log-format=xml", "--log-format: must be one of text, json"},
		{"--strict-status=maybe", "--strict-status: must be true or false"},
		{"--amqp-tls-ca=" + pem, "--amqp-tls-ca: no PEM certificate"},
		{"--amqp-tls-ca=" + pem + "x", "--amqp-tls-ca: open"},
		{"--amqp-tls-cert=" + pem, "--amqp-tls-cert and --amqp-tls-key need each other"},
	} {
		if _, _, err := loadConfig(t, []string{row.arg}, nil, ""); err == nil || !strings.HasPrefix(err.Error(), row.want) {
			t.Errorf("%s\n got %v\nwant %s", row.arg, err, row.want)
		}
	}
	for _, row := range []struct{ yaml, want string }{
		{"prot: 1\n", `:1: unknown key "prot"`},
		{"config: x\n", `unknown key "config"`},
		{"port: [1, {a: b}]\n", "port: must be a single value"},
		{"port: 70000\n", "port: must be from 0 to 65535"},
		{"port: 1\nport: 2\n", "already defined"},
		{"- port\n", "must be a mapping"},
		{"port\n", "must be a mapping"},
		{"port: 'x\n", "config.yaml: "},
	} {
		if _, _, err := loadConfig(t, nil, nil, row.yaml); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%q\n got %v\nwant %s", row.yaml, err, row.want)
		}
	}
	if _, _, err := loadConfig(t, nil, map[string]string{"RABBITMQ_PORT": "amqp"}, ""); err == nil ||
		!strings.HasPrefix(err.Error(), "environment variable RABBITMQ_PORT: must be a whole number") {
		t.Errorf("got %v", err)
	}
}

// No error may quote what could be a secret.
func TestErrorsDoNotLeakSecrets(t *testing.T) {
	for _, arg := range []string{
		"--amqp-url=amqp://u:hunter2@h:x/", "--amqp-url=hunter2", "--amqp-url=amqp://u:hunter2@", "--amqp-url=amqp://%zz:hunter2@h",
	} {
		_, _, err := loadConfig(t, []string{arg}, nil, "")
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", arg, err)
		}
	}
	for _, yaml := range []string{"rabbitmq-password: hunter2\nport: x\n", "rabbitmq-password: \"hunter2\n", "rabbitmq-password: {hunter2: 1}\n"} {
		_, _, err := loadConfig(t, nil, nil, yaml)
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", yaml, err)
		}
	}
}

func TestBrokerURLIsMadeOfTheParts(t *testing.T) {
	c, _, err := loadConfig(t, []string{"--rabbitmq-host=::1", "--rabbitmq-port=1", "--rabbitmq-username=a@b", "--rabbitmq-password=p/q?#", "--rabbitmq-vhost=x/y"}, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.brokers()[0], "amqp://a%40b:p%2Fq%3F%23@[::1]:1/x%2Fy"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if err := checkAMQPURL(c.brokers()[0]); err != nil {
		t.Error(err)
	}
}

func TestOtherBackendsSettingsAreCounted(t *testing.T) {
	args := []string{"--loki-url=x", "-p", "pulsar://y", "--no-loki-enabled", "--kafka-sasl-password=z"}
	_, l, err := loadConfig(t, args, map[string]string{"LOKI_USERNAME": "u"}, "pulsar-listener: x\n")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"loki-enabled", "loki-url", "loki-username", "pulsar-host", "pulsar-listener", "kafka-sasl-password"}
	if !reflect.DeepEqual(l.ignored, want) {
		t.Errorf("got %v, want %v", l.ignored, want)
	}
}

// The help is the documentation: each option with flag, variable and default,
// and no secret, not even a default one.
func TestHelpDocumentsEveryOptionAndNoSecret(t *testing.T) {
	c := defaultConfig()
	cmd := &cobra.Command{Use: "gateway", Run: func(*cobra.Command, []string) {}}
	sections := gatewayOptions(c)
	l := newLoader(sections, cmd.Flags(), func(string) (string, bool) { return "", false })
	groupUsage(cmd, sections)
	if err := cmd.Flags().Parse([]string{"--rabbitmq-password=hunter2", "--amqp-url=amqp://u:hunter2@h"}); err != nil {
		t.Fatal(err)
	}
	if err := l.load(""); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd.SetOut(&out)
	if err := cmd.Usage(); err != nil {
		t.Fatal(err)
	}
	help := strings.Join(strings.Fields(out.String()), " ")
	for _, s := range sections {
		if !strings.Contains(help, s.title+":") {
			t.Errorf("no section %q", s.title)
		}
		for _, o := range s.options {
			for _, part := range []string{"--" + o.name + " ", "(env " + o.variable() + ")"} {
				if !strings.Contains(help, part) {
					t.Errorf("no %q in the help", part)
				}
			}
			if o.secret && !strings.Contains(help, "--"+o.name+"-file file file that holds it instead (env "+o.variable()+"_FILE)") {
				t.Errorf("the help does not say that --%s can be read from a file", o.name)
			}
		}
	}
	for _, part := range []string{"(default 8088)", "(default 10m)", "(default 2m)", "(default 128MiB)", "(default INFO)", "a quarter of the memory limit"} {
		if !strings.Contains(help, part) {
			t.Errorf("no %q in the help", part)
		}
	}
	for _, secret := range []string{"hunter2", "guest:guest", "default ****"} {
		if strings.Contains(help, secret) {
			t.Errorf("the help shows %q", secret)
		}
	}
	if i := strings.Index(help, "--rabbitmq-password password"); strings.Contains(help[i:i+80], "guest") {
		t.Error("the help shows the default password")
	}
}

func TestSizesAndDurationsReadBack(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "1": 1, "1k": 1024, "1KiB": 1024, "1kb": 1000, "1.5M": 3 << 19, "2 GiB": 2 << 30, "7B": 7,
	} {
		if got, err := parseBytes(text); err != nil || got != want {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
	for n, want := range map[int64]string{0: "0", 1: "1", 1024: "1KiB", 1536: "1536", 128 << 20: "128MiB", 1 << 30: "1GiB"} {
		if got := shortBytes(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{0: "0s", time.Hour: "1h", 90 * time.Minute: "1h30m", 10 * time.Minute: "10m", 61 * time.Second: "1m1s", 30 * time.Second: "30s"} {
		if got := shortDuration(d); got != want {
			t.Errorf("%d: %s, want %s", d, got, want)
		}
	}
}

func TestLogsCarryLevelAndProcessor(t *testing.T) {
	var out bytes.Buffer
	c := defaultConfig()
	c.LogFormat, c.LogLevel = "json", slog.LevelWarn
	log := newLogger(c, &out)
	log.Info("dropped")
	log.Warn("kept", "n", 1)
	log.Log(t.Context(), levelCritical, "last")
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], `"level":"WARNING"`) || !strings.Contains(lines[0], `"processor":"api-gateway"`) ||
		!strings.Contains(lines[1], `"level":"CRITICAL"`) {
		t.Errorf("got %s", out.String())
	}
}

func TestNetworks(t *testing.T) {
	c, _, err := loadConfig(t, []string{"--trusted-proxies=10.1.2.3/8, 192.0.2.7", "--trusted-proxies=fd00::/8,::1"}, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(c.TrustedProxies); got != "[10.0.0.0/8 192.0.2.7/32 fd00::/8 ::1/128]" {
		t.Error(got)
	}
	if c, _, err = loadConfig(t, nil, map[string]string{"SLUICE_TRUSTED_PROXIES": "10.0.0.0/8"}, "iam-grace: 30"); err != nil ||
		len(c.TrustedProxies) != 1 || c.IAMGrace != 30*time.Second {
		t.Errorf("%v, %v, %v", c.TrustedProxies, c.IAMGrace, err)
	}
}
