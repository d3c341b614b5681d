package e2e

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tollgate-authz/tollgate/envoy"
	"github.com/tollgate-authz/tollgate/test/outside"
)

// pki is an authority whose certificates lie in a folder.
type pki struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newPKI(t *testing.T) *pki {
	p := &pki{t: t, dir: t.TempDir(), cert: &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}}
	p.issue("ca", p.cert)
	return p
}

// issue writes NAME.pem and NAME.key: the key in one step, then the certificate, as
// tools do that renew them.
func (p *pki) issue(name string, template *x509.Certificate) {
	p.t.Helper()
	template.NotBefore, template.NotAfter = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		p.t.Fatal(err)
	}
	if p.key == nil {
		p.key = key
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, p.cert, key.Public(), p.key)
	if err != nil {
		p.t.Fatal(err)
	}
	keyBytes, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		p.t.Fatal(err)
	}
	p.write(name+".key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyBytes}))
	p.write(name+".pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}))
}

func (p *pki) write(name string, text []byte) {
	p.t.Helper()
	if err := os.WriteFile(p.file(name), text, 0o600); err != nil {
		p.t.Fatal(err)
	}
}

func (p *pki) file(name string) string { return filepath.Join(p.dir, name) }

// issueTollgate gives both listeners a certificate with that serial number.
func (p *pki) issueTollgate(serial int64) {
	p.issue("tollgate", &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "tollgate"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
}

// client is for a Go client; with envoy it shows Envoy's certificate.
func (p *pki) client(withEnvoy bool) *tls.Config {
	p.t.Helper()
	text, err := os.ReadFile(p.file("ca.pem"))
	if err != nil {
		p.t.Fatal(err)
	}
	c := &tls.Config{RootCAs: x509.NewCertPool(), NextProtos: []string{"h2"}}
	c.RootCAs.AppendCertsFromPEM(text)
	if withEnvoy {
		own, err := tls.LoadX509KeyPair(p.file("envoy.pem"), p.file("envoy.key"))
		if err != nil {
			p.t.Fatal(err)
		}
		c.Certificates = []tls.Certificate{own}
	}
	return c
}

// serial is the number of the certificate that a new connection is shown, 0 when
// there is none. It reads the server's first bytes: with TLS 1.3 a client whose
// certificate is missing learns of it only there.
func (p *pki) serial(address string, withEnvoy bool) int64 {
	conn, err := tls.Dial("tcp", address, p.client(withEnvoy))
	if err != nil {
		return 0
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(conn, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"); err != nil {
		return 0
	}
	if _, err := io.ReadFull(conn, make([]byte, 9)); err != nil {
		return 0
	}
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

// newTLSStack starts tollgate with certificates on both listeners; listen.check
// asks for one of its callers.
func newTLSStack(t *testing.T) (*stack, *pki) {
	t.Helper()
	p := newPKI(t)
	p.issueTollgate(10)
	p.issue("envoy", &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "envoy"}})
	s := &stack{t: t, dir: t.TempDir(), upstream: newUpstream(t), check: outside.FreeAddress(t), http: outside.FreeAddress(t), ops: outside.FreeAddress(t)}
	text := fmt.Sprintf(`
listen:
  check: %q
  http: %q
  ops: %q
  check_tls: {cert: %[4]s/tollgate.pem, key: %[4]s/tollgate.key, client_ca: %[4]s/ca.pem}
  http_tls: {cert: %[4]s/tollgate.pem, key: %[4]s/tollgate.key}
client_ip: {http_trusted_hops: 1}
store: sqlite:data/tollgate.db
`, s.check, s.http, s.ops, p.dir) + commonConfig
	if err := os.WriteFile(s.configFile(), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s.tollgate("config", "check")
	s.startServe()
	return s, p
}

// startTLSEnvoy runs the front that envoy bootstrap prints with these flags.
func (s *stack) startTLSEnvoy(binary string, flags ...string) {
	s.t.Helper()
	front := s.tollgate(append([]string{"envoy", "bootstrap", "--upstream", s.upstream.Listener.Addr().String(),
		"--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--with-token-endpoint"}, flags...)...)
	s.envoyLog = &outside.LockedBuffer{}
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	p, err := envoy.Start(ctx, envoy.StartConfig{Binary: binary, Config: []byte(front), Concurrency: 1, Log: s.envoyLog})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(p.Stop)
	if s.front, err = p.ListenerAddr(ctx); err != nil {
		s.t.Fatal(err)
	}
}

// secureToken gets a token from an address with a Go client.
func (s *stack) secureToken(base string, c credential, trust *tls.Config) (token, protocol string) {
	s.t.Helper()
	req, err := http.NewRequest(http.MethodPost, base+"/oauth2/token", strings.NewReader("grant_type=client_credentials"))
	if err != nil {
		s.t.Fatal(err)
	}
	req.SetBasicAuth(c.ID, c.Secret)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	transport := &http.Transport{TLSClientConfig: trust, ForceAttemptHTTP2: true, DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.AccessToken == "" {
		s.t.Fatalf("%s answered %s: %v", base, resp.Status, err)
	}
	return answer.AccessToken, resp.Proto
}

// TestTLS: Envoy and tollgate show each other certificates, tokens come by https,
// and certificates change while requests go on.
func TestTLS(t *testing.T) {
	eachEnvoy(t, func(t *testing.T, binary string) {
		s, p := newTLSStack(t)
		flags := []string{"--tls-ca", p.file("ca.pem"), "--tls-cert", p.file("envoy.pem"), "--tls-key", p.file("envoy.key")}
		s.startTLSEnvoy(binary, flags...)
		c := s.client("--scope", "contacts:read")
		bearer, protocol := s.secureToken("https://"+s.http, c, p.client(false))
		if protocol != "HTTP/2.0" {
			t.Errorf("the token endpoint speaks %s", protocol)
		}
		if claims, err := base64.RawURLEncoding.DecodeString(strings.Split(bearer, ".")[1]); err != nil || !strings.Contains(string(claims), `"iss":"https://`+s.http+`"`) {
			t.Errorf("claims %s %v, want the issuer to be https", claims, err)
		}
		if a := s.get("/v1/contacts/7", bearer); a.status != http.StatusOK {
			t.Fatalf("got %d %s, want the upstream; Envoy's log:\n%s", a.status, a.body, s.envoyLog)
		}
		throughEnvoy, _ := s.secureToken("http://"+s.front, c, nil)
		if a := s.get("/v1/contacts/7", throughEnvoy); a.status != http.StatusOK {
			t.Errorf("a token that came through Envoy: %d", a.status)
		}
		if a := s.get("/v1/contacts/7", ""); a.header.Get("x-tollgate-code") != "R1" {
			t.Errorf("without a token: %d, want R1", a.status)
		}
		if p.serial(s.check, false) != 0 {
			t.Error("listen.check serves a client without a certificate")
		}

		var failed atomic.Int64
		stop := make(chan struct{})
		var load sync.WaitGroup
		load.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					if s.get("/v1/free", bearer).status != http.StatusOK {
						failed.Add(1)
					}
				}
			}
		})
		p.issueTollgate(11)
		s.until("both listeners show the new certificate", func() bool { return p.serial(s.check, true) == 11 && p.serial(s.http, false) == 11 })
		p.write("tollgate.pem", []byte("half of a certi"))
		s.until("the broken file is noticed", func() bool {
			return strings.Count(s.log.String(), "the certificate files were not read again") == 2
		})
		if err := s.serve.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		s.until("SIGHUP says so again, for each listener", func() bool {
			return strings.Count(s.log.String(), "the certificate files were not read again") == 4
		})
		if p.serial(s.check, true) != 11 || p.serial(s.http, false) != 11 {
			t.Error("a broken file took the certificate away")
		}
		close(stop)
		load.Wait()
		// On a busy machine Envoy loses its patience with a request now and then. A change
		// that broke connections would fail all that are under way.
		if n := failed.Load(); n > 2 {
			t.Errorf("%d requests failed while certificates changed", n)
		}
		if m := s.fetch("http://" + s.ops + "/metrics"); !strings.Contains(m, `tollgate_certificate_expiry_seconds{listener="check"} 4.0709088e+09`) {
			t.Error("the metric does not say when the certificate expires")
		}
		if strings.Contains(s.log.String(), `"key":"listen"`) {
			t.Error("the reload took listen for changed")
		}
		s.startTLSEnvoy(binary, flags...) // one that never saw the first certificate
		if a := s.get("/v1/contacts/7", bearer); a.status != http.StatusOK {
			t.Errorf("a new Envoy: %d %s; its log:\n%s", a.status, a.body, s.envoyLog)
		}
	})
}

