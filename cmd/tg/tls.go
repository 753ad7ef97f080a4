package main

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// transport is how a gateway is reached: through proxies, trusting whom, as whom.
func (g *gateway) transport(u *url.URL) (*http.Transport, error) {
	roots, err := g.roots()
	if err != nil {
		// A bundle that only the environment names is nobody's mistake as long as
		// nothing is encrypted. If a redirect or a proxy is, nobody is trusted.
		if g.cacert != "" || u.Scheme == "https" {
			return nil, err
		}
		roots, g.noRoots = x509.NewCertPool(), err
	}
	config := &tls.Config{RootCAs: roots}
	if g.cert != "" {
		key := g.certKey
		if key == "" {
			key = g.cert
		}
		pair, err := tls.LoadX509KeyPair(string(g.cert), string(key))
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

// allProxy has Go honour $ALL_PROXY, as other clients do: for schemes without a
// variable of their own.
func allProxy() {
	set := func(name string) string { return cmp.Or(os.Getenv(strings.ToLower(name)), os.Getenv(name)) }
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY"} {
		if set(name) == "" {
			_ = os.Setenv(name, set("ALL_PROXY")) // fails for impossible names only
		}
	}
}

// roots are the authorities to trust; nil means the system's.
func (g *gateway) roots() (*x509.CertPool, error) {
	if g.cacert != "" {
		return readBundle(string(g.cacert))
	}
	for _, name := range []string{"REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"} {
		if path, _ := g.lookup(name); path != "" {
			pool, err := readBundle(path)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			return pool, nil
		}
	}
	return nil, nil
}

// readBundle reads a PEM file, or those of a directory: its regular files that can be
// read, as other things may stand there too.
func readBundle(path string) (*x509.CertPool, error) {
	pool, found := x509.NewCertPool(), false
	entries, err := os.ReadDir(path)
	if err != nil { // not a directory
		pem, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		found = pool.AppendCertsFromPEM(pem)
	}
	for _, e := range entries {
		file := filepath.Join(path, e.Name())
		if info, err := os.Stat(file); err != nil || !info.Mode().IsRegular() {
			continue
		}
		if pem, err := os.ReadFile(file); err == nil {
			found = pool.AppendCertsFromPEM(pem) || found
		}
	}
	if !found {
		return nil, fmt.Errorf("no certificate in %s", path)
	}
	return pool, nil
}
