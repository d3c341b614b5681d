package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/credentials"

	"github.com/tollgate-authz/tollgate/cmd/tollgate/config"
	"github.com/tollgate-authz/tollgate/envoy"
)

// authority issues certificates of a test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

// pair is a certificate with its key, as files hold them.
type pair struct{ cert, key []byte }

func (p pair) tls(t *testing.T) tls.Certificate {
	t.Helper()
	c, err := tls.X509KeyPair(p.cert, p.key)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var certificateEnd = time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{cert: &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: certificateEnd,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}}
	var p pair
	p, a.key = sign(t, a.cert, a.cert, nil)
	a.pem = p.cert
	return a
}

// issue makes a certificate for tollgate and 127.0.0.1 with that serial number.
func (a *authority) issue(t *testing.T, serial int64) pair {
	t.Helper()
	p, _ := sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "tollgate"}, NotBefore: a.cert.NotBefore, NotAfter: certificateEnd,
		DNSNames: []string{"tollgate"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
	}, a.cert, a.key)
	return p
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(a.pem)
	return pool
}

func sign(t *testing.T, template, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (pair, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if parentKey == nil {
		parentKey = key
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		t.Fatal(err)
	}
	keyBytes, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pair{pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyBytes})}, key
}

// tlsFiles is a folder with the files of a TLS block.
type tlsFiles struct {
	t   *testing.T
	dir string
}

func (f tlsFiles) write(name string, text []byte) {
	f.t.Helper()
	if err := os.WriteFile(filepath.Join(f.dir, name), text, 0o600); err != nil {
		f.t.Fatal(err)
	}
}

func (f tlsFiles) put(p pair) {
	f.t.Helper()
	f.write("tls.crt", p.cert)
	f.write("tls.key", p.key)
}

func (f tlsFiles) block(clientCA bool) config.TLS {
	b := config.TLS{Cert: filepath.Join(f.dir, "tls.crt"), Key: filepath.Join(f.dir, "tls.key")}
	if clientCA {
		b.ClientCA = filepath.Join(f.dir, "ca.crt")
	}
	return b
}

func (f tlsFiles) open(clientCA bool) (*certificates, *bytes.Buffer) {
	f.t.Helper()
	log := new(bytes.Buffer)
	now := func() time.Time { return time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC) }
	c, err := newCertificates("check", f.block(clientCA), slog.New(slog.NewTextHandler(log, nil)), now, "h2")
	if err != nil {
		f.t.Fatal(err)
	}
	return c, log
}

// echo answers every connection with what it says, until the test ends.
func echo(t *testing.T, c *certificates) (address string) {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", c.serverConfig())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(conn, conn)
				_ = conn.Close()
			}()
		}
	}()
	return l.Addr().String()
}

// speak says a word and hears it back. With TLS 1.3 a client learns only then that
// the server has refused it.
func speak(conn net.Conn) error {
	if _, err := conn.Write([]byte("word")); err != nil {
		return err
	}
	heard := make([]byte, 4)
	_, err := io.ReadFull(conn, heard)
	return err
}

// dial connects and speaks.
func dial(t *testing.T, address string, c *tls.Config) (*tls.Conn, error) {
	t.Helper()
	c = c.Clone()
	if c.NextProtos == nil {
		c.NextProtos = []string{"h2"}
	}
	conn, err := tls.Dial("tcp", address, c)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn, speak(conn)
}

// serial is the number of the certificate that a new connection is shown.
func serial(t *testing.T, address string, roots *x509.CertPool) int64 {
	t.Helper()
	conn, err := dial(t, address, &tls.Config{RootCAs: roots})
	if err != nil {
		t.Fatal(err)
	}
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

// TestCertificatesChangeAndConnectionsStay, however the files are replaced.
func TestCertificatesChangeAndConnectionsStay(t *testing.T) {
	t.Parallel()
	for how, replace := range map[string]func(f tlsFiles, p pair){
		"in place": func(f tlsFiles, p pair) { f.put(p) },
		"renamed": func(f tlsFiles, p pair) {
			next := tlsFiles{f.t, f.t.TempDir()}
			next.put(p)
			for _, name := range []string{"tls.crt", "tls.key"} {
				if err := os.Rename(filepath.Join(next.dir, name), filepath.Join(f.dir, name)); err != nil {
					f.t.Fatal(err)
				}
			}
		},
		"behind a link": func(f tlsFiles, p pair) { // as a kubelet does it
			next := tlsFiles{f.t, f.t.TempDir()}
			next.put(p)
			if err := errors.Join(os.Remove(f.dir), os.Symlink(next.dir, f.dir)); err != nil {
				f.t.Fatal(err)
			}
		},
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			ca, first, f := newAuthority(t, "ca"), tlsFiles{t, t.TempDir()}, tlsFiles{t, filepath.Join(t.TempDir(), "link")}
			first.put(ca.issue(t, 10))
			if err := os.Symlink(first.dir, f.dir); err != nil {
				t.Fatal(err)
			}
			c, _ := f.open(false)
			address := echo(t, c)
			open, err := dial(t, address, &tls.Config{RootCAs: ca.pool()})
			if err != nil {
				t.Fatal(err)
			}
			replace(f, ca.issue(t, 11))
			if got := serial(t, address, ca.pool()); got != 10 {
				t.Errorf("before a look: certificate %d, want 10", got)
			}
			c.look(false)
			if got := serial(t, address, ca.pool()); got != 11 {
				t.Errorf("after a look: certificate %d, want 11", got)
			}
			if err := speak(open); err != nil {
				t.Errorf("the open connection: %v", err)
			}
		})
	}
}

