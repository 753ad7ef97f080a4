package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// tlsFiles are the options that start with prefix: what one kind of connection
// trusts and shows.
type tlsFiles struct {
	prefix                      string
	ca, cert, key, expectedName string
}

// given reports whether any of them says something.
func (f tlsFiles) given() bool {
	return f.ca != "" || f.cert != "" || f.key != "" || f.expectedName != ""
}

// config builds what they say. Without an authority the system's decide, without a
// name the host that is connected to does.
func (f tlsFiles) config() (*tls.Config, error) {
	if (f.cert == "") != (f.key == "") {
		return nil, fmt.Errorf("%s-cert and %s-key need each other", f.prefix, f.prefix)
	}
	t := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: f.expectedName}
	if f.ca != "" {
		pem, err := os.ReadFile(f.ca)
		if err != nil {
			return nil, fmt.Errorf("%s-ca: %w", f.prefix, err)
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, errors.New(f.prefix + "-ca: no PEM certificate in the file")
		}
	}
	if f.cert != "" {
		pair, err := tls.LoadX509KeyPair(f.cert, f.key)
		if err != nil {
			return nil, fmt.Errorf("%s-cert, %s-key: %w", f.prefix, f.prefix, err)
		}
		t.Certificates = []tls.Certificate{pair}
	}
	return t, nil
}

// tlsConfig builds what amqps connections use, nil when no TLS option is given:
// then the system's authorities decide and the name comes from the URL.
func (c *Config) tlsConfig() (*tls.Config, error) {
	files := tlsFiles{"--amqp-tls", c.TLSCAFile, c.TLSCertFile, c.TLSKeyFile, c.TLSServerName}
	if !files.given() {
		return nil, nil
	}
	return files.config()
}
