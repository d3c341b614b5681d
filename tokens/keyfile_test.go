package tokens

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"
)

func TestParseSigningKey(t *testing.T) {
	t.Parallel()
	must := func(key any, err error) any {
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	p256 := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)).(*ecdsa.PrivateKey)
	p384 := must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	rsa2048 := must(rsa.GenerateKey(rand.Reader, 2048)).(*rsa.PrivateKey)
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	pkcs8 := func(key any) string {
		return block("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(key)).([]byte))
	}
	sec1 := block("EC PRIVATE KEY", must(x509.MarshalECPrivateKey(p256)).([]byte))
	for what, tt := range map[string]struct {
		alg, file string
		want      string // in the error; empty: none
	}{
		"ES256":             {"ES256", pkcs8(p256), ""},
		"EdDSA":             {"EdDSA", pkcs8(ed), ""},
		"RS256":             {"RS256", pkcs8(rsa2048), ""},
		"older EC":          {"ES256", sec1, ""},
		"with parameters":   {"ES256", block("EC PARAMETERS", []byte{6, 0}) + sec1, ""},
		"older RSA":         {"RS256", block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsa2048)), ""},
		"text before":       {"ES256", "a comment\n" + pkcs8(p256), ""},
		"another alg":       {"RS256", pkcs8(p256), "the key is for ES256"},
		"another curve":     {"ES256", pkcs8(p384), "on the curve P-384"},
		"empty":             {"ES256", "", "no PEM block"},
		"a certificate":     {"ES256", block("CERTIFICATE", []byte("x")), `type "CERTIFICATE"`},
		"encrypted":         {"ES256", block("ENCRYPTED PRIVATE KEY", []byte("x")), "unencrypted"},
		"damaged":           {"ES256", block("PRIVATE KEY", []byte("x")), "damaged"},
		"a key to agree on": {"ES256", pkcs8(must(ecdh.X25519().GenerateKey(rand.Reader))), "cannot sign"},
	} {
		key, err := ParseSigningKey(tt.alg, []byte(tt.file), start)
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%s: %v", what, err)
		case tt.want == "" && (key.Alg != tt.alg || key.ID == ""):
			t.Errorf("%s: got %s for %s", what, key.ID, key.Alg)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: got %v, want %q", what, err, tt.want)
		}
	}
	// However it is written, it is one key.
	a, _ := ParseSigningKey("ES256", []byte(sec1), start)
	b, _ := ParseSigningKey("ES256", []byte(pkcs8(p256)), start)
	if a.ID != b.ID || !a.Private.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(b.Private.Public()) {
		t.Error("one key has two names")
	}
}