// TestBrokenFilesLeaveTheCertificateInForce and are told of once: not at the first
// look, when they may just be written.
func TestBrokenFilesLeaveTheCertificateInForce(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		spoil func(f tlsFiles, next pair)
		want  string
	}{
		"the key is still the old one": {func(f tlsFiles, next pair) { f.write("tls.crt", next.cert) }, "key: no private key for the certificate"},
		"the certificate is cut off":   {func(f tlsFiles, next pair) { f.write("tls.crt", next.cert[:200]) }, "cert: the file is cut off"},
		"the key is gone":              {func(f tlsFiles, _ pair) { _ = os.Remove(filepath.Join(f.dir, "tls.key")) }, "no such file"},
		"nobody would be trusted":      {func(f tlsFiles, _ pair) { f.write("ca.crt", nil) }, "client_ca: no certificate stands in it"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ca, f := newAuthority(t, "ca"), tlsFiles{t, t.TempDir()}
			old := ca.issue(t, 10)
			f.put(old)
			f.write("ca.crt", ca.pem)
			c, log := f.open(true)
			before := c.inForce.Load()
			tt.spoil(f, ca.issue(t, 11))
			complaints := func() int { return strings.Count(log.String(), "level=ERROR") }
			for i, want := range []int{0, 1, 1, 1} {
				if c.look(false); complaints() != want {
					t.Errorf("after %d looks: %d complaints, want %d:\n%s", i+1, complaints(), want, log)
				}
			}
			if c.look(true); complaints() != 2 || !strings.Contains(log.String(), tt.want) || !strings.Contains(log.String(), "listener=check") {
				t.Errorf("after a reload that was asked for: %d complaints, want 2 with %q:\n%s", complaints(), tt.want, log)
			}
			if c.inForce.Load() != before {
				t.Error("another certificate is in force")
			}
			f.put(old)
			f.write("ca.crt", ca.pem)
			if c.look(false); !strings.Contains(log.String(), "again those in force") {
				t.Errorf("nothing says that all is well again:\n%s", log)
			}
			f.put(ca.issue(t, 12))
			if c.look(false); c.inForce.Load().leaf.SerialNumber.Int64() != 12 {
				t.Error("a good certificate after broken ones is not in force")
			}
		})
	}
}

// TestABrokenCertificateIsToldAtOnceWhenAsked: an operator who sends SIGHUP waits
// for the answer.
func TestABrokenCertificateIsToldAtOnceWhenAsked(t *testing.T) {
	t.Parallel()
	ca, f := newAuthority(t, "ca"), tlsFiles{t, t.TempDir()}
	f.put(ca.issue(t, 10))
	c, log := f.open(false)
	f.write("tls.crt", []byte("garbage"))
	c.look(true)
	if c.look(false); strings.Count(log.String(), "level=ERROR") != 1 {
		t.Errorf("want one complaint:\n%s", log)
	}
}

