package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// maxReplyBytes bounds what is kept of a reply; a list of 200,000 users fits.
const maxReplyBytes = 64 << 20

const maxRedirects = 10

// post sends body and returns the reply's status and content.
func (g *gateway) post(path string, body object) (int, []byte, error) {
	req, err := g.request(path, body)
	if err != nil {
		return 0, nil, err
	}
	transport, err := g.transport(req.URL)
	if err != nil {
		return 0, nil, err
	}
	defer transport.CloseIdleConnections()
	ctx := context.Background()
	if g.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(g.timeout))
		defer cancel()
	}
	client := http.Client{Transport: transport, CheckRedirect: checkRedirect(body)}
	resp, err := client.Do(req.WithContext(ctx))
	if err != nil {
		return 0, nil, g.explain(ctx, err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxReplyBytes+1))
	if err != nil {
		return 0, nil, g.explain(ctx, err)
	}
	if len(raw) > maxReplyBytes {
		return 0, nil, fmt.Errorf("reply is larger than %d MiB", maxReplyBytes>>20)
	}
	return resp.StatusCode, raw, nil
}

func (g *gateway) request(path string, body object) (*http.Request, error) {
	address := strings.TrimRight(g.url, "/") + path
	if err := checkURL(address); err != nil {
		return nil, err
	}
	token, err := g.credential()
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequest(http.MethodPost, address, bytes.NewReader(appendJSON(nil, body)))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "tg")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return req, nil
}

func checkURL(address string) error {
	invalid := func(why string) error { return fmt.Errorf("Invalid URL '%s': %s", redact(address), why) }
	if !strings.Contains(address, "://") {
		return invalid("No scheme supplied. Write it as " + defaultURL)
	}
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return invalid("not a URL")
	case u.Scheme != "http" && u.Scheme != "https":
		return invalid("the scheme must be http or https")
	case u.Hostname() == "":
		return invalid("No host supplied")
	}
	return nil
}

var userInURL = regexp.MustCompile(`(?s)^([^:/?#]+://)?.*@`)

// redact takes user and password out of what is meant to be a URL, and rather too
// much than too little: who mistypes one has typed its password all the same.
func redact(url string) string { return userInURL.ReplaceAllString(url, "$1***@") }

// explain says of a failed request what the user can do about it, without the
// credentials in the URL.
func (g *gateway) explain(ctx context.Context, err error) error {
	var untrusted *tls.CertificateVerificationError
	var failed *url.Error
	switch {
	case ctx.Err() != nil: // other time-outs are not ours: a resolver's, the system's
		return fmt.Errorf("no answer from %s within %s (--timeout)", redact(g.url), &g.timeout)
	case g.noRoots != nil && errors.As(err, &untrusted):
		return g.noRoots
	case errors.As(err, &failed):
		return fmt.Errorf("%s %q: %w", failed.Op, redact(failed.URL), failed.Err)
	}
	return err
}

// checkRedirect follows redirects as clients do, but takes no credential to
// another origin: neither the token nor a body with a password in it.
func checkRedirect(body object) func(*http.Request, []*http.Request) error {
	return func(next *http.Request, before []*http.Request) error {
		if len(before) >= maxRedirects {
			return fmt.Errorf("more than %d redirects", maxRedirects)
		}
		away := func(r *http.Request) bool { return !sameParty(before[0].URL, r.URL) }
		if !away(next) && !slices.ContainsFunc(before, away) {
			return nil // and it has never been anywhere else
		}
		next.Header.Del("Authorization")
		if next.Body != nil && body.holdsPassword() {
			return fmt.Errorf("the gateway redirects to %s, which must not see the password", next.URL.Host)
		}
		return nil
	}
}

// sameParty reports whether to is who was meant by from: the same origin, or its
// encrypted twin.
func sameParty(from, to *url.URL) bool {
	if !strings.EqualFold(from.Hostname(), to.Hostname()) {
		return false
	}
	if from.Scheme == to.Scheme {
		return port(from) == port(to)
	}
	return from.Scheme == "http" && port(from) == "80" && port(to) == "443"
}

func port(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	return map[string]string{"http": "80", "https": "443"}[u.Scheme]
}