// TestTLSFrontNeedsItsFiles: a front that would not work is not printed.
func TestTLSFrontNeedsItsFiles(t *testing.T) {
	t.Parallel()
	s, p := newTLSStack(t)
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"envoy", "bootstrap", "--upstream", "127.0.0.1:1"}, "--tls-ca"},
		{[]string{"envoy", "filter", "--tls-ca", p.file("ca.pem")}, "--tls-cert"},
	} {
		if _, complaint, status := s.tryTollgate(tt.args...); status != 2 || !strings.Contains(complaint, tt.want) {
			t.Errorf("%v: status %d, %s", tt.args, status, complaint)
		}
	}
	filter := s.tollgate("envoy", "filter", "--check", "tollgate:9191", "--tls-ca", "/ca.pem", "--tls-cert", "/e.pem", "--tls-key", "/e.key")
	for _, want := range []string{"address: tollgate\n", "sni: tollgate\n", "exact: tollgate\n", "filename: /ca.pem\n", "filename: /e.pem\n", "filename: /e.key\n"} {
		if !strings.Contains(filter, want) {
			t.Errorf("no %q in\n%s", want, filter)
		}
	}
}

// TestPlainHTTPIsToldSo on a port that speaks TLS.
func TestPlainHTTPIsToldSo(t *testing.T) {
	t.Parallel()
	s, _ := newTLSStack(t)
	resp, err := http.Get("http://" + s.http + "/.well-known/jwks.json")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusBadRequest || !bytes.Contains(body, []byte("HTTPS")) {
		t.Errorf("got %s %s", resp.Status, body)
	}
}