// TestClientsNeedACertificateOfTheAuthority, also those that were trusted until the
// authority changed and could resume a session.
func TestClientsNeedACertificateOfTheAuthority(t *testing.T) {
	t.Parallel()
	ca, ours, theirs, f := newAuthority(t, "ca"), newAuthority(t, "ours"), newAuthority(t, "theirs"), tlsFiles{t, t.TempDir()}
	f.put(ca.issue(t, 10))
	f.write("ca.crt", ours.pem)
	c, _ := f.open(true)
	address := echo(t, c)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		base := tls.Config{RootCAs: ca.pool(), MaxVersion: version}
		try := func(a *authority) error {
			c := base.Clone()
			if a != nil {
				own := a.issue(t, 20).tls(t)
				// Also where the server names another authority: a client may lie.
				c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &own, nil }
			}
			_, err := dial(t, address, c)
			return err
		}
		if err := try(ours); err != nil {
			t.Errorf("%s: our client is refused: %v", tls.VersionName(version), err)
		}
		if try(theirs) == nil {
			t.Errorf("%s: a client of another authority is let in", tls.VersionName(version))
		}
		if try(nil) == nil {
			t.Errorf("%s: a client without a certificate is let in", tls.VersionName(version))
		}
	}

	own := ours.issue(t, 21).tls(t)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		f.write("ca.crt", ours.pem)
		c.look(false)
		sessions := &tls.Config{RootCAs: ca.pool(), MaxVersion: version, ClientSessionCache: tls.NewLRUClientSessionCache(1), ServerName: "tollgate",
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &own, nil }}
		for _, resumed := range []bool{false, true} {
			if conn, err := dial(t, address, sessions); err != nil || conn.ConnectionState().DidResume != resumed {
				t.Fatalf("%s: %v, want a session that is resumed: %v", tls.VersionName(version), err, resumed)
			}
		}
		f.write("ca.crt", theirs.pem)
		c.look(false)
		if conn, err := dial(t, address, sessions); err == nil {
			t.Errorf("%s: a client of the former authority is let in (resumed: %v)", tls.VersionName(version), conn.ConnectionState().DidResume)
		}
	}
}

func TestOldTLSIsRefused(t *testing.T) {
	t.Parallel()
	ca, f := newAuthority(t, "ca"), tlsFiles{t, t.TempDir()}
	f.put(ca.issue(t, 10))
	c, _ := f.open(false)
	address := echo(t, c)
	for version, want := range map[uint16]bool{tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		conn, err := dial(t, address, &tls.Config{RootCAs: ca.pool(), MinVersion: tls.VersionTLS10, MaxVersion: version})
		if (err == nil) != want {
			t.Errorf("%s: %v, want it to work: %v", tls.VersionName(version), err, want)
		}
		if err == nil && conn.ConnectionState().NegotiatedProtocol != "h2" {
			t.Errorf("%s: ALPN chose %q", tls.VersionName(version), conn.ConnectionState().NegotiatedProtocol)
		}
	}
}

// TestFollowsCertificates without being asked, within a second.
func TestFollowsCertificates(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ca, f := newAuthority(t, "ca"), tlsFiles{t, t.TempDir()}
		f.put(ca.issue(t, 10))
		c, _ := f.open(false)
		n := &node{checkTLS: c}
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go n.followCertificates(ctx)
		f.put(ca.issue(t, 11))
		time.Sleep(certificateLook + time.Millisecond)
		if got := c.inForce.Load().leaf.SerialNumber.Int64(); got != 11 {
			t.Errorf("certificate %d, want 11", got)
		}
	})
}

func TestCertificateThatCannotBeOpened(t *testing.T) {
	t.Parallel()
	f := tlsFiles{t, t.TempDir()}
	block := f.block(false)
	n := &node{log: slog.New(slog.DiscardHandler), now: time.Now}
	err := n.openCertificates(config.Listen{HTTPTLS: &block}, prometheus.NewRegistry())
	if err == nil || !strings.HasPrefix(err.Error(), "listen.http_tls.cert: ") || !strings.Contains(err.Error(), block.Cert) {
		t.Errorf("got %v, want the key and the file", err)
	}
}

// TestExpiryIsAMetric of each listener that has a certificate.
func TestExpiryIsAMetric(t *testing.T) {
	t.Parallel()
	f := tlsFiles{t, t.TempDir()}
	f.put(newAuthority(t, "ca").issue(t, 10))
	block, r := f.block(false), prometheus.NewRegistry()
	n := &node{log: slog.New(slog.DiscardHandler), now: time.Now}
	if err := n.openCertificates(config.Listen{CheckTLS: &block, HTTPTLS: &block}, r); err != nil {
		t.Fatal(err)
	}
	families, err := r.Gather()
	if err != nil || len(families) != 1 || families[0].GetName() != "tollgate_certificate_expiry_seconds" {
		t.Fatalf("got %v %v", families, err)
	}
	var listeners []string
	for _, m := range families[0].GetMetric() {
		listeners = append(listeners, m.GetLabel()[0].GetValue())
		if got := int64(m.GetGauge().GetValue()); got != certificateEnd.Unix() {
			t.Errorf("got %d, want %d", got, certificateEnd.Unix())
		}
	}
	if strings.Join(listeners, " ") != "check http" {
		t.Errorf("listeners %v", listeners)
	}
	n.lookAtCertificates(true)
	if (&node{}).lookAtCertificates(true); (*certificates)(nil).grpcOptions() != nil {
		t.Error("a listener without TLS has options")
	}
}

