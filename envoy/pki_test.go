package envoy

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// pki is an authority with a certificate for tollgate and one for Envoy, under
// the names that the golden files use.
type pki struct {
	dir    string
	roots  *x509.CertPool
	server tls.Certificate // for the name tollgate and the address 127.0.0.1
}

func newPKI(t *testing.T) pki {
	t.Helper()
	p := pki{dir: t.TempDir(), roots: x509.NewCertPool()}
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"},
		NotBefore: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	authorityKey := p.write(t, "ca", authority, authority, nil)
	p.roots.AddCert(parseCertificate(t, filepath.Join(p.dir, "ca.pem")))

	leaf := *authority
	leaf.IsCA, leaf.KeyUsage = false, x509.KeyUsageDigitalSignature
	leaf.SerialNumber, leaf.Subject = big.NewInt(2), pkix.Name{CommonName: "tollgate"}
	leaf.DNSNames, leaf.IPAddresses = []string{"tollgate"}, []net.IP{net.IPv4(127, 0, 0, 1)}
	p.write(t, "tollgate", &leaf, authority, authorityKey)
	var err error
	if p.server, err = tls.LoadX509KeyPair(filepath.Join(p.dir, "tollgate.pem"), filepath.Join(p.dir, "tollgate-key.pem")); err != nil {
		t.Fatal(err)
	}

	leaf.SerialNumber, leaf.Subject, leaf.DNSNames, leaf.IPAddresses = big.NewInt(3), pkix.Name{CommonName: "envoy"}, []string{"envoy"}, nil
	p.write(t, "envoy", &leaf, authority, authorityKey)
	return p
}

// write makes NAME.pem and NAME-key.pem. Without a parent's key the certificate
// signs itself.
func (p pki) write(t *testing.T, name string, template, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) *ecdsa.PrivateKey {
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
	for file, block := range map[string]*pem.Block{
		name + ".pem":     {Type: "CERTIFICATE", Bytes: cert},
		name + "-key.pem": {Type: "PRIVATE KEY", Bytes: keyBytes},
	} {
		if err := os.WriteFile(filepath.Join(p.dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return key
}

func parseCertificate(t *testing.T, file string) *x509.Certificate {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}
