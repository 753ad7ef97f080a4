package main

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"unicode"
)

// validate checks what one value alone cannot tell, fills in what follows from
// other values, and never quotes a secret. Its errors are usage errors.
func (c *Config) validate() error {
	checks := []func() error{
		c.checkAddresses, c.checkBroker, c.checkTopics, c.checkSources, c.checkPrometheus, c.checkTLS,
	}
	for _, check := range checks {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (c *Config) checkAddresses() error {
	for _, a := range []struct{ flag, address string }{{"listen", c.Listen}, {"metrics-listen", c.MetricsListen}} {
		if err := checkAddress(a.address); err != nil {
			return fmt.Errorf("--%s: %w", a.flag, err)
		}
	}
	if c.Metrics && c.Port != 0 && c.Port == c.MetricsPort && overlap(c.Listen, c.MetricsListen) {
		return fmt.Errorf("--port and --metrics-port are both %d", c.Port)
	}
	return nil
}

func overlap(a, b string) bool { return a == b || a == "" || b == "" }

func checkAddress(a string) error {
	if a == "" || net.ParseIP(a) != nil {
		return nil
	}
	if strings.ContainsAny(a, ":/ \t[]") {
		return errors.New("must be an IP address or host name, without a port")
	}
	return nil
}

func (c *Config) checkBroker() error {
	if len(c.AMQPURLs) == 0 && c.RabbitMQHost == "" {
		return errors.New("--rabbitmq-host is empty and no --amqp-url is given")
	}
	for i, u := range c.AMQPURLs {
		if err := checkAMQPURL(u); err != nil {
			return fmt.Errorf("--amqp-url number %d: %w", i+1, err)
		}
	}
	return nil
}

func checkAMQPURL(raw string) error {
	u, err := url.Parse(raw)
	if err != nil {
		return errors.New("is not a URL; characters such as / ? # @ and , in user, password and vhost are written %2F %3F %23 %40 %2C")
	}
	if u.Scheme != "amqp" && u.Scheme != "amqps" {
		return errors.New("must start with amqp:// or amqps://")
	}
	if u.Hostname() == "" {
		return errors.New("names no host")
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.Atoi(p); err != nil || n < 1 || n > 65535 {
			return errors.New("has a port that is not from 1 to 65535")
		}
	}
	return nil
}

func (c *Config) checkTopics() error {
	if c.Topicspace == "" || strings.ContainsFunc(c.Topicspace, notInTopicspace) {
		return errors.New("--topicspace must be one word without a colon")
	}
	if err := c.Queues.validate(); err != nil {
		return err
	}
	return c.dispatch().Validate()
}

func (c *Config) checkSources() error {
	if c.IAM == iamEmbedded {
		return c.checkEmbedded()
	}
	if err := c.refuseEmbedded(); err != nil {
		return err
	}
	if c.IAM == iamNone && c.JWTPublicKeyFile == "" && c.APIKeysFile == "" {
		return errors.New("--no-iam leaves nobody to call: it needs --jwt-public-key or --api-keys")
	}
	return nil
}

func notInTopicspace(r rune) bool { return r == ':' || unicode.IsSpace(r) || unicode.IsControl(r) }

func (c *Config) checkPrometheus() error {
	u, err := url.Parse(c.PrometheusURL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return errors.New("--prometheus-url must be an http:// or https:// URL")
	}
	return nil
}

func (c *Config) checkTLS() error {
	_, err := c.tlsConfig()
	return err
}

// brokers returns the AMQP URLs to try in turn. They hold passwords.
func (c *Config) brokers() []string {
	if len(c.AMQPURLs) > 0 {
		return c.AMQPURLs
	}
	u := url.URL{
		Scheme:  "amqp",
		User:    url.UserPassword(c.RabbitMQUsername, c.RabbitMQPassword),
		Host:    net.JoinHostPort(c.RabbitMQHost, strconv.Itoa(c.RabbitMQPort)),
		Path:    "/" + c.RabbitMQVhost,
		RawPath: "/" + url.PathEscape(c.RabbitMQVhost),
	}
	return []string{u.String()}
}