// TestRefusedHandshakesAreLogged, at debug.
func TestRefusedHandshakesAreLogged(t *testing.T) {
	t.Parallel()
	f := tlsFiles{t, t.TempDir()}
	f.put(newAuthority(t, "ca").issue(t, 10))
	c, _ := f.open(false)
	log := new(bytes.Buffer)
	l := loggedHandshakes{credentials.NewTLS(c.serverConfig()), slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	client, server := net.Pipe()
	go func() { _, _ = client.Write([]byte("GET / HTTP/1.1\r\n\r\n")); _ = client.Close() }()
	if _, _, err := l.ServerHandshake(server); err == nil || !strings.Contains(log.String(), "level=DEBUG") {
		t.Errorf("got %v and the log %q", err, log)
	}
}

// TestAnUnchangedListenNeedsNoRestart, although its TLS blocks were read anew.
func TestAnUnchangedListenNeedsNoRestart(t *testing.T) {
	t.Parallel()
	with := func(cert string) *config.Config {
		return &config.Config{Listen: config.Listen{CheckTLS: &config.TLS{Cert: cert}}}
	}
	if got := needsRestart(with("a"), with("a")); len(got) != 0 {
		t.Errorf("got %v, want nothing", got)
	}
	if got := needsRestart(with("a"), with("b")); len(got) != 1 || got[0] != "listen" {
		t.Errorf("got %v, want listen", got)
	}
}

// TestFrontSpeaksTLSWhereTheListenersDo and says what it needs for that.
func TestFrontSpeaksTLSWhereTheListenersDo(t *testing.T) {
	t.Parallel()
	plain, mutual := &config.TLS{Cert: "c", Key: "k"}, &config.TLS{Cert: "c", Key: "k", ClientCA: "a"}
	for name, tt := range map[string]struct {
		flags  frontTLS
		listen config.Listen
		tokens string
		check  *envoy.TLS
		token  *envoy.TLS
		want   string // of the error
	}{
		"no TLS":                {},
		"check":                 {flags: frontTLS{ca: "ca"}, listen: config.Listen{CheckTLS: plain}, tokens: "a:1", check: &envoy.TLS{CA: "ca"}},
		"tokens":                {flags: frontTLS{ca: "ca", name: "n"}, listen: config.Listen{HTTPTLS: plain}, tokens: "a:1", token: &envoy.TLS{CA: "ca", Name: "n"}},
		"no tokens":             {flags: frontTLS{ca: "ca"}, listen: config.Listen{CheckTLS: plain, HTTPTLS: mutual}, check: &envoy.TLS{CA: "ca"}},
		"both":                  {flags: frontTLS{"ca", "", "c", "k"}, listen: config.Listen{CheckTLS: mutual, HTTPTLS: plain}, tokens: "a:1", check: &envoy.TLS{CA: "ca", Cert: "c", Key: "k"}, token: &envoy.TLS{CA: "ca", Cert: "c", Key: "k"}},
		"no authority":          {listen: config.Listen{CheckTLS: plain}, want: "listen.check_tls is set: name the file with the authorities"},
		"no client certificate": {flags: frontTLS{ca: "ca"}, listen: config.Listen{HTTPTLS: mutual}, tokens: "a:1", want: "listen.http_tls.client_ca asks Envoy for a certificate"},
		"half a pair":           {flags: frontTLS{ca: "ca", cert: "c"}, listen: config.Listen{CheckTLS: mutual}, want: "--tls-cert and --tls-key go together"},
		"for nothing":           {flags: frontTLS{ca: "ca"}, listen: config.Listen{HTTPTLS: plain}, want: "Envoy connects to none"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := envoy.Front{TokenEndpoint: tt.tokens}
			err := tt.flags.apply(&f, &tt.listen)
			if tt.want != "" {
				var usage usageError
				if !errors.As(err, &usage) || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("got %v, want %q", err, tt.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for what, side := range map[string][2]*envoy.TLS{"check": {f.CheckTLS, tt.check}, "tokens": {f.TokenEndpointTLS, tt.token}} {
				if got, want := side[0], side[1]; (got == nil) != (want == nil) || got != nil && *got != *want {
					t.Errorf("%s: got %v, want %v", what, got, want)
				}
			}
		})
	}
}
