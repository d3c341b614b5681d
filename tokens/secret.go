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
// secrets made here have 256 random bits (classic ones 59, which nobody guesses
// at ten a minute), so a slow password hash would cost every token request and
// protect nothing.
func (p *Pepper) Hash(secret Secret) []byte { return p.mac("client-secret", []byte(secret.Reveal())) }

// mac keeps the purposes of a pepper apart.
func (p *Pepper) mac(purpose string, data []byte) []byte {
	mac := hmac.New(sha256.New, p[:])
	mac.Write([]byte(purpose + "\x00"))
	mac.Write(data)
	return mac.Sum(nil)
}

// same compares hashes in constant time.
func same(a, b []byte) bool { return hmac.Equal(a, b) && len(a) == sha256.Size }

// idBytes make 128 bits: never guessed, never drawn twice.
const idBytes = 16

// Lengths of the classic format (row D2), in characters of [A-Za-z0-9].
const (
	classicID     = 24
	classicSecret = 10
	classicToken  = 24
)

// NewCredential draws a client ID (22 characters) and a secret (43 characters,
// 256 bits) of [A-Za-z0-9_-]: nothing that any client would have to escape in a
// Basic header or a form. A classic client's are shorter.
func NewCredential(format Format, random io.Reader) (id string, secret Secret, err error) {
	if id, err = NewClientID(format, random); err != nil {
		return "", "", err
	}
	secret, err = NewSecret(format, random)
	return id, secret, err
}

// NewClientID draws the ID of a client.
func NewClientID(format Format, random io.Reader) (string, error) {
	if format == Classic {
		return drawText(classicID, random)
	}
	return newID(random)
}

// NewSecret draws a client secret.
func NewSecret(format Format, random io.Reader) (Secret, error) {
	if format == Classic {
		text, err := drawText(classicSecret, random)
		return Secret(text), err
	}
	text, err := drawBytes(32, random)
	return Secret(text), err
}

// newID draws 22 characters that name a record.
func newID(random io.Reader) (string, error) {
	for {
		id, err := drawBytes(idBytes, random)
		if err != nil || id[0] != '-' { // a command line would take it for a flag
			return id, err
		}
	}
}

// drawBytes draws n bytes, in base64url.
func drawBytes(n int, random io.Reader) (string, error) {
	raw := make([]byte, n)
	if _, err := io.ReadFull(random, raw); err != nil {
		return "", fmt.Errorf("draw random bytes: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(raw), nil
}

const alphanumeric = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// drawText draws n characters of [A-Za-z0-9], each as likely as any other.
func drawText(n int, random io.Reader) (string, error) {
	const fair = 256 - 256%len(alphanumeric)
	text, raw := make([]byte, 0, n), make([]byte, 2*n)
	for len(text) < n {
		if _, err := io.ReadFull(random, raw); err != nil {
			return "", fmt.Errorf("draw random bytes: %w", err)
		}
		for _, b := range raw {
			if int(b) < fair && len(text) < n {
				text = append(text, alphanumeric[int(b)%len(alphanumeric)])
			}
		}
	}
	return string(text), nil
}
