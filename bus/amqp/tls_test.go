package amqp

import (
	"crypto/tls"
	"crypto/x509"
	"net/http/httptest"
	"strings"
	"testing"

	"sluice/bus"
	"sluice/bus/amqp/brokertest"
)

func TestTLS(t *testing.T) {
	server := httptest.NewUnstartedServer(nil) // for its certificate
	server.StartTLS()
	defer server.Close()
	p := newProxy(t, brokertest.URL(t))
	p.close()
	p.tls = &tls.Config{Certificates: server.TLS.Certificates, MinVersion: tls.VersionTLS12}
	p.reopen(t)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	url := strings.Replace(p.url, "amqp://", "amqps://", 1)
	b := open(t, Config{URLs: []string{url}, TLS: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}, nil)
	s := newSpace(t)
	seen := drain(t, b, s.topic(bus.Flow, "secret"))
	send(t, b, bus.Message{To: s.topic(bus.Flow, "secret"), Body: make([]byte, 1<<20)})
	until(t, "it arrives", func() bool { return seen.Load() == 1 })

	untrusting, err := Open(Config{URLs: []string{url}, Logger: quiet}, nil)
	if err != nil {
		t.Fatal(err)
	}
	until(t, "an unknown certificate is refused", func() bool {
		return strings.Contains(untrusting.Ready().Error(), "certificate")
	})
	if err := untrusting.Close(within(t, connectTimeout)); err != nil {
		t.Error(err)
	}
}
