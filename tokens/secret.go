package tokens

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
)

// Pepper is the key under which secrets are hashed. It is kept apart from the
// store, so that a stolen database is not a stolen set of hashes to guess at.
type Pepper [32]byte

// Hash returns the HMAC-SHA-256 of a client secret: what the store keeps. The
// secrets made here have 256 random bits, so a slow password hash would cost
// every token request and protect nothing.
func (p *Pepper) Hash(secret Secret) []byte {
	mac := hmac.New(sha256.New, p[:])
	mac.Write([]byte("client-secret\x00"))
	mac.Write([]byte(secret.Reveal()))
	return mac.Sum(nil)
}

// Matches compares in constant time. A nil hash, of a client that does not
// exist, costs the same work and never matches.
func (p *Pepper) Matches(secret Secret, hash []byte) bool {
	return hmac.Equal(p.Hash(secret), hash) && len(hash) == sha256.Size
}

// idBytes make 128 bits: never guessed, never drawn twice.
const idBytes = 16

// NewCredential draws a client ID (22 characters) and a secret (43 characters,
// 256 bits) of [A-Za-z0-9_-]: nothing that any client would have to escape in a
// Basic header or a form.
func NewCredential(random io.Reader) (id string, secret Secret, err error) {
	enc := base64.RawURLEncoding
	for {
		var raw [idBytes + 32]byte
		if _, err := io.ReadFull(random, raw[:]); err != nil {
			return "", "", fmt.Errorf("draw a credential: %w", err)
		}
		id, secret = enc.EncodeToString(raw[:idBytes]), Secret(enc.EncodeToString(raw[idBytes:]))
		if id[0] != '-' { // a command line would take it for a flag
			return id, secret, nil
		}
	}
}
