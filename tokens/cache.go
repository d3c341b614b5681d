package tokens

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"
	"unsafe"

	"github.com/dgraph-io/ristretto/v2"
)

// Cache remembers verified tokens, so that a signature is checked once and not
// at every request. It may forget at any time (ristretto drops what it has no
// room or no time for), so nothing lives in it that must be kept.
type Cache struct {
	tokens *ristretto.Cache[uint64, *Token]
}

// tokenCost is what one cached token weighs beside its texts: the Token, its
// Identity and ristretto's own book-keeping. A foreign token with two scopes was
// measured at 552 bytes in all, among 100,000, before its Identity grew by 32; an own
// one has an Origin of 80 beside.
const tokenCost = 502

// cost is what t weighs, in bytes. Texts that many tokens share are counted in
// full: an issuer may also give each token its own.
func (t *Token) cost() int64 {
	cost := tokenCost + len(t.ID) + len(t.Subject)
	for _, list := range [][]string{t.Scopes, t.Audience} {
		for _, s := range list {
			cost += 16 + len(s)
		}
	}
	return int64(cost)
}

// NewCache makes a cache that holds about maxBytes.
func NewCache(maxBytes int64) (*Cache, error) {
	tokens, err := ristretto.NewCache(&ristretto.Config[uint64, *Token]{
		NumCounters:        max(1000, 10*maxBytes/tokenCost), // ristretto advises ten times the entries
		MaxCost:            maxBytes,
		BufferItems:        64,
		IgnoreInternalCost: true,
		Metrics:            true,
	})
	if err != nil {
		return nil, fmt.Errorf("make the verified-token cache: %w", err)
	}
	return &Cache{tokens: tokens}, nil
}

// slot is where a token is kept. Only verified tokens get in, so strangers
// cannot aim at a slot; and a hit compares the whole digest (bar B10).
func slot(digest *[sha256.Size]byte) uint64 { return binary.LittleEndian.Uint64(digest[:8]) }

func (c *Cache) get(digest *[sha256.Size]byte) *Token {
	t, ok := c.tokens.Get(slot(digest))
	if !ok || t.digest != *digest {
		return nil
	}
	return t
}

func (c *Cache) put(t *Token, ttl time.Duration) {
	c.tokens.SetWithTTL(slot(&t.digest), t, t.cost(), ttl)
}

// Wait returns once everything put before is in the cache, which takes it in on
// the side. Measurements need it; requests do not.
func (c *Cache) Wait() { c.tokens.Wait() }

// Close stops the cache's goroutines.
func (c *Cache) Close() { c.tokens.Close() }

// Hits and misses since the start.
func (c *Cache) Hits() uint64   { return c.tokens.Metrics.Hits() }
func (c *Cache) Misses() uint64 { return c.tokens.Metrics.Misses() }

// Evicted is how many tokens had to leave for others: many mean that
// limits.max_memory is too small for the tokens in use.
func (c *Cache) Evicted() uint64 { return c.tokens.Metrics.KeysEvicted() }

// unsafeBytes reads a string without copying it; nothing may write to the result.
func unsafeBytes(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }
