package tokens

import (
	"crypto/sha256"
	"fmt"
	"hash/crc32"
	"io"
	"net/netip"
	"strings"
	"time"
)

// APIKey is the older kind of credential (row I5): one text that is sent as it is.
// A *APIKey is never changed once published.
type APIKey struct {
	ID          string
	Name        string
	Account     string
	Plan        string
	Environment Environment
	Scopes      []string       // sorted
	TrustedIPs  []netip.Prefix // where it may be used from; empty: anywhere
	APIs        []string       // which it is for; empty: all that take API keys
	Hash        [sha256.Size]byte
	CreatedAt   time.Time
	ExpiresAt   time.Time // zero: never
}

// Validate says everything that is wrong with an API key that someone wants to store.
func (k *APIKey) Validate() []error {
	var f faults
	f.name(k.Name)
	f.account(k.Account)
	f.environment(k.Environment)
	f.scopes(k.Scopes)
	f.trustedIPs(k.TrustedIPs)
	if !k.ExpiresAt.IsZero() && !k.ExpiresAt.After(k.CreatedAt) {
		f.add("it would expire at %s, before it is made", k.ExpiresAt.UTC().Format(time.RFC3339))
	}
	return f
}

// For reports whether the key is meant for an API.
func (k *APIKey) For(api string) bool {
	if len(k.APIs) == 0 {
		return true
	}
	for _, name := range k.APIs {
		if name == api {
			return true
		}
	}
	return false
}

const (
	keyPrefix   = "tgk_"
	keyRandom   = 40 // characters of [A-Za-z0-9]: 238 bits
	keyChecksum = 6  // characters: a CRC-32
	keyLength   = len(keyPrefix) + keyRandom + keyChecksum
)

// NewAPIKey draws an API key and its ID. It begins with a prefix that people and
// secret scanners know, and ends with a checksum.
func NewAPIKey(random io.Reader) (key Secret, hash [sha256.Size]byte, id string, err error) {
	text, err := drawText(keyRandom, random)
	if err == nil {
		id, err = newID(random)
	}
	if err != nil {
		return "", hash, "", fmt.Errorf("draw an API key: %w", err)
	}
	text = keyPrefix + text
	text += checksum(text)
	return Secret(text), sha256.Sum256([]byte(text)), id, nil
}

// wellFormedKey tells a key that may be known from a slip of the hand and from
// junk, without looking anything up. It keeps nobody out who wants in.
func wellFormedKey(key string) bool {
	return len(key) == keyLength && strings.HasPrefix(key, keyPrefix) && checksum(key[:keyLength-keyChecksum]) == key[keyLength-keyChecksum:]
}

func checksum(text string) string {
	var digits [keyChecksum]byte
	sum := crc32.ChecksumIEEE(unsafeBytes(text))
	for i := len(digits) - 1; i >= 0; i-- {
		digits[i] = alphanumeric[sum%uint32(len(alphanumeric))]
		sum /= uint32(len(alphanumeric))
	}
	return string(digits[:])
}

// Move is the mark that an account uses OAuth 2.0 at an API: from then on its API
// keys are refused there (row I5).
type Move struct {
	Account string
	API     string
	Client  string // that made the request
	At      time.Time
}