// TestServeEndsWithoutItsCertificate and says which key names it.
func TestServeEndsWithoutItsCertificate(t *testing.T) {
	t.Parallel()
	s, p := newTLSStack(t)
	s.stopServe(syscall.SIGTERM)
	p.write("tollgate.key", []byte("nothing"))
	_, complaint, status := s.tryTollgate("serve")
	if status != 1 || !strings.Contains(complaint, "listen.check_tls.key: no private key for the certificate") {
		t.Errorf("status %d, %s", status, complaint)
	}
	if _, complaint, status := s.tryTollgate("config", "check"); status != 1 || !strings.Contains(complaint, ":6:") || !strings.Contains(complaint, ":7:") || !strings.Contains(complaint, "listen.http_tls.key: no private key") {
		t.Errorf("config check: status %d, %s", status, complaint)
	}
}

// TestSilentStrangersAreLetGo: who connects and does not shake hands holds a
// connection for seconds, on either listener (bar B22).
func TestSilentStrangersAreLetGo(t *testing.T) {
	t.Parallel()
	s, _ := newTLSStack(t)
	for name, address := range map[string]string{"check": s.check, "http": s.http} {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetReadDeadline(time.Now().Add(8 * time.Second))
		if _, err := conn.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("listen.%s still holds a connection that said nothing for 8 s", name)
		}
	}
}
