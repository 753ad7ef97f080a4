package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"testing"
	"time"
)

// selfSigned writes a certificate for broker.example, good for both sides, and
// its key.
func selfSigned(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "broker"}, DNSNames: []string{"broker.example"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	encode := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	return writeFile(t, "cert.pem", encode("CERTIFICATE", cert)), writeFile(t, "key.pem", encode("PRIVATE KEY", private))
}

// The TLS options reach the connection: a broker that demands a client
// certificate completes the handshake with us.
func TestBrokerConnectionsUseTheTLSOptions(t *testing.T) {
	certFile, keyFile := selfSigned(t)
	c, _, err := loadConfig(t, []string{"--amqp-tls-ca", certFile, "--amqp-tls-cert", certFile, "--amqp-tls-key", keyFile, "--amqp-tls-server-name=broker.example"}, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	ours, err := c.tlsConfig()
	if err != nil {
		t.Fatal(err)
	}
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: ours.Certificates, ClientCAs: ours.RootCAs, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12,
	})
	if err != nil {
		t.Fatal(err)
	}
	greeted := make(chan error, 1)
	accepted := make(chan struct{})
	go func() {
		defer close(accepted)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			greeting := make([]byte, 8)
			_, err = conn.Read(greeting)
			conn.Close()
			select {
			case greeted <- err:
			default:
			}
		}
	}()
	defer func() { ln.Close(); <-accepted }()
	c.AMQPURLs = []string{"amqps://u:p@" + ln.Addr().String() + "/"}
	log := slog.New(slog.DiscardHandler)
	g, err := newGateway(c, log, c.rabbitMQ(log))
	if err != nil {
		t.Fatal(err)
	}
	defer g.close()
	select {
	case err := <-greeted:
		if err != nil {
			t.Errorf("handshake: %v", err)
		}
	case <-time.After(time.Minute):
		t.Error("no connection")
	}
}
