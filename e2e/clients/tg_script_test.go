package clients

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// tg.sh drives every command that was installed, in every way there is.
func TestCommandLineScript(t *testing.T) {
	t.Parallel()
	script, err := filepath.Abs("tg.sh")
	if err != nil {
		t.Fatal(err)
	}
	url, dir := startIAM(t), t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", script)
	cmd.Dir = t.TempDir()
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "LANG=C.UTF-8", "PREFIX=" + installed(t), "GATEWAY=" + url,
		"TLS=" + startTLS(t, url, dir), "CACERT=" + dir + "/ca.pem", "CERT=" + dir + "/client.pem", "KEY=" + dir + "/client.key",
		"PYTHON=" + client(t, "SLUICE_TEST_PYTHON"), "ON_TTY=" + filepath.Join(filepath.Dir(script), "on_tty.py"),
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // no terminal but its own
	cmd.WaitDelay = 10 * time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("tg.sh: %v\n%s", err, out)
	}
}

// startTLS serves the gateway to clients that have a certificate, and writes the
// files that they need to dir.
func startTLS(t *testing.T, gateway, dir string) (url string) {
	t.Helper()
	authority := certify(t, dir, "ca", nil)
	pool := x509.NewCertPool()
	pool.AddCert(authority.Leaf)
	s := httptest.NewUnstartedServer(forward(t, gateway))
	s.TLS = &tls.Config{
		Certificates: []tls.Certificate{*certify(t, dir, "server", authority)},
		ClientAuth:   tls.RequireAndVerifyClientCert, ClientCAs: pool, MinVersion: tls.VersionTLS12,
	}
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // who had no certificate
	s.StartTLS()
	certify(t, dir, "client", authority)
	t.Cleanup(s.Close)
	return s.URL
}

// certify makes a certificate for 127.0.0.1 in the files name.pem and name.key,
// signed by an authority, or by itself to be one.
func certify(t *testing.T, dir, name string, by *tls.Certificate) *tls.Certificate {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true, IsCA: by == nil,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	parent, signer := template, any(private)
	if by != nil {
		parent, signer = by.Leaf, by.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, signer)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile := filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key")
	writePEM(t, certFile, "CERTIFICATE", der)
	writePEM(t, keyFile, "PRIVATE KEY", key)
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	return &pair
}

func writePEM(t *testing.T, file, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}
