package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// newPair writes NAME.pem and NAME.key, a certificate that signs itself.
func newPair(t *testing.T, dir, name string, change func(*x509.Certificate)) {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	change(template)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyBytes, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, name+".pem"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})))
	writeFile(t, filepath.Join(dir, name+".key"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyBytes})))
}

// newCertificates writes good and bad files; bundle.pem has two certificates.
func newCertificates(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	newPair(t, dir, "good", func(*x509.Certificate) {})
	newPair(t, dir, "other", func(*x509.Certificate) {})
	newPair(t, dir, "expired", func(c *x509.Certificate) { c.NotAfter = time.Date(2021, 2, 3, 4, 5, 6, 0, time.UTC) })
	newPair(t, dir, "early", func(c *x509.Certificate) { c.NotBefore = time.Date(2098, 1, 1, 0, 0, 0, 0, time.UTC) })
	newPair(t, dir, "nameless", func(c *x509.Certificate) { c.DNSNames = nil })
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	good := read("good.pem")
	writeFile(t, filepath.Join(dir, "bundle.pem"), "# one\n"+good+"# two\n"+read("other.pem")+"# the end\n")
	writeFile(t, filepath.Join(dir, "cut.pem"), good+good[:len(good)/2])
	writeFile(t, filepath.Join(dir, "garbled.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("zq7")})))
	writeFile(t, filepath.Join(dir, "empty.pem"), "")
	writeFile(t, filepath.Join(dir, "large.pem"), strings.Repeat("x", maxPEM+1))
	writeFile(t, filepath.Join(dir, "locked.key"), "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n")
	return dir
}

// TestCheckLooksIntoCertificates and says at which key what is wrong.
func TestCheckLooksIntoCertificates(t *testing.T) {
	t.Parallel()
	dir := newCertificates(t)
	for _, tt := range []struct {
		block string
		fault string // behind listen.check_tls
		doubt string
	}{
		{"cert: good.pem, key: good.key", "", ""},
		{"cert: good.pem, key: good.key, client_ca: bundle.pem", "", ""},
		{"cert: bundle.pem, key: good.key", "", ""},
		{"cert: none.pem, key: good.key", "2:21: .cert: there is no file DIR/none.pem; serve would not start", ""},
		{"cert: ., key: good.key", "2:21: .cert: DIR is a directory; serve would not start", ""},
		{"cert: large.pem, key: good.key", "2:21: .cert: DIR/large.pem has more than 1048576 bytes; serve would not start", ""},
		{"cert: good.key, key: good.pem", `2:21: .cert: no certificate stands in it; a PEM file with "-----BEGIN CERTIFICATE-----" is needed; serve would not start`, ""},
		{"cert: garbled.pem, key: good.key", "2:21: .cert: certificate 1 of the file cannot be read (malformed certificate); serve would not start", ""},
		{"cert: cut.pem, key: good.key", "2:21: .cert: the file is cut off or damaged: a PEM block in it does not end; serve would not start", ""},
		{"cert: good.pem, key: none.key", "2:36: .key: there is no file DIR/none.key; serve would not start", ""},
		{"cert: good.pem, key: other.key", "2:36: .key: no private key for the certificate in cert (private key does not match public key); serve would not start", ""},
		{"cert: good.pem, key: locked.key", "2:36: .key: the private key is encrypted with a passphrase; write it without one, readable by tollgate alone; serve would not start", ""},
		{"cert: good.pem, key: good.key, client_ca: none.pem", "2:57: .client_ca: there is no file DIR/none.pem; serve would not start", ""},
		{"cert: good.pem, key: good.key, client_ca: empty.pem", `2:57: .client_ca: no certificate stands in it; a PEM file with "-----BEGIN CERTIFICATE-----" is needed; serve would not start`, ""},
		{"cert: good.pem, key: good.key, client_ca: cut.pem", "2:57: .client_ca: the file is cut off or damaged: a PEM block in it does not end; serve would not start", ""},
		{`cert: "${NAME}.pem", key: good.key`, "2:21: .cert: there is no file ${NAME}; serve would not start", ""},
		{"cert: expired.pem, key: expired.key", "", "listen.check_tls.cert: the certificate expired at 2021-02-03T04:05:06Z: clients that verify it will not connect"},
		{"cert: early.pem, key: early.key", "", "listen.check_tls.cert: the certificate is not valid before 2098-01-01T00:00:00Z: clients that verify it will not connect"},
		{"cert: nameless.pem, key: nameless.key", "", "listen.check_tls.cert: the certificate holds no name (subjectAltName): Envoy and most clients will not accept it"},
		{"cert: good.pem, key: good.key, client_ca: expired.pem", "", `listen.check_tls.client_ca: the certificate expired at 2021-02-03T04:05:06Z, for "CN=expired": clients whose certificates it has issued will be refused`},
	} {
		t.Run(tt.block, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(dir, strings.NewReplacer("/", "_", " ", "").Replace(t.Name())+".yaml")
			text := "listen:\n  check_tls: {" + tt.block + "}\napis: [{name: a, hosts: [a.example.com]}]\n"
			writeFile(t, file, text)
			c, faults := Check(file, environment)
			got := strings.NewReplacer(file+":", "", "listen.check_tls", "", dir, "DIR").Replace(faults.Error())
			if got != tt.fault {
				t.Errorf("got  %s\nwant %s", got, tt.fault)
			}
			if c != nil && strings.Join(c.Warnings, "\n") != tt.doubt {
				t.Errorf("got  %q\nwant %q", c.Warnings, tt.doubt)
			}
			if _, faults := Load(file, environment); len(faults) != 0 {
				t.Errorf("Load: %v, want it not to look", faults)
			}
		})
	}
}

func TestCheckWarnsOfAKeyThatEverybodyCanRead(t *testing.T) {
	t.Parallel()
	dir := newCertificates(t)
	if err := os.Chmod(filepath.Join(dir, "good.key"), 0o644); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "tollgate.yaml")
	writeFile(t, file, "listen: {http: 0.0.0.0:8180, http_tls: {cert: good.pem, key: good.key}}\nissuer: https://a.example\napis: [{name: a, hosts: [a.example.com]}]\n")
	c, faults := Check(file, environment)
	want := "listen.http_tls.key: every user of this machine can read the private key; take that away with chmod o-r"
	if c == nil || strings.Join(c.Warnings, "\n") != want {
		t.Errorf("got %v %v, want the warning %q and none else", faults, c, want)
	}
}

