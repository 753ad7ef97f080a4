package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"sluice/proxy/auth"
)

const maxRedirects = 10

var (
	errDots     = &plainError{status: fasthttp.StatusBadRequest, reason: "Invalid metrics path"}
	errRedirect = errors.New("redirect to another host refused")
)

// metricsProxy fetches from the metrics server, with one client for all requests
// and without holding bodies in memory.
type metricsProxy struct {
	base    *url.URL // without a slash at the end
	client  *http.Client
	timeout time.Duration
}

func newMetricsProxy(base *url.URL, timeout time.Duration) *metricsProxy {
	clean := *base
	clean.Path = strings.TrimRight(clean.Path, "/")
	clean.RawPath = strings.TrimRight(clean.RawPath, "/")
	transport := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // net/http's own
	transport.Proxy = nil                                        // the metrics server is ours; what HTTP_PROXY names is for the world outside
	transport.MaxIdleConnsPerHost = 16
	transport.MaxConnsPerHost = 64
	return &metricsProxy{base: &clean, timeout: timeout, client: &http.Client{
		Transport: transport,
		CheckRedirect: func(next *http.Request, via []*http.Request) error {
			if next.URL.Host != clean.Host || next.URL.Scheme != clean.Scheme {
				return errRedirect
			}
			if len(via) >= maxRedirects {
				return errors.New("too many redirects")
			}
			return nil
		},
	}}
}

func (p *metricsProxy) close() { p.client.CloseIdleConnections() }

// target is the URL upstream for the path below /api/metrics and the query as
// they were sent.
func (p *metricsProxy) target(path, query []byte) (*url.URL, error) {
	raw := string(path)
	decoded, err := url.PathUnescape(raw)
	if err != nil || hasDots(raw) {
		return nil, errDots
	}
	u := *p.base
	u.RawPath = u.EscapedPath() + "/api/v1/" + raw
	u.Path += "/api/v1/" + decoded
	u.RawQuery = string(query)
	return &u, nil
}

// hasDots reports whether a path leads elsewhere, however often it is encoded:
// who knows how often the next one decodes.
func hasDots(path string) bool {
	for {
		for _, segment := range strings.FieldsFunc(path, func(r rune) bool { return r == '/' || r == '\\' }) {
			if segment == "." || segment == ".." {
				return true
			}
		}
		next, err := url.PathUnescape(path)
		if err != nil || next == path {
			return false
		}
		path = next
	}
}

// fetch asks upstream. The body of the response ends the request when closed.
func (p *metricsProxy) fetch(u *url.URL) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(context.Background(), p.timeout)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		cancel()
		return nil, err
	}
	resp, err := p.client.Do(req)
	if err != nil {
		cancel()
		return nil, err
	}
	resp.Body = &cancelBody{resp.Body, cancel}
	return resp, nil
}

type cancelBody struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (b *cancelBody) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close()
}

// metricsUpstream serves GET /api/metrics and all below it.
func (s *Server) metricsUpstream(ctx *fasthttp.RequestCtx, x *exchange) error {
	id, err := s.authenticate(ctx)
	if err != nil {
		return err
	}
	if err := s.authoriser.Authorise(id, auth.Access{Surface: auth.Metrics}, ownWorkspace(id)); err != nil {
		return err
	}
	u, err := s.metrics.target(x.match.rest, ctx.URI().QueryString())
	if err != nil {
		return err
	}
	resp, err := s.metrics.fetch(u)
	if err != nil {
		return upstreamFailure(err)
	}
	ctx.SetStatusCode(resp.StatusCode)
	ctx.Response.Header.SetContentType(resp.Header.Get("Content-Type"))
	if ctx.IsHead() {
		return resp.Body.Close()
	}
	ctx.Response.SetBodyStream(resp.Body, int(resp.ContentLength))
	return nil
}

// upstreamFailure is 502 when upstream could not be talked to, else 500.
func upstreamFailure(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err // without the URL: it is the operator's business
	}
	var network *net.OpError
	var name *net.DNSError
	if errors.As(err, &network) || errors.As(err, &name) || errors.Is(err, io.EOF) || errors.Is(err, errRedirect) {
		return &plainError{status: fasthttp.StatusBadGateway, body: fmt.Sprintf("Bad Gateway: metrics upstream unreachable: %v", err)}
	}
	return &plainError{status: fasthttp.StatusInternalServerError, body: fmt.Sprintf("Internal Server Error: %v", err)}
}
