package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
)

// transport is how a gateway is reached: through proxies, trusting whom, as whom.
func (g *gateway) transport(u *url.URL) (*http.Transport, error) {
	roots, err := g.roots(u)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{RootCAs: roots}
	if g.cert != "" {
		key := g.certKey
		if key == "" {
			key = g.cert
		}
		pair, err := tls.LoadX509KeyPair(g.cert, key)
		if err != nil {
			return nil, fmt.Errorf("client certificate: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return &http.Transport{
		Proxy:             http.ProxyFromEnvironment,
		DialContext:       (&net.Dialer{}).DialContext,
		TLSClientConfig:   config,
		ForceAttemptHTTP2: true,
	}, nil
}

// roots are the authorities to trust; nil means the system's. A bundle that only
// the environment names is nobody's mistake as long as nothing is encrypted.
func (g *gateway) roots(u *url.URL) (*x509.CertPool, error) {
	if g.cacert != "" {
		return readBundle(g.cacert)
	}
	for _, name := range []string{"REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"} {
		if path, _ := g.lookup(name); path != "" {
			pool, err := readBundle(path)
			if err != nil && u.Scheme == "https" {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			return pool, nil
		}
	}
	return nil, nil
}

// readBundle reads a PEM file, or every file of a directory.
func readBundle(path string) (*x509.CertPool, error) {
	files := []string{path}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		if files, err = filepath.Glob(filepath.Join(path, "*")); err != nil {
			return nil, err
		}
	}
	pool, found := x509.NewCertPool(), false
	for _, file := range files {
		pem, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		found = pool.AppendCertsFromPEM(pem) || found
	}
	if !found {
		return nil, fmt.Errorf("no certificate in %s", path)
	}
	return pool, nil
}