// TestIssuerFollowsTheCertificate: with http_tls clients come by https.
func TestIssuerFollowsTheCertificate(t *testing.T) {
	t.Parallel()
	c := requireConfig(t, "listen: {http: \"127.0.0.1:8443\", http_tls: {cert: a.pem, key: a.key}}\n")
	if want := "https://127.0.0.1:8443"; c.Issuer != want || c.Tokens.Audience != want {
		t.Errorf("issuer %s, audience %s, want %s", c.Issuer, c.Tokens.Audience, want)
	}
	if want := (TLS{Cert: "/etc/tollgate/a.pem", Key: "/etc/tollgate/a.key"}); *c.Listen.HTTPTLS != want {
		t.Errorf("got %v, want %v", *c.Listen.HTTPTLS, want)
	}
}

// TestSumSeesEveryFile, and a byte that moves from one to the next.
func TestSumSeesEveryFile(t *testing.T) {
	t.Parallel()
	seen := map[[32]byte]int{}
	for i, p := range []PEM{{}, {cert: []byte("a")}, {key: []byte("a")}, {clientCA: []byte("a")}, {cert: []byte("ab")}, {cert: []byte("a"), key: []byte("b")}, {key: []byte("ab")}} {
		if j, twice := seen[p.Sum()]; twice {
			t.Errorf("%d and %d have one sum", i, j)
		}
		seen[p.Sum()] = i
	}
}
