package tokens

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"
)

// ParseSigningKey reads a private key for an algorithm from a PEM file: PKCS #8, or
// the older forms of OpenSSL. The error says what is wrong and what would be right.
func ParseSigningKey(alg string, file []byte, now time.Time) (*SigningKey, error) {
	block, rest := pem.Decode(file)
	for block != nil && block.Type == "EC PARAMETERS" { // openssl ecparam -genkey writes them before the key
		block, rest = pem.Decode(rest)
	}
	if block == nil {
		return nil, errors.New("no PEM block; a file with BEGIN PRIVATE KEY is needed")
	}
	var private any
	var err error
	switch block.Type {
	case "PRIVATE KEY":
		private, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		private, err = x509.ParseECPrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		private, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	default:
		return nil, fmt.Errorf("a PEM block of type %q; an unencrypted PRIVATE KEY is needed", block.Type)
	}
	if err != nil {
		return nil, errors.New("the private key is damaged")
	}
	signer, ok := private.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a %T cannot sign", private)
	}
	if fits := algorithmOf(signer); fits != alg {
		return nil, fmt.Errorf("the key is %s, and tokens.signing_algorithm is %s", describeKey(signer, fits), alg)
	}
	return newSigningKey(alg, signer, now.Truncate(time.Microsecond).UTC())
}

// algorithmOf is what a key may sign with here; empty: nothing.
func algorithmOf(key crypto.Signer) string {
	switch k := key.(type) {
	case *ecdsa.PrivateKey:
		if k.Curve == elliptic.P256() {
			return "ES256"
		}
	case ed25519.PrivateKey:
		return "EdDSA"
	case *rsa.PrivateKey:
		if k.N.BitLen() >= 2048 {
			return "RS256"
		}
	}
	return ""
}

func describeKey(key crypto.Signer, alg string) string {
	if slices.Contains(SigningAlgorithms, alg) {
		return "for " + alg
	}
	switch k := key.(type) {
	case *ecdsa.PrivateKey:
		return "on the curve " + k.Curve.Params().Name
	case *rsa.PrivateKey:
		return fmt.Sprintf("RSA with %d bits, and 2048 are needed", k.N.BitLen())
	}
	return fmt.Sprintf("a %T", key)
}
