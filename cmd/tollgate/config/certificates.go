package config

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// maxPEM bounds a file of certificates: the bundle of an operating system has a
// quarter of it.
const maxPEM = 1 << 20

// PEM is what the files of a TLS block held when they were read.
type PEM struct {
	cert, key, clientCA []byte
	mutual              bool // client_ca is set, be its file empty
}

// Certificates are what a listener shows and whom it trusts.
type Certificates struct {
	Own       tls.Certificate // with its Leaf
	ClientCAs *x509.CertPool  // nil: clients are not asked for a certificate

	authorities []*x509.Certificate // in ClientCAs
}

// TLSError says which key of a TLS block names a file that cannot be used.
type TLSError struct {
	Key string // cert, key or client_ca
	Err error
}

func (e *TLSError) Error() string { return e.Key + ": " + e.Err.Error() }
func (e *TLSError) Unwrap() error { return e.Err }

// Read reads the files, and looks at nothing in them.
func (t *TLS) Read() (p PEM, err error) {
	p.mutual = t.ClientCA != ""
	for _, f := range []struct {
		key, name string
		into      *[]byte
	}{{"cert", t.Cert, &p.cert}, {"key", t.Key, &p.key}, {"client_ca", t.ClientCA, &p.clientCA}} {
		if f.name == "" {
			continue // client_ca alone may be
		}
		if *f.into, err = readBounded(f.name, maxPEM, true); err != nil {
			return PEM{}, &TLSError{f.key, err}
		}
	}
	return p, nil
}

// Sum tells contents apart without keeping the private key.
func (p PEM) Sum() [sha256.Size]byte {
	var all []byte
	for _, part := range [][]byte{p.cert, p.key, p.clientCA} {
		all = append(binary.AppendUvarint(all, uint64(len(part))), part...)
	}
	return sha256.Sum256(all)
}

// Parse makes sense of what was read. That a certificate has expired is no error:
// without it the listener would serve nobody, with it those who do not look.
func (p PEM) Parse() (*Certificates, error) {
	if _, err := parseCertificates(p.cert); err != nil {
		return nil, &TLSError{"cert", err}
	}
	if bytes.Contains(p.key, []byte("-----BEGIN ENCRYPTED")) || bytes.Contains(p.key, []byte("Proc-Type: 4,ENCRYPTED")) {
		return nil, &TLSError{"key", errors.New("the private key is encrypted with a passphrase; write it without one, readable by tollgate alone")}
	}
	var c Certificates
	var err error
	if c.Own, err = tls.X509KeyPair(p.cert, p.key); err != nil {
		return nil, &TLSError{"key", fmt.Errorf("no private key for the certificate in cert (%s)", strings.TrimPrefix(err.Error(), "tls: "))}
	}
	if !p.mutual {
		return &c, nil
	}
	if c.authorities, err = parseCertificates(p.clientCA); err != nil {
		return nil, &TLSError{"client_ca", err}
	}
	c.ClientCAs = x509.NewCertPool()
	for _, authority := range c.authorities {
		c.ClientCAs.AddCert(authority)
	}
	return &c, nil
}

// parseCertificates reads every certificate of a file. One that is broken or cut
// off is an error and not left out: the file may just be written.
func parseCertificates(text []byte) (found []*x509.Certificate, err error) {
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			break
		}
		text = rest
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d of the file cannot be read (%s)", len(found)+1, strings.TrimPrefix(err.Error(), "x509: "))
		}
		found = append(found, c)
	}
	switch {
	case bytes.Contains(text, []byte("-----BEGIN")):
		return nil, errors.New("the file is cut off or damaged: a PEM block in it does not end")
	case len(found) == 0:
		return nil, errors.New(`no certificate stands in it; a PEM file with "-----BEGIN CERTIFICATE-----" is needed`)
	}
	return found, nil
}

// certificates looks into the files of both TLS blocks.
func (r *reader) certificates(c *Config) {
	if !r.files {
		return
	}
	for _, l := range []struct {
		path string
		tls  *TLS
	}{{"listen.check_tls", c.Listen.CheckTLS}, {"listen.http_tls", c.Listen.HTTPTLS}} {
		if l.tls == nil || l.tls.Cert == "" || l.tls.Key == "" {
			continue // not written, or broken
		}
		held, err := l.tls.load()
		var fault *TLSError
		switch {
		case errors.As(err, &fault):
			r.unusable(l.path+"."+fault.Key, l.tls, fault)
		case err == nil:
			c.doubts(l.path, l.tls, held, time.Now())
		}
	}
}

func (t *TLS) load() (*Certificates, error) {
	p, err := t.Read()
	if err != nil {
		return nil, err
	}
	return p.Parse()
}

// unusable reports a file. Where its name came out of a variable, the variable is
// named instead.
func (r *reader) unusable(path string, t *TLS, fault *TLSError) {
	reason := fault.Err.Error()
	if errors.Is(fault.Err, os.ErrNotExist) {
		reason = "there is no file " + t.file(fault.Key)
	}
	if names := r.places[path].names; names != nil {
		reason = strings.ReplaceAll(reason, t.file(fault.Key), strings.Join(names, " and "))
	}
	r.fault(path, "%s; serve would not start", reason)
}

func (t *TLS) file(key string) string {
	return map[string]string{"cert": t.Cert, "key": t.Key, "client_ca": t.ClientCA}[key]
}

// doubts warns of what works and is hardly meant.
func (c *Config) doubts(path string, t *TLS, held *Certificates, now time.Time) {
	leaf := held.Own.Leaf
	if fault := Validity(leaf, now); fault != "" {
		c.warn(path + ".cert: " + fault + ": clients that verify it will not connect")
	}
	if len(leaf.DNSNames)+len(leaf.IPAddresses)+len(leaf.URIs) == 0 {
		c.warn(path + ".cert: the certificate holds no name (subjectAltName): Envoy and most clients will not accept it")
	}
	if info, err := os.Stat(t.Key); err == nil && info.Mode().Perm()&0o004 != 0 {
		c.warn(path + ".key: every user of this machine can read the private key; take that away with chmod o-r")
	}
	for _, authority := range held.authorities {
		if fault := Validity(authority, now); fault != "" {
			c.warn(fmt.Sprintf("%s.client_ca: %s, for %q: clients whose certificates it has issued will be refused", path, fault, authority.Subject))
		}
	}
}

// Validity says why a certificate does not hold at a moment; "" when it does.
func Validity(c *x509.Certificate, now time.Time) string {
	switch {
	case now.After(c.NotAfter):
		return "the certificate expired at " + c.NotAfter.UTC().Format(time.RFC3339)
	case now.Before(c.NotBefore):
		return "the certificate is not valid before " + c.NotBefore.UTC().Format(time.RFC3339)
	}
	return ""
}
